"""Teaching the tagger: one logistic regression a shelf, cross-validation, calibration, the file."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from octavo import catalog
from octavo.catalog import Paper
from octavo.ingest import encode
from octavo.ingest.encode import Encoder
from octavo.ingest.tag import FILE, OTHER, seen, told, version
from octavo.ingest.tag_features import Vocabulary, vocabulary
from octavo.ingest.tag_lessons import (
    Example,
    group,
    lesson,
    of_elsewhere,
    of_methods,
    of_papers,
    of_unrelated,
    of_words,
    people_said,
    shelves,
    truth,
)

STRENGTH = 10.0  # C of the regressions
FOLDS = 5
TOLERANCE = 1e-3
# Slope and intercept for themes, for techniques, and for "other": what cross-validation gave.
LINES = ((0.96, 0.57), (0.84, -0.51), (0.89, -0.06))
FEWEST = 2  # examples of a shelf that can be learned
NEVER = -9.0  # what a shelf without them says


class Fitted(NamedTuple):
    """A regression for each shelf, over the features and the encoder's vectors."""

    known: Vocabulary
    weights: npt.NDArray[np.float64]  # (features, shelves)
    bias: npt.NDArray[np.float64]  # (shelves,)

    def logits(self, texts: Sequence[str], encoder: Encoder) -> npt.NDArray[np.float64]:
        """Raw scores, (texts, shelves)."""
        return np.asarray(seen(texts, self.known, encoder) @ self.weights) + self.bias


def fit(
    examples: Sequence[Example],
    names: Sequence[str],
    encoder: Encoder,
    root: Path = catalog.ROOT,
    advance: Callable[[int], None] = lambda _: None,
) -> Fitted:
    """One regression for each shelf that has examples; the others never answer."""
    from sklearn.linear_model import LogisticRegression

    texts = [example.text for example in examples]
    known = vocabulary(texts, names, root)
    rows = seen(texts, known, encoder)
    trust = np.array([example.weight for example in examples])
    weights, bias = np.zeros((rows.shape[1], len(names))), np.full(len(names), NEVER)
    for at, name in enumerate(names):
        right = np.array([stands_on(example, name) for example in examples])
        kept = right | np.array([name not in example.open for example in examples])
        if right.sum() >= FEWEST:
            one = LogisticRegression(C=STRENGTH, solver="liblinear", tol=TOLERANCE, random_state=0)
            one.fit(rows[kept], right[kept], sample_weight=trust[kept])
            weights[:, at], bias[at] = one.coef_[0], one.intercept_[0]
        advance(1)
    return Fitted(known, weights, bias)


def stands_on(example: Example, name: str) -> bool:
    """Whether a text stands on a shelf; on that of "other" stands what is on none."""
    return name in example.tags or (name == OTHER and not example.tags)


class Crossed(NamedTuple):
    """What regressions said of papers that they had not seen, and of titles on no shelf."""

    papers: list[Paper]
    folds: npt.NDArray[np.int64]  # (papers,)
    titles: npt.NDArray[np.float64]  # raw scores by title alone, (papers, shelves)
    whole: npt.NDArray[np.float64]  # with abstract and summary, where there are any
    unrelated: npt.NDArray[np.float64]  # (titles of the training half, shelves)


def crossed(
    encoder: Encoder, root: Path = catalog.ROOT, advance: Callable[[int], None] = lambda _: None
) -> Crossed:
    """Cross-validation: FOLDS parts, themes spread evenly, no group of papers torn apart."""
    from sklearn.model_selection import StratifiedGroupKFold

    names, words = shelves(root), [*of_words(root), *of_elsewhere(root)]
    papers = [paper for paper in catalog.papers(root).values() if people_said(paper)]
    groups, first = [group(p) for p in papers], [min(people_said(p)) for p in papers]
    often = Counter(first)
    first = [name if often[name] >= FOLDS else "rare" for name in first]
    others, stories = of_unrelated(root), of_methods(root)
    turn = np.arange(len(others)) % FOLDS
    found = Crossed(
        papers,
        np.zeros(len(papers), np.int64),
        np.zeros((len(papers), len(names))),
        np.zeros((len(papers), len(names))),
        np.zeros((len(others), len(names))),
    )
    parts = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0).split(first, first, groups)
    for fold, (_, held_out) in enumerate(parts):
        out = {groups[at] for at in held_out}
        known = [p for p, its in zip(papers, groups, strict=True) if its not in out]
        lesson = [*of_papers(known, root), *(e for e in stories if e.group not in out), *words]
        lesson += [each for each, its in zip(others, turn, strict=True) if its != fold]
        fitted = fit(lesson, names, encoder, root, advance)
        found.folds[held_out] = fold
        found.titles[held_out] = fitted.logits([papers[at].title for at in held_out], encoder)
        found.whole[held_out] = fitted.logits([told(papers[at]) for at in held_out], encoder)
        here = np.flatnonzero(turn == fold)
        found.unrelated[here] = fitted.logits([others[at].text for at in here], encoder)
    return found


