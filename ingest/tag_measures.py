"""How well the tagger tags papers it never saw, and how often it tags what it should not.

Themes and techniques are counted apart: lists name the theme they are about and seldom every
technique, so a technique nobody noted counts as false here even where it is right. ``micro`` is
F1 over all answers together, ``macro`` its mean over shelves with at least COUNTED papers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from octavo import catalog
from octavo.catalog import Paper
from octavo.ingest import encode
from octavo.ingest.tag import OTHER, above, combined, cued, load, named_of, told
from octavo.ingest.tag_features import features, vocabulary
from octavo.ingest.tag_lessons import OF_LISTS, shelves, truth, unrelated
from octavo.ingest.tag_training import FOLDS, calibrated, crossed, kinds, lines

COUNTED = 5  # papers of a shelf whose F1 is reported
TITLES = 1000  # texts that are timed
BINS = 10
Named = npt.NDArray[np.bool_]
Row = dict[str, Any]


def measure(
    root: Path = catalog.ROOT, advance: Callable[[int], None] = lambda _: None
) -> dict[str, Any]:
    """Everything the evaluation page shows."""
    names = shelves(root)
    found = crossed(encode.load("static"), root, advance)
    right = truth(found.papers, names)
    read = {
        "titles": _Read([p.title for p in found.papers], _scores(found.titles, root)),
        "texts": _Read([told(p) for p in found.papers], _scores(found.whole, root)),
    }
    said = {what: named(each, names, root) for what, each in read.items()}
    return {
        "rows": list(_rows(found.papers, right, said, root)),
        "shelves": per_shelf(right, said["titles"], names),
        "unrelated": [_false(kind, root) for kind in ("near", "far")],
        "calibration": round(off(read["titles"].scores, right, names, root), 4),
        "lines": lines(found, root),
        "abstracts": sum(paper.abstract is not None for paper in found.papers),
        "summaries": sum(paper.summary is not None for paper in found.papers),
        "speed": speed(),
    }


def steps(root: Path = catalog.ROOT) -> int:
    """How often `measure` advances."""
    return len(shelves(root)) * FOLDS


class _Read(NamedTuple):
    """Texts, and the scores of regressions that had not seen them."""

    texts: list[str]
    scores: npt.NDArray[np.float32]  # (texts, shelves)


def named(read: _Read, names: Sequence[str], root: Path = catalog.ROOT) -> Named:
    """Which shelves each text is put on, (texts, shelves)."""
    known, roofs = vocabulary([], names, root), above(names, catalog.taxonomy(root))
    made = named_of(read.scores, cued(features(read.texts, known), known, roofs), roofs)
    made[:, names.index(OTHER)] = False
    return made


def f1(right: Named, said: Named) -> Row:
    """Precision, recall and F1 of all answers together.

    >>> f1(np.array([[True, False], [True, True]]), np.array([[True, True], [True, False]]))
    {'precision': 0.6667, 'recall': 0.6667, 'micro': 0.6667}
    """
    hits, told, wanted = (right & said).sum(), said.sum(), right.sum()
    return {
        "precision": round(float(hits / max(told, 1)), 4),
        "recall": round(float(hits / max(wanted, 1)), 4),
        "micro": round(float(2 * hits / max(told + wanted, 1)), 4),
    }


def per_shelf(right: Named, said: Named, names: Sequence[str]) -> list[Row]:
    """Precision, recall and F1 of each shelf that has papers."""
    rows = []
    for at, name in enumerate(names):
        papers = int(right[:, at].sum())
        if papers and name != OTHER:
            score = f1(right[:, at : at + 1], said[:, at : at + 1])
            rows.append({"shelf": name, "papers": papers, "f1": score.pop("micro"), **score})
    return rows


def off(scores: Any, right: Named, names: Sequence[str], root: Path) -> float:
    """Expected calibration error of themes: how far scores are from shares that come true."""
    at = kinds(names, root)[0]
    said, true = scores[:, at].ravel(), right[:, at].ravel()
    bins = np.minimum((said * BINS).astype(int), BINS - 1)
    gaps = [
        abs(said[bins == b].mean() - true[bins == b].mean()) * (bins == b).mean()
        for b in range(BINS)
        if (bins == b).any()
    ]
    return float(sum(gaps))


def speed() -> Row:
    """Seconds to load, and papers a second on this machine, by title and with 150 words more."""
    start = time.perf_counter()
    tagger = load()
    loaded = time.perf_counter() - start
    papers = list(catalog.papers().values())[:TITLES]
    prose = " ".join(m.problem or "" for m in catalog.methods().values()).split()
    bodies = [" ".join(prose[at % 500 : at % 500 + 150]) for at in range(len(papers))]
    timed = {}
    for what, texts in (
        ("titles", [p.title for p in papers]),
        ("abstracts", [f"{p.title}\n{body}" for p, body in zip(papers, bodies, strict=True)]),
    ):
        start = time.perf_counter()
        tagger.tag(texts)
        timed[f"{what}_a_second"] = round(len(texts) / (time.perf_counter() - start))
    return {"load_seconds": round(loaded, 3), **timed}


def _scores(raw: npt.NDArray[np.float64], root: Path) -> npt.NDArray[np.float32]:
    names = shelves(root)
    return combined(calibrated(raw, names, root).astype(np.float32), names.index(OTHER))


def _rows(
    papers: Sequence[Paper], right: Named, answers: Mapping[str, Named], root: Path
) -> Iterator[Row]:
    names = shelves(root)
    these = {
        "titles": np.ones(len(papers), bool),
        "texts": np.array([bool(p.abstract or p.summary) for p in papers]),
    }
    listed = np.array([any(t.origin.startswith(OF_LISTS) for t in p.tags) for p in papers])
    for read, kept in these.items():
        said = answers[read]
        for of, some in (("all", kept), ("lists", kept & listed), ("curated", kept & ~listed)):
            for what, columns in zip(("themes", "techniques"), kinds(names, root), strict=False):
                if some.any():
                    mine, ours = right[some][:, columns], said[some][:, columns]
                    yield {
                        "read": read,
                        "papers": of,
                        "what": what,
                        "count": int(some.sum()),
                        **f1(mine, ours),
                        "macro": macro(mine, ours),
                    }


def macro(right: Named, said: Named) -> float:
    """Mean F1 of the shelves with at least COUNTED papers."""
    each = [
        f1(right[:, [at]], said[:, [at]])["micro"]
        for at in range(right.shape[1])
        if right[:, at].sum() >= COUNTED
    ]
    return round(float(np.mean(each)), 4) if each else 0.0


def _false(kind: str, root: Path) -> Row:
    """Titles of the test half, never learned from, that are put on a shelf all the same."""
    titles = [each["title"] for each in unrelated("test", root) if each["kind"] == kind]
    wrong = [tagged for tagged in load().tag(titles) if tagged.tags]
    told = [{"title": t.text, "tags": [s.id for s in t.tags]} for t in wrong]
    return {"kind": kind, "titles": len(titles), "tagged": len(wrong), "which": told}


def table(document: dict[str, Any]) -> Any:
    """The main rows for the terminal."""
    from rich.table import Table

    shown = Table("read", "papers", "what", "count", "micro F1", "macro F1", box=None)
    for row in document["rows"]:
        counts = (f"{row[key]:.3f}" for key in ("micro", "macro"))
        shown.add_row(row["read"], row["papers"], row["what"], str(row["count"]), *counts)
    for row in document["unrelated"]:
        shown.add_row("titles", row["kind"], "false tags", str(row["titles"]), str(row["tagged"]))
    return shown
