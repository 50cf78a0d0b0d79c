"""How well search finds: queries judged by hand, and what a ranking is worth on them.

``catalog/queries.jsonl`` holds a query a line: a need in a practitioner's words, and every record
of the catalog that meets it, with a grade: 3 is what was asked for, 2 answers a good part of it,
1 is related. A query shares no content word with the titles of its grade-3 records. The halves
are for choosing (dev) and for reporting (test): nothing is ever chosen by the test half.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from octavo import catalog
from octavo.errors import InputError
from octavo.ingest.ranking import MODES, Hit

if TYPE_CHECKING:
    from octavo.ingest.library import Library

DEPTH = 10  # hits that count
ANSWERS = 2  # grade from which a hit answers the query
HALVES = ("dev", "test")


@dataclass(frozen=True)
class Judged:
    """A query and the grades, 1 to 3, of the papers and methods that meet it."""

    id: str
    half: str
    query: str
    relevant: Mapping[str, int]

    @cached_property
    def best(self) -> tuple[str, ...]:
        """What the query asks for: the records with grade 3."""
        return tuple(own for own, grade in self.relevant.items() if grade == 3)


@dataclass(frozen=True)
class Score:
    """Means over the queries of one half, each between 0 and 1."""

    mode: str
    half: str
    queries: int
    ndcg: float
    mrr: float
    recall: float


def queries(root: Path = catalog.ROOT) -> tuple[Judged, ...]:
    """The judged queries. Raises InputError that names the line that cannot be read."""
    path = root / "queries.jsonl"
    return tuple(
        _read(line, f"{path.name}:{number}")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
    )


def ndcg(gains: Sequence[int], grades: Collection[int]) -> float:
    """Discounted gain of the first ten hits over that of the best possible ten.

    A hit of grade g at rank r adds (2^g - 1) / log2(r + 1) (Burges et al. 2005, eq. 1; Järvelin
    and Kekäläinen 2002). ``gains`` are the grades of the hits in order, 0 for what was not asked
    for; ``grades`` are those of everything relevant. Grade 3 at rank 2 of one relevant record
    is 7 / log2(3) over 7 / log2(2):

    >>> round(ndcg([0, 3], [3]), 4), ndcg([3, 1], [1, 3]), ndcg([0, 0], [3])
    (0.6309, 1.0, 0.0)
    """
    return _discounted(gains) / _discounted(sorted(grades, reverse=True))


def mrr(gains: Sequence[int]) -> float:
    """One over the rank of the first hit that answers (grade 2 or 3); 0 where none of ten does.

    >>> mrr([1, 0, 2, 3]), mrr([3]), mrr([1, 1])
    (0.3333333333333333, 1.0, 0.0)
    """
    ranks = (rank for rank, gain in enumerate(gains[:DEPTH], 1) if gain >= ANSWERS)
    return next((1 / rank for rank in ranks), 0.0)


def recall(gains: Sequence[int], grades: Collection[int]) -> float:
    """Share of the answers (grade 2 or 3) among the first ten hits; of ten, where there are more.

    Two of the three answers were found, and the grade 1 does not count:

    >>> round(recall([3, 0, 2, 1], [3, 2, 2, 1]), 4)
    0.6667
    """
    answers = sum(grade >= ANSWERS for grade in grades)
    return sum(gain >= ANSWERS for gain in gains[:DEPTH]) / min(answers, DEPTH)


def gains_of(hits: Sequence[Hit], relevant: Mapping[str, int]) -> list[int]:
    """Grades of hits in order. A method also stands for its papers; nothing counts twice.

    >>> synflow = Hit("method", "synflow", "SynFlow", 0.1, papers=("tanaka",))
    >>> gains_of([synflow, Hit("paper", "tanaka", "…", 0.1)], {"tanaka": 3})
    [3, 0]
    """
    left, gains = dict(relevant), []
    for hit in hits:
        here = [left.pop(own) for own in {hit.id, *hit.papers} & left.keys()]
        gains.append(max(here, default=0))
    return gains


def evaluate(library: Library, half: str, mode: str) -> Score:
    """Mean scores of one mode of search (see ranking.MODES) on one half.

    Raises InputError for a half that is neither dev nor test.
    """
    if half not in HALVES:
        raise InputError(f"half {half!r}; halves are {', '.join(HALVES)}")
    asked = [judged for judged in queries() if judged.half == half]
    found = [(found_by(library, judged, mode), judged.relevant.values()) for judged in asked]
    return Score(
        mode,
        half,
        len(asked),
        round(fmean(ndcg(gains, grades) for gains, grades in found), 4),
        round(fmean(mrr(gains) for gains, _ in found), 4),
        round(fmean(recall(gains, grades) for gains, grades in found), 4),
    )


def found_by(library: Library, judged: Judged, mode: str) -> list[int]:
    """Grades of the first ten hits for one query."""
    return gains_of(library.search(judged.query, limit=DEPTH, mode=mode), judged.relevant)


def measure(library: Library) -> list[Score]:
    """Every mode on every half."""
    return [evaluate(library, half, mode) for half in HALVES for mode in MODES]


def content_words(text: str) -> frozenset[str]:
    """Stems of a text's words, without the words of grammar: what a title and a query may share.

    >>> content_words("Pruning the weights") == content_words("a pruned weight")
    True
    """
    words = re.findall(r"[a-z0-9]+", text.lower())
    return frozenset(_stem(word) for word in words if len(word) > 1 and word not in _GRAMMAR)


def _stem(word: str) -> str:
    if len(word) == 4 and word.endswith("s") and not word.endswith("ss"):
        return word[:3]  # nets, bits, maps
    ending = next((e for e in _ENDINGS if word.endswith(e) and len(word) - len(e) >= 4), None)
    if ending is not None:
        return _stem(word.removesuffix(ending))
    return word[:-1] if len(word) > 4 and word[-1] == word[-2] else word


def _discounted(gains: Sequence[int]) -> float:
    return sum((2.0**gain - 1) / math.log2(rank + 1) for rank, gain in enumerate(gains[:DEPTH], 1))


def _read(line: str, where: str) -> Judged:
    try:
        judged = Judged(**json.loads(line))
    except (TypeError, ValueError) as error:
        raise InputError(f"{where}: {error}; a line is id, half, query and relevant") from None
    if judged.half not in HALVES or not judged.best:
        raise InputError(f"{where}: half is dev or test, and something has grade 3")
    return judged


# Longest first: an ending is taken off while four letters remain, again and again.
_ENDINGS = (
    *("fulness", "ational", "ization", "isation", "iveness", "ations", "ation", "ities"),
    *("ments", "izing", "ising", "ized", "ised", "izes", "ises", "ment", "ness", "ings", "ions"),
    *("ives", "able", "ible", "ably", "ally", "ity", "ize", "ise", "ing", "ion", "ive", "ers"),
    *("ors", "ies", "est", "ed", "er", "or", "es", "ly", "al", "ic", "s", "y", "e"),
)
_GRAMMAR = frozenset(
    re.findall(
        r"\w+",
        """
        a about above after again against all along also among an and any are as at be because
        been before being below between both but by can cannot could do does doing done down each
        either else ever few for from further had has have having how if in instead into is it its
        itself just least less many may more most much must my near neither no nor not nothing of
        off on once one ones only onto or other others our out over own per rather same she should
        since so some still such than that the their them themselves then there these they this
        those through to together too under until up upon us use used uses using very via vs was
        we were what when where whether which while who whom whose why will with within without
        would yet you your
        """,
    )
)