def calibrated(
    logits: npt.NDArray[np.float64], names: Sequence[str], root: Path = catalog.ROOT
) -> npt.NDArray[np.float64]:
    """Raw scores on the lines of LINES: after the sigmoid, shares that come true (Platt 1999)."""
    made = logits.copy()
    for columns, (slope, intercept) in zip(kinds(names, root), LINES, strict=True):
        made[..., columns] = slope * logits[..., columns] + intercept
    return made


def lines(found: Crossed, root: Path = catalog.ROOT) -> list[tuple[float, float]]:
    """What LINES should be: fitted to scores of papers and titles that were not seen."""
    from sklearn.linear_model import LogisticRegression

    names = shelves(root)
    right = np.vstack([truth(found.papers, names), np.zeros_like(found.unrelated, bool)])
    right[:, names.index(OTHER)] |= ~right.any(axis=1)
    raw, made = np.vstack([found.titles, found.unrelated]), []
    for columns in kinds(names, root):
        one = LogisticRegression(C=1e4)
        one.fit(raw[:, columns].reshape(-1, 1), right[:, columns].ravel())
        made.append((round(float(one.coef_[0, 0]), 2), round(float(one.intercept_[0]), 2)))
    return made


def kinds(names: Sequence[str], root: Path = catalog.ROOT) -> list[npt.NDArray[np.int64]]:
    """Columns of themes, of techniques, and of "other"."""
    themes = catalog.taxonomy(root).themes
    kind = [2 if name == OTHER else int(name not in themes) for name in names]
    return [np.flatnonzero(np.array(kind) == which) for which in range(3)]


def train(
    path: Path = FILE,
    root: Path = catalog.ROOT,
    advance: Callable[[int], None] = lambda _: None,
) -> str:
    """Train on all there is, calibrate, write the file; its version."""
    encoder, names = encode.load("static"), shelves(root)
    fitted = fit(lesson(root), names, encoder, root, advance)
    slopes = calibrated(np.ones_like(fitted.bias), names, root)
    slopes -= calibrated(np.zeros_like(fitted.bias), names, root)
    line = Fitted(fitted.known, fitted.weights * slopes, calibrated(fitted.bias, names, root))
    save(line, path, root)
    return version(path)


def steps(root: Path = catalog.ROOT) -> int:
    """How often `train` advances."""
    return len(shelves(root))


def save(fitted: Fitted, path: Path, root: Path = catalog.ROOT) -> None:
    """Write regressions in 8 bits, a scale for each shelf, whole or not at all."""
    from safetensors.numpy import save_file

    scales = np.maximum(np.abs(fitted.weights).max(axis=0), 1e-12) / 127
    known = fitted.known
    held = {
        "codes": np.rint(fitted.weights / scales).astype(np.int8),
        "scales": scales.astype(np.float32),
        "bias": fitted.bias.astype(np.float32),
        "word_rarity": np.array(list(known.words.values()), np.float32),
        "piece_rarity": np.array(list(known.pieces.values()), np.float32),
    }
    facts = {
        "encoder": encode.mark("static"),
        "shelves": " ".join(shelves(root)),
        "words": "\n".join(known.words),
        "pieces": "\n".join(known.pieces),
        "cues": json.dumps(known.cues),
    }
    aside = path.with_suffix(".new")
    save_file(held, aside, facts)
    aside.chmod(0o644)
    aside.replace(path)
