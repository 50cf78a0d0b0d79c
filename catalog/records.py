"""The nouns of the catalog. A dataclass here is the schema of what is written on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

KINDS = ("method", "survey", "study", "unknown")
STATUSES = ("active", "withdrawn")


@dataclass(frozen=True)
class Tag:
    """A shelf a paper stands on, and who put it there.

    ``origin`` is ``curated``, ``source:<list or feed>`` or ``model:<version>:<score>``.
    """

    id: str
    origin: str


@dataclass(frozen=True)
class Source:
    """Where a paper was found: a feed's post, a list, a file; its section and anchor text."""

    id: str
    url: str | None = None
    section: str | None = None
    anchor: str | None = None


@dataclass(frozen=True)
class Paper:
    """Facts about one paper. What is not known is None, never guessed."""

    id: str
    title: str
    authors: tuple[str, ...] = ()
    authors_complete: bool = False
    year: int | None = None
    venue: str | None = None
    arxiv: str | None = None
    arxiv_version: int | None = None
    doi: str | None = None
    openreview: str | None = None
    url: str | None = None
    code: str | None = None
    abstract: str | None = None
    summary: str | None = None
    categories: tuple[str, ...] = ()
    kind: str = "unknown"
    sources: tuple[Source, ...] = ()
    tags: tuple[Tag, ...] = ()
    status: str = "active"
    links: tuple[str, ...] = ()


@dataclass(frozen=True)
class Trend:
    """A weaker expectation than the claim's, written down before any run."""

    expect: str
    value: float
    tolerance: float = 0.0


@dataclass(frozen=True)
class Claim:
    """One checkable sentence of a paper, and what our small setting should show of it."""

    id: str
    statement: str
    where: str
    metric: str
    reported: str
    setting: str
    expect: str
    value: float
    tolerance: float = 0.0
    trend: Trend | None = None
    unit: str | None = None
    task: str | None = None  # shared with other methods, where the result's curve may stand


@dataclass(frozen=True)
class Formula:
    """A formula of a method, in LaTeX, and the line under it."""

    latex: str
    caption: str


@dataclass(frozen=True)
class Method:
    """What a method is for, where it stands, and what it claims."""

    id: str
    name: str
    papers: tuple[str, ...]
    theme: str
    techniques: tuple[str, ...] = ()
    facets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    problem: str | None = None
    idea: str | None = None
    result: str | None = None
    takeaway: str | None = None
    differs: tuple[str, ...] = ()
    claims: tuple[Claim, ...] = ()
    kernels: tuple[str, ...] = ()
    formulas: tuple[Formula, ...] = ()


@dataclass(frozen=True)
class Result:
    """One measured value of one claim, with all that is needed to repeat the run.

    ``seconds`` is wall time, ``spread`` the standard deviation over ``seeds``,
    ``baseline`` a value of the same run.
    """

    method: str
    claim: str
    value: float
    spread: float | None
    seeds: tuple[int, ...]
    baseline: float | None
    baseline_name: str | None
    verdict: str
    series: dict[str, Any] | None
    note: str | None
    command: str
    commit: str
    code_hash: str
    versions: dict[str, Any]
    cpu: str
    gpu: str | None
    seconds: float
    date: str
    quick: bool


@dataclass(frozen=True)
class Theme:
    """A room of the catalog. ``accent`` is its colour, ``#rrggbb``."""

    id: str
    name: str
    description: str
    accent: str


@dataclass(frozen=True)
class Technique:
    """A shelf inside a theme."""

    id: str
    name: str
    theme: str
    description: str


@dataclass(frozen=True)
class Facet:
    """One axis on which methods differ, and what each of its values means."""

    id: str
    name: str
    values: Mapping[str, str]


@dataclass(frozen=True)
class Task:
    """What several methods are measured on, so that their curves may stand in one plot."""

    id: str
    name: str
    description: str


@dataclass(frozen=True)
class Taxonomy:
    """The controlled vocabulary, by id, in the order of the file."""

    themes: dict[str, Theme]
    techniques: dict[str, Technique]
    facets: dict[str, Facet]
    tasks: dict[str, Task] = field(default_factory=dict)


@dataclass(frozen=True)
class Followed:
    """A feed or a query that ``octavo ingest`` goes back to. ``kind`` names the ingester."""

    id: str
    kind: str
    source: str
    name: str
    limit: int | None = None


def paper_to_json(paper: Paper) -> dict[str, Any]:
    """Plain JSON values of a paper: keys in a fixed order, nothing empty.

    >>> paper_to_json(Paper("synflow", "SynFlow", year=2020, tags=(Tag("pruning", "curated"),)))
    {'id': 'synflow', 'title': 'SynFlow', 'year': 2020, 'tags': [{'id': 'pruning', 'origin': \
'curated'}]}
    """
    return {
        name: value
        for name, value in _plain(paper).items()
        if name in ("id", "title") or value != _DEFAULTS[name]
    }


_DEFAULTS: dict[str, Any] = {
    **dict.fromkeys(each.name for each in fields(Paper)),
    "authors": [],
    "authors_complete": False,
    "categories": [],
    "kind": "unknown",
    "sources": [],
    "tags": [],
    "status": "active",
    "links": [],
}


def _plain(record: Any) -> dict[str, Any]:
    """A record as JSON values, fields in their order, inner records without their empty keys."""
    plain: dict[str, Any] = {}
    for each in fields(record):
        value = getattr(record, each.name)
        if isinstance(value, tuple):
            value = [
                item
                if isinstance(item, str)
                else {k: v for k, v in _plain(item).items() if v is not None}
                for item in value
            ]
        plain[each.name] = value
    return plain
