"""Themes that show in a library by themselves: clusters of papers by what they mean.

    static encoder -> 32 principal directions -> k-means on the unit sphere

k-means is run from RESEEDS seeds; the mean adjusted Rand index between the runs (Hubert and Arabie
1985: 1 for the same partition, 0 for chance) says how much the themes are the papers' and how much
the seed's. Unless a number of themes is asked for, it is the candidate with the steadiest
partition. A theme is named by the words that tell it from the others: term frequency in the theme
times log(1 + mean words of a theme / frequency in all), the class-based TF-IDF.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from octavo.catalog import Paper
from octavo.errors import InputError
from octavo.ingest import encode
from octavo.ingest.tag import told
from octavo.ingest.tag_features import pairs, terms

RESEEDS = 5
STARTS = 4  # of each run; the best counts
DIRECTIONS = 32
FEWEST = 6  # papers that can have themes
SHARES = (0.5, 0.75, 1.0, 1.25)  # candidates for the number of themes, of sqrt(papers / 2)
NAMING, SHOWN = 3, 3  # terms in a name; papers that stand for a theme
PAIR = 1.6  # a pair of words says more than either
FAR = 2.0  # standard deviations below the mean cosine to the own centre: an outlier

Labels = npt.NDArray[np.int64]
Vectors = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Shown:
    """A paper, as listed."""

    id: str
    title: str
    year: int | None
    cosine: float  # to the centre of its theme


@dataclass(frozen=True)
class Cluster:
    """A theme: its terms, how many papers it had each year, and those nearest its centre."""

    name: str
    terms: tuple[str, ...]
    size: int
    years: dict[str, int]
    papers: tuple[Shown, ...]
    members: tuple[str, ...]


@dataclass(frozen=True)
class Clusters:
    """The themes of some papers, largest first. ``stability`` is a mean adjusted Rand index."""

    papers: int
    themes: tuple[Cluster, ...]
    outliers: tuple[Shown, ...]
    stability: float
    reseeds: int
    encoder: str

    def __str__(self) -> str:
        return f"{len(self.themes)} research themes and {self.papers:,} papers"


def chosen(
    papers: Iterable[Paper], source: str | None = None, venue: str | None = None
) -> list[Paper]:
    """The papers of a source (part of its id or address), of a venue (part of its name), or all.

    Raises InputError where too few are left to have themes.
    """
    kept = [
        paper
        for paper in papers
        if paper.status == "active"
        and (venue is None or venue.lower() in (paper.venue or "").lower())
        and (source is None or any(source in f"{s.id} {s.url}" for s in paper.sources))
    ]
    if len(kept) < FEWEST:
        asked = " and ".join(
            filter(None, (source and f"source {source!r}", venue and f"venue {venue!r}"))
        )
        raise InputError(
            f"themes: {len(kept)} papers of {asked or 'this library'}; {FEWEST} or more have themes"
        )
    return kept


def cluster(
    papers: Sequence[Paper],
    count: int | None = None,
    seed: int = 0,
    advance: Callable[[int], None] = lambda _: None,
) -> Clusters:
    """Themes of papers. ``advance`` hears of every run done.

    Raises InputError for a number of themes that these papers cannot have.
    """
    if count is not None and not 2 <= count <= len(papers) // 2:
        raise InputError(f"{count} themes of {len(papers)} papers; give 2 to {len(papers) // 2}")
    vectors = directions(encode.load("static").encode([told(paper) for paper in papers]), seed)
    best: tuple[float, Labels] | None = None
    for number in [count] if count else candidates(len(papers)):
        steady, labels = partition(vectors, number, seed, advance)
        if best is None or steady > best[0] + 1e-9:
            best = (steady, labels)
    assert best is not None
    return _described(papers, vectors, best[1], best[0])


def candidates(papers: int) -> list[int]:
    """Numbers of themes to try.

    >>> candidates(200), candidates(8)
    ([5, 8, 10, 12], [2])
    """
    tried = {max(2, round(share * math.sqrt(papers / 2))) for share in SHARES}
    return sorted(number for number in tried if number <= papers // 3)


def directions(vectors: npt.NDArray[np.float32], seed: int) -> Vectors:
    """Unit vectors in the DIRECTIONS in which these texts differ most, (texts, directions)."""
    from sklearn.decomposition import PCA

    width = min(DIRECTIONS, len(vectors) - 1, vectors.shape[1])
    made = PCA(width, random_state=seed).fit_transform(vectors.astype(np.float64))
    unit: Vectors = made / np.maximum(np.linalg.norm(made, axis=1, keepdims=True), 1e-12)
    return unit


def partition(
    vectors: Vectors, number: int, seed: int, advance: Callable[[int], None] = lambda _: None
) -> tuple[float, Labels]:
    """Mean adjusted Rand index over RESEEDS runs, and the tightest of their partitions."""
    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_rand_score

    runs = []
    for at in range(RESEEDS):
        run = KMeans(number, n_init=STARTS, random_state=seed * RESEEDS + at).fit(vectors)
        runs.append((float(run.inertia_), np.asarray(run.labels_, np.int64)))
        advance(1)
    pairs_of = combinations([labels for _, labels in runs], 2)
    steady = float(np.mean([adjusted_rand_score(one, other) for one, other in pairs_of]))
    return steady, min(runs, key=lambda run: run[0])[1]


def _described(
    papers: Sequence[Paper], vectors: Vectors, labels: Labels, steady: float
) -> Clusters:
    cosines, groups = np.zeros(len(papers)), _groups(labels)
    for group in groups:
        centre = vectors[group].mean(axis=0)
        cosines[group] = vectors[group] @ (centre / max(float(np.linalg.norm(centre)), 1e-12))
    shown = [
        Shown(p.id, p.title, p.year, round(float(c), 3))
        for p, c in zip(papers, cosines, strict=True)
    ]
    named = distinguishing([[papers[at].title for at in group] for group in groups])
    made = tuple(
        _one(group, its, papers, shown, cosines) for group, its in zip(groups, named, strict=True)
    )
    far: list[int] = np.argsort(cosines).tolist()
    edge = cosines.mean() - FAR * cosines.std()
    outliers = tuple(shown[at] for at in far if cosines[at] < edge)
    return Clusters(len(papers), made, outliers, round(steady, 3), RESEEDS, "static")


def _groups(labels: Labels) -> list[list[int]]:
    """Places of each theme's papers, the largest theme first."""
    found: list[list[int]] = [np.flatnonzero(labels == k).tolist() for k in np.unique(labels)]
    return sorted(found, key=lambda group: (-len(group), group[0]))


