"""Techniques and themes of a paper, from its title, and its abstract if there is one.

A logistic regression for each shelf of the taxonomy over the features of `tag_features`, read from
``weights/tagger.safetensors``: 8-bit weights, a scale for each shelf, and the vocabulary. The file
ships with the package, so that tagging needs neither scikit-learn nor a training run, gives every
reader the same tags, and starts in a fraction of a second; `octavo tag --train` makes it anew.

    score(shelf) = sigmoid(x . w + b) (1 - other),    other = sigmoid(x . w' + b')

``other`` is its own regression: how likely the paper stands on no shelf at all.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from octavo import catalog
from octavo.catalog import Paper, Tag, Taxonomy
from octavo.errors import InputError
from octavo.ingest import encode
from octavo.ingest.tag_features import Matrix, Vocabulary, features

FILE = Path(__file__).parent / "weights" / "tagger.safetensors"
OTHER = "other"  # the theme of what stands on no shelf
HEARD = 0.25  # a score from which a theme is named that the text has a cue of
TOLD = 0.02  # and a technique that it has a cue of: lists seldom note techniques
SURE = 0.65  # and a shelf that it has no cue of. All by cross-validation: `octavo bench tagger`
BATCH = 1000
LONGEST_NAME = 250  # characters of a file's name; what is longer is a text
LISTED = 8  # shelves named at most

Scores = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Shelf:
    """A theme or technique and how sure the tagger is, 0 to 1."""

    id: str
    score: float


@dataclass(frozen=True)
class Tagged:
    """A text with its shelves, surest first. ``other`` says how likely there is none."""

    text: str
    tags: tuple[Shelf, ...]
    other: float


@dataclass(frozen=True)
class Tagger:
    """The regressions, loaded. ``version`` names the file they come from."""

    version: str
    shelves: tuple[str, ...]
    known: Vocabulary
    weights: Scores  # (features, shelves)
    bias: Scores  # (shelves,)
    above: npt.NDArray[np.bool_]  # (shelves, shelves): techniques under themes
    encoder: encode.Encoder

    def tag(self, texts: Sequence[str]) -> list[Tagged]:
        """Shelves of texts. A text is a title, or a title, a line break and an abstract."""
        found: list[Tagged] = []
        for start in range(0, len(texts), BATCH):
            some = texts[start : start + BATCH]
            rows = seen(some, self.known, self.encoder)
            scores = self._scores(rows)
            named = named_of(scores, cued(rows, self.known, self.above), self.above)
            named[:, self._other] = False
            found += map(self._told, some, scores, named)
        return found

    def scores(self, texts: Sequence[str]) -> Scores:
        """Score of every shelf, (texts, shelves); the column of "other" is that of none."""
        return self._scores(seen(texts, self.known, self.encoder))

    def _scores(self, rows: Matrix) -> Scores:
        return combined(np.asarray(rows @ self.weights) + self.bias, self._other)

    @cached_property
    def _other(self) -> int:
        return self.shelves.index(OTHER)

    def _told(self, text: str, scores: Scores, named: npt.NDArray[np.bool_]) -> Tagged:
        order = sorted(np.flatnonzero(named).tolist(), key=lambda at: -float(scores[at]))
        tags = (Shelf(self.shelves[at], round(float(scores[at]), 3)) for at in order[:LISTED])
        return Tagged(text, tuple(tags), round(float(scores[self._other]), 3))


def named_of(
    scores: Scores, heard: npt.NDArray[np.bool_], above: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Which shelves texts are put on, (texts, shelves); a technique only together with its theme.

    Three shelves: pruning, quantization, and a technique of pruning that the text has a cue of.

    >>> under = np.array([[False] * 3, [False] * 3, [True, False, False]])
    >>> scores, heard = np.array([[0.3, 0.6, 0.1]]), np.array([[True, False, True]])
    >>> named_of(scores, heard, under)
    array([[ True, False,  True]])
    """
    techniques = above.any(axis=1)
    made: npt.NDArray[np.bool_] = scores >= np.where(heard, np.where(techniques, TOLD, HEARD), SURE)
    roofed = (made[:, ~techniques] @ above[:, ~techniques].T.astype(np.int8)) > 0
    return made & (roofed | ~techniques)


