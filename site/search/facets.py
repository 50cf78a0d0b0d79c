"""The questions that narrow a search: what each page answers to them, as columns of numbers.

A choice is a list of values, of which a page has some; a measure is a number of a page, with steps
to choose from. What was measured comes from the recorded runs of a method's claims: only ratios to
the dense original of the same run can be compared from one method to the next.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from octavo.catalog import Method, Paper
from octavo.site.holdings import Holdings
from octavo.site.pages.papers import themes_of
from octavo.site.search.entries import KINDS, Entry

ASKED = ("bits", "data", "retraining")  # facets of the taxonomy that stand here
LEAST_VENUE = 3  # papers; a venue with fewer is no shelf
STEPS = (1.5, 2, 3, 4, 6, 8, 12)
Values = Sequence[str]


def columns(entries: Sequence[Entry], holdings: Holdings) -> dict[str, Any]:
    """All facets of all entries, ready for JSON."""
    methods = [of_entry(entry, holdings) for entry in entries]
    papers = [holdings.papers.get(e.own) if e.kind == "Paper" else None for e in entries]
    words = holdings.taxonomy
    techniques = {t.id: t.name for t in words.techniques.values()}
    themes = {t.id: t.name for t in words.themes.values()}
    years = [_year(paper, ms, holdings) for paper, ms in zip(papers, methods, strict=True)]
    runs = [["yes"] if any(m.id in holdings.implemented for m in ms) else [] for ms in methods]
    choices = [
        choice("kind", "Kind", {k: k for k in KINDS}, [[entry.kind] for entry in entries]),
        choice("theme", "Theme", themes, [_themes(e, holdings) for e in entries]),
        choice("technique", "Technique", techniques, [_techniques(e, holdings) for e in entries]),
        choice("venue", "Venue", *venues(papers)),
        choice("runs", "Runs here", {"yes": "has a method that runs"}, runs),
    ]
    for name in ASKED:
        facet = words.facets[name]
        labels = {value: _label(name, value) for value in facet.values}
        has = [_united(m.facets.get(name, ()) for m in ms) for ms in methods]
        choices.append(choice(name, facet.name, labels, has))
    known = sorted({year for year in years if year})
    return {
        "choices": [each for each in choices if each["values"]],
        "measures": [
            measure("from", "From year", years, "min", [(y, str(y)) for y in reversed(known)]),
            measure("to", "To year", years, "max", [(y, str(y)) for y in reversed(known)]),
            measured("smaller", "Measured size", "bytes on disk", "smaller", methods, holdings),
            measured("faster", "Measured time", "milliseconds", "faster", methods, holdings),
        ],
    }


def choice(
    name: str, title: str, labels: Mapping[str, str], has: Sequence[Iterable[str]]
) -> dict[str, Any]:
    """A facet of values: those that some entry has, and for each entry the places of its own.

    >>> choice("data", "Data", {"a": "A", "b": "B", "c": "C"}, [["c"], [], ["a", "c"]])
    {'id': 'data', 'name': 'Data', 'values': [['a', 'A'], ['c', 'C']], 'of': [[1], [], [0, 1]]}
    """
    lists = [list(values) for values in has]
    used = {value for values in lists for value in values}
    kept = [value for value in labels if value in used]
    place = {value: at for at, value in enumerate(kept)}
    rows = [sorted({place[v] for v in values if v in place}) for values in lists]
    return {"id": name, "name": title, "values": [[v, labels[v]] for v in kept], "of": rows}


def measure(
    name: str,
    title: str,
    of: Sequence[float | None],
    test: str,
    options: Sequence[tuple[float, str]],
) -> dict[str, Any]:
    """A facet of numbers: an entry passes where it has one and it is on the right side."""
    return {"id": name, "name": title, "test": test, "options": options, "of": list(of)}


def measured(
    name: str,
    title: str,
    metric: str,
    word: str,
    methods: Sequence[Sequence[Method]],
    holdings: Holdings,
) -> dict[str, Any]:
    """How many times fewer bytes or milliseconds the runs of each entry's methods recorded."""
    best = {m.id: ratio(m, metric, holdings) for m in holdings.methods.values()}
    of = [max((r for m in ms if (r := best[m.id])), default=None) for ms in methods]
    top = max((value for value in of if value), default=0)
    steps = [(step, f"at least {step:g} × {word}") for step in STEPS if step <= top]
    return measure(name, title, of, "min", steps)


def ratio(method: Method, metric: str, holdings: Holdings) -> float | None:
    """The recorded ratio of a claim whose metric begins with ``metric``, dense over compressed."""
    runs = holdings.latest.get(method.id, {})
    found = [
        runs[claim.id].value
        for claim in method.claims
        if claim.metric.startswith(metric + ",") and claim.unit == "times" and claim.id in runs
    ]
    return round(max(found), 2) if found else None


def venues(papers: Sequence[Paper | None]) -> tuple[dict[str, str], list[list[str]]]:
    """Venues without year and remarks, as far as a few papers share them, most first."""
    names = [venue_of(paper.venue) if paper and paper.venue else "" for paper in papers]
    counted = Counter(name for name in names if name)
    kept = {name: name for name, count in counted.most_common() if count >= LEAST_VENUE}
    return kept, [[name] if name in kept else [] for name in names]


def venue_of(said: str) -> str:
    """A venue's name alone.

    >>> venue_of("ICLR 2020 (spotlight)"), venue_of("EMNLP Findings, 2021")
    ('ICLR', 'EMNLP Findings')
    """
    return re.split(r"[,(]|\b(?:19|20)\d\d\b", said, maxsplit=1)[0].strip(" -'’") or said


def of_entry(entry: Entry, holdings: Holdings) -> list[Method]:
    """The methods an entry stands for: itself, or those of a paper."""
    ids = [entry.own] if entry.kind == "Method" else []
    ids = holdings.methods_of_paper.get(entry.own, []) if entry.kind == "Paper" else ids
    return [holdings.methods[each] for each in ids]


def _themes(entry: Entry, holdings: Holdings) -> list[str]:
    known: dict[str, Callable[[], list[str]]] = {
        "Paper": lambda: themes_of(holdings.papers[entry.own], holdings),
        "Method": lambda: [holdings.methods[entry.own].theme],
        "Technique": lambda: [holdings.taxonomy.techniques[entry.own].theme],
        "Theme": lambda: [entry.own],
    }
    return known[entry.kind]() if entry.kind in known else []


def _techniques(entry: Entry, holdings: Holdings) -> list[str]:
    known: dict[str, Callable[[], Values]] = {
        "Paper": lambda: [tag.id for tag in holdings.papers[entry.own].tags],
        "Method": lambda: holdings.methods[entry.own].techniques,
        "Technique": lambda: [entry.own],
    }
    return list(known[entry.kind]()) if entry.kind in known else []


def _year(paper: Paper | None, methods: Sequence[Method], holdings: Holdings) -> int | None:
    if paper is not None:
        return paper.year
    first = (holdings.papers[p].year for m in methods for p in m.papers if p in holdings.papers)
    return min((year for year in first if year), default=None)


def _united(lists: Iterable[Values]) -> list[str]:
    return sorted({value for values in lists for value in values})


def _label(facet: str, value: str) -> str:
    if facet == "bits":
        return "1 bit" if value == "1" else f"{value} bits"
    return value.replace("-", " ")