def _one(
    group: list[int],
    its: tuple[str, ...],
    papers: Sequence[Paper],
    shown: Sequence[Shown],
    cosines: Any,
) -> Cluster:
    order = sorted(group, key=lambda at: (-cosines[at], papers[at].id))
    years = Counter(str(papers[at].year or "unknown") for at in group)
    return Cluster(
        ", ".join(its[:NAMING]),
        its,
        len(group),
        dict(sorted(years.items())),
        tuple(shown[at] for at in order[:SHOWN]),
        tuple(papers[at].id for at in order),
    )


def distinguishing(groups: Sequence[Sequence[str]], most: int = 8) -> list[tuple[str, ...]]:
    """The terms that tell each group of texts from the others, the strongest first.

    >>> distinguishing([["Pruning A", "Pruning B"], ["Quantized nets", "Quantized maps"]], 1)
    [('pruning',), ('quantized',)]
    """
    counts = [Counter(term for text in group for term in _named_by(text)) for group in groups]
    all_of = sum(counts, Counter[str]())
    mean = sum(all_of.values()) / max(len(groups), 1)
    found = []
    for count in counts:
        often = {term: n for term, n in count.items() if n > 1}
        worth = {
            term: n * PAIR ** term.count(" ") * math.log(1 + mean / all_of[term])
            for term, n in often.items()
        }
        found.append(_without_echoes(sorted(worth, key=lambda t: (-worth[t], t)), most))
    return found


def _named_by(text: str) -> set[str]:
    """Words and pairs of a text that can name something."""
    found = terms(text)
    words = {word for word in found if word not in _BLAND and len(word) > 1 and not word.isdigit()}
    return words | {p for p in pairs(found) if set(p.split()) <= words}


def _without_echoes(order: Sequence[str], most: int) -> tuple[str, ...]:
    """The first terms, none of which holds a word of one before it."""
    kept: list[str] = []
    for term in order:
        if not any(set(term.split()) & set(other.split()) for other in kept):
            kept.append(term)
    return tuple(kept[:most])


_BLAND_WORDS = (
    "a an the of for in on to and or with without by from via as at is are be can "
    "we it its do does not no how why what when you your using use based towards "
    "toward through into over under between beyond more less better new neural "
    "network net deep learning learn model method approach framework efficient all "
    "need one two "
)
_BLAND = frozenset(_BLAND_WORDS.split())
