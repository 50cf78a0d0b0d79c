"""Two records of one paper -> one record. The order in which they arrive does not matter."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from octavo.catalog.records import Paper

T = TypeVar("T")
Weight = Callable[[Any], Any]

_ADDRESS = {
    "arxiv": "https://arxiv.org/abs/{}",
    "doi": "https://doi.org/{}",
    "openreview": "https://openreview.net/forum?id={}",
    "url": "{}",
    "code": "{}",
}


def merge(old: Paper, new: Paper) -> Paper:
    """The one record of two that are the same paper.

    What a person curated beats what a source said; between equals the earlier fact stays. Gaps
    are filled. Sources, tags and links add up, and an id or address that lost becomes a link.
    Withdrawn stays withdrawn; of one arXiv id the highest version counts. ``merge(a, b)`` equals
    ``merge(b, a)``, and a record that brings nothing changes nothing.

    >>> old = Paper("synflow", "SynFlow", arxiv="2006.05467", arxiv_version=3)
    >>> merge(old, Paper("synflow", "SynFlow", arxiv="2006.05467", arxiv_version=1)) == old
    True
    """
    first, second = sorted((old, new), key=_standing)
    both = (first, second)
    authors = min(both, key=_byline)
    chosen = {name: _fact(name, both, weight) for name, weight in _FACTS.items()}
    return Paper(
        id=first.id,
        title=first.title,
        authors=authors.authors,
        authors_complete=authors.authors_complete,
        arxiv_version=_version(both, chosen["arxiv"]),
        categories=_union(first.categories, second.categories),
        kind=min(both, key=_work).kind,
        sources=_union(first.sources, second.sources),
        tags=_union(first.tags, second.tags),
        status="withdrawn" if "withdrawn" in (old.status, new.status) else "active",
        links=_union(_union(first.links, second.links), _lost(both, chosen)),
        **chosen,
    )


def curated(paper: Paper) -> bool:
    """Whether a person has put this paper on a shelf."""
    return any(tag.origin == "curated" for tag in paper.tags)


def _standing(paper: Paper) -> tuple[Any, ...]:
    """Curated first; then the shorter id, as catalog ids are shorter than slugs of titles."""
    return (not curated(paper), len(paper.id), paper.id, paper.title)


def _byline(paper: Paper) -> tuple[Any, ...]:
    known = (not paper.authors, not paper.authors_complete, not curated(paper))
    return (*known, -len(paper.authors), paper.authors)


def _work(paper: Paper) -> tuple[Any, ...]:
    return (paper.kind == "unknown", not curated(paper), paper.kind)


def _venue(venue: str) -> tuple[bool, int, str]:
    return (venue.lower().startswith("arxiv"), len(venue), venue)


def _longest(text: str) -> tuple[int, str]:
    return (-len(text), text)


def _itself(value: Any) -> Any:
    return value


_FACTS: dict[str, Weight] = {
    "year": _itself,
    "venue": _venue,
    "arxiv": _itself,
    "doi": _itself,
    "openreview": _itself,
    "url": _itself,
    "code": _itself,
    "abstract": _longest,
    "summary": _longest,
}


def _fact(name: str, both: tuple[Paper, Paper], weight: Weight) -> Any:
    """The fact of the curated record, else the lighter of the two, else the only one."""
    known = [each for each in both if getattr(each, name) is not None]
    best = min(
        known, key=lambda each: (not curated(each), weight(getattr(each, name))), default=None
    )
    return getattr(best, name) if best is not None else None


def _version(both: Iterable[Paper], arxiv: str | None) -> int | None:
    return max(
        (each.arxiv_version for each in both if each.arxiv == arxiv and each.arxiv_version),
        default=None,
    )


def _lost(both: Iterable[Paper], chosen: dict[str, Any]) -> tuple[str, ...]:
    """Addresses of ids and pages that gave way to another."""
    lost = {
        form.format(value)
        for name, form in _ADDRESS.items()
        for value in (getattr(each, name) for each in both)
        if value is not None and value != chosen[name]
    }
    return tuple(sorted(lost))


def _union(some: tuple[T, ...], others: tuple[T, ...]) -> tuple[T, ...]:
    """All of both: the larger as it stands where it holds the other, else sorted."""
    mine, theirs = set(some), set(others)
    if mine == theirs:
        return min(some, others, key=lambda each: (len(each), repr(each)))
    if mine > theirs:
        return some
    if theirs > mine:
        return others
    return tuple(sorted(mine | theirs, key=repr))
