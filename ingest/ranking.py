"""From a question to hits: full text and vectors, each a ranking, fused into one.

Reciprocal-rank fusion (Cormack, Clarke and Büttcher 2009): a row scores the sum over rankings of
1 / (K + rank). Ranks need no common scale, which BM25 scores and cosines do not have. The paper
sets K = 60 for lists of a thousand. Here a question has a few answers, often found by words alone
or by meaning alone: a smaller K lets a first place in one ranking count.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from octavo.errors import InputError
from octavo.ingest.documents import Row
from octavo.ingest.table import Table, by_vector, by_words, quote

K = 10  # of 10, 20, 60, 120 the best on the dev half of catalog/queries.jsonl
DEPTH = 100  # of each ranking
MODES = ("words", "dense", "hybrid")  # which rankings are asked
LONGEST = 2000  # characters of a query that are read


@dataclass(frozen=True)
class Hit:
    """Something found. A method stands for its papers, which it names."""

    kind: str  # "method" or "paper"
    id: str
    title: str
    score: float
    year: int | None = None
    implemented: bool = False
    papers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wanted:
    """A question and its filters. ``years`` includes both ends; None leaves an end open."""

    query: str
    theme: str | None = None
    tag: str | None = None
    years: tuple[int | None, int | None] = (None, None)
    method_only: bool = False
    limit: int = 10
    mode: str = "hybrid"

    @property
    def text(self) -> str:
        """The question as far as it is read, in single spaces and without control characters."""
        kept = "".join(c if c.isprintable() else " " for c in self.query[:LONGEST])
        return " ".join(kept.split())

    def check(self, themes: Mapping[str, Any]) -> None:
        """Raise InputError for an empty question or an unknown theme."""
        if not self.text:
            raise InputError("empty query; ask with a few words")
        if self.limit < 1:
            raise InputError(f"limit {self.limit}; give 1 or more")
        if self.mode not in MODES:
            raise InputError(f"mode {self.mode!r}; modes are {', '.join(MODES)}")
        if self.theme is not None and self.theme not in themes:
            raise InputError(f"no theme {self.theme!r}; themes are {', '.join(themes)}")

    def where(self) -> str | None:
        """The filters as one SQL condition."""
        first, last = self.years
        parts = [f"array_has(tags, {quote(shelf)})" for shelf in (self.theme, self.tag) if shelf]
        parts += [f"year >= {int(first)}"] if first is not None else []
        parts += [f"year <= {int(last)}"] if last is not None else []
        parts += ["kind = 'method'"] if self.method_only else []
        return " AND ".join(parts) or None


def years_of(text: str | None) -> tuple[int | None, int | None]:
    """Both ends of a range of years. Raises InputError for anything else.

    >>> years_of("2018-2020"), years_of("2020"), years_of("2021-"), years_of(None)
    ((2018, 2020), (2020, 2020), (2021, None), (None, None))
    """
    found = re.fullmatch(r"(\d{4})?(-?)(\d{4})?", text or "-")
    if found is None or text == "" or (text and not (found[1] or found[3])):
        raise InputError(f"year {text!r}; give 2020, 2018-2020, 2018- or -2020")
    first, last = (int(end) if end else None for end in (found[1], found[3]))
    return (first, last) if found[2] else (first, first)


def table(hits: Sequence[Hit]) -> Any:
    """Hits as a table for the terminal."""
    from rich.table import Table as Shown
    from rich.text import Text

    shown = Shown("", "kind", "id", "title", "year", box=None, pad_edge=False)
    for number, hit in enumerate(hits, 1):
        note = "" if hit.kind == "paper" or hit.implemented else " (not implemented yet)"
        year = str(hit.year or "")
        shown.add_row(str(number), hit.kind, Text(hit.id), Text(hit.title + note), year)
    return shown


def ranked(table: Table, wanted: Wanted, vector: Any | None) -> list[Hit]:
    """Hits for a question; without a vector the words alone decide."""
    depth = max(DEPTH, 5 * wanted.limit)
    rankings = []
    if wanted.mode != "dense":
        rankings.append(by_words(table, wanted.text, wanted.where(), depth))
    if wanted.mode != "words" and vector is not None:
        rankings.append(by_vector(table, vector, wanted.where(), depth))
    return one_an_idea(fused(rankings))[: wanted.limit]


def fused(rankings: Iterable[Sequence[Row]]) -> list[Hit]:
    """Rankings as one, by reciprocal ranks; ties by key.

    >>> rows = [{"key": "paper:" + x, "kind": "paper", "id": x, "title": x} for x in "abc"]
    >>> [hit.id for hit in fused([rows, [rows[2], rows[0]]])]
    ['a', 'c', 'b']
    """
    scores: dict[str, float] = {}
    rows: dict[str, Row] = {}
    for ranking in rankings:
        for rank, row in enumerate(ranking, 1):
            rows[row["key"]] = row
            scores[row["key"]] = scores.get(row["key"], 0.0) + 1 / (K + rank)
    return [_hit(rows[key], scores[key]) for key in sorted(scores, key=lambda k: (-scores[k], k))]


def one_an_idea(hits: Sequence[Hit]) -> list[Hit]:
    """A method and its papers as one hit, at the place of the better one.

    A method that runs stands for its papers; one that is only described leaves its paper first.
    """
    papers = {hit.id: hit for hit in hits if hit.kind == "paper"}
    leads: dict[tuple[str, str], Hit] = {}
    for method in (hit for hit in hits if hit.kind == "method"):
        here = [paper for paper in method.papers if paper in papers]
        lead = method if method.implemented or not here else papers[here[0]]
        for member in (("method", method.id), *(("paper", paper) for paper in here)):
            leads.setdefault(member, lead)
    kept: dict[tuple[str, str], Hit] = {}
    for hit in hits:
        lead = leads.get((hit.kind, hit.id), hit)
        kept.setdefault((lead.kind, lead.id), replace(lead, score=hit.score))
    return list(kept.values())


def _hit(row: Row, score: float) -> Hit:
    return Hit(
        row["kind"],
        row["id"],
        row["title"],
        round(score, 6),
        row.get("year"),
        bool(row.get("implemented")),
        tuple(row.get("papers") or ()),
    )