def cued(rows: Matrix, known: Vocabulary, above: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Of which shelves features have a cue, (texts, shelves). ``above``: (technique, theme)."""
    start = len(known.words) + len(known.pieces)
    here: npt.NDArray[np.bool_] = rows[:, start : start + known.shelves].toarray() > 0
    return here | ((here.astype(np.float32) @ above.astype(np.float32)) > 0)


def above(shelves: Sequence[str], words: Taxonomy) -> npt.NDArray[np.bool_]:
    """Which theme stands above which technique, (shelves, shelves)."""
    made = np.zeros((len(shelves), len(shelves)), bool)
    for name, technique in words.techniques.items():
        if name in shelves and technique.theme in shelves:
            made[shelves.index(name), shelves.index(technique.theme)] = True
    return made


def combined(logits: Scores, other: int) -> Scores:
    """Scores of shelves, each times the chance that the text stands on a shelf at all."""
    scores: Scores = (1 / (1 + np.exp(-logits))).astype(np.float32)
    none = scores[:, other : other + 1].copy()
    scores *= 1 - none
    scores[:, other] = none[:, 0]
    return scores


def seen(texts: Sequence[str], known: Vocabulary, encoder: encode.Encoder) -> Matrix:
    """All features of texts: words, pieces, cues, and the encoder's vectors."""
    meaning = sparse.csr_matrix(encoder.encode(texts))
    return sparse.hstack([features(texts, known), meaning], format="csr")


def told(paper: Paper) -> str:
    """What the tagger reads of a paper: the title, then abstract and summary if there are any."""
    return f"{paper.title}\n{' '.join(filter(None, (paper.abstract, paper.summary)))}".strip()


def shelved(papers: Iterable[Paper], words: Taxonomy, tagger: Tagger | None = None) -> list[Paper]:
    """Papers with the tagger's tags beside those they have; what people said stays as it is.

    A paper that somebody curated is left alone, and so is one that has tags of this very tagger.
    ``words`` are the shelves there are.
    """
    given = list(papers)
    open_to = [p for p in given if not any(tag.origin == "curated" for tag in p.tags)]
    if not open_to:
        return given
    tagger = tagger or load()
    ours = f"model:{tagger.version}:"
    open_to = [p for p in open_to if not any(tag.origin.startswith(ours) for tag in p.tags)]
    found = tagger.tag([told(paper) for paper in open_to])
    there = words.themes.keys() | words.techniques.keys()
    made = {
        p.id: _with(p, its, tagger.version, there) for p, its in zip(open_to, found, strict=True)
    }
    return [made.get(paper.id, paper) for paper in given]


def _with(paper: Paper, found: Tagged, version: str, there: Collection[str]) -> Paper:
    """A paper with model tags; those of an older version are gone."""
    told_by_people = tuple(tag for tag in paper.tags if not tag.origin.startswith("model:"))
    have = {tag.id for tag in told_by_people}
    ours = (
        Tag(shelf.id, f"model:{version}:{shelf.score}")
        for shelf in found.tags
        if shelf.id in there and shelf.id not in have
    )
    return replace(paper, tags=(*told_by_people, *ours))


def texts_of(given: str, read: Callable[[], str]) -> list[str]:
    """The texts that TEXT, "-" or FILE stand for; ``read`` gives what comes on standard input.

    A line of a file is a title, a title and an abstract with a tab between, or a JSON object with
    ``title`` and perhaps ``abstract``. Raises InputError where nothing is there to be tagged.
    """
    try:
        path = Path(given)
        is_file = len(given) < LONGEST_NAME and path.is_file()
        lines = read() if given == "-" else path.read_text(encoding="utf-8") if is_file else None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"tag {given}: {error}; give a text, or a file of lines in UTF-8"
        ) from None
    texts = (
        [given.strip()] if lines is None else [_line(x) for x in lines.splitlines() if x.strip()]
    )
    if not any(texts):
        raise InputError("tag: no text; give a title, - for lines on standard input, or a file")
    return texts


def _line(line: str) -> str:
    if not line.lstrip().startswith("{"):
        return line.strip().replace("\t", "\n", 1)
    try:
        told = json.loads(line)
        return f"{told['title']}\n{told.get('abstract') or ''}".strip()
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"tag: {line[:60]!r}: {error!r}; a JSON line has a title") from None


def version(path: Path = FILE) -> str:
    """Names the tagger's file by its content, as in the origin of its tags."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:8]


def load(path: Path = FILE) -> Tagger:
    """Read the tagger.

    Raises InputError where there is none, or where it was trained with another encoder.
    """
    from safetensors import safe_open

    if not path.is_file():
        raise InputError(f"{path}: no tagger here; `octavo tag --train` makes it")
    with safe_open(path, "numpy") as file:
        facts = file.metadata()
        held = {name: file.get_tensor(name) for name in list(file.keys())}
    encoder = encode.load("static")
    if facts["encoder"] != encode.mark("static"):
        raise InputError("the tagger was trained with another encoder; run `octavo tag --train`")
    shelves = tuple(facts["shelves"].split())
    return Tagger(
        version(path),
        shelves,
        _vocabulary(facts, held),
        held["codes"].astype(np.float32) * held["scales"],
        held["bias"],
        above(shelves, catalog.taxonomy()),
        encoder,
    )


def _vocabulary(facts: dict[str, str], held: dict[str, Any]) -> Vocabulary:
    words, pieces = facts["words"].splitlines(), facts["pieces"].splitlines()
    phrases = {phrase: tuple(columns) for phrase, columns in json.loads(facts["cues"]).items()}
    return Vocabulary(
        dict(zip(words, held["word_rarity"].tolist(), strict=True)),
        dict(zip(pieces, held["piece_rarity"].tolist(), strict=True)),
        phrases,
        len(facts["shelves"].split()),
    )
