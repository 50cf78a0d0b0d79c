"""A library of ten thousand papers: taking it in, building its site, searching it in a browser.

The catalog's papers stand among neighbours that nobody wrote: words of the catalog in another
order, with authors, a year, an arXiv id and an abstract of the usual length. What is timed is the
work on a library of that size; what such papers say does not matter to it.
"""

from __future__ import annotations

import os
import random
import resource
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from octavo import bench, browsing, catalog, chromium
from octavo.catalog import Paper
from octavo.ingest import judged
from octavo.ingest.library import Library
from octavo.ingest.run import ingest
from octavo.site import bibtex
from octavo.site.build import build
from octavo.site.holdings import gather

PAPERS, QUICK = 10_000, 1_500
TITLE, ABSTRACT, AUTHORS = 9, 160, 6  # words; words; at most
STEPS = 4
RECORDED = Path("results") / "scale.jsonl"


def neighbours(count: int, papers: Iterable[Paper], seed: int = 0) -> Iterator[Paper]:
    """Papers made of the words of ``papers``; equal seeds give equal papers.

    >>> [each.title for each in neighbours(1, [Paper("x", "Pruning")])]
    ['Pruning pruning pruning pruning pruning pruning pruning pruning pruning']
    """
    drawn = random.Random(seed)
    said = (f"{paper.title} {paper.summary or ''}" for paper in papers)
    words = [word for text in said for word in text.lower().split() if word.isalpha()]

    def some(number: int) -> str:
        return " ".join(drawn.choices(words, k=number)).capitalize()

    for place in range(count):
        named = range(drawn.randint(1, AUTHORS))
        year = drawn.randint(2012, 2026)
        yield Paper(
            id=f"neighbour-{place}",
            title=some(TITLE),
            authors=tuple(f"{some(1)} {some(1)}" for _ in named),
            year=year,
            venue="NeurIPS",
            arxiv=f"{year % 100}{drawn.randint(1, 12):02}.{20_000 + place}",
            abstract=some(ABSTRACT) + ".",
        )


def bibliography(papers: Iterable[Paper]) -> str:
    """The papers as a BibTeX file with abstracts."""
    return "\n".join(
        f"{bibtex.entry(paper, paper.id)[:-2]}\n  abstract = {{{paper.abstract}}},\n}}"
        for paper in papers
    )


def measure(quick: bool, advance: Callable[[str], None]) -> dict[str, Any]:
    """The whole measurement as one JSON-ready document: times are of the wall and of the cores.

    Raises InputError where there is no Chromium or no Playwright.
    """
    chromium.need()
    count, load = QUICK if quick else PAPERS, os.getloadavg()[0]
    held = gather()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "neighbours.bib"
        file.write_text(bibliography(neighbours(count, held.papers.values())), encoding="utf-8")
        library = Library(folder / "library")
        known = {paper.id for paper in library.papers()}
        advance("the catalog in a new library")
        with _timed() as taken:
            report = ingest("bibtex", [str(file)], library)[0]
        advance("records taken in, tagged and indexed")
        papers = sorted(library.papers(), key=lambda paper: paper.id not in known)[:count]
        with _timed() as set_up:
            site = build(
                folder / "build",
                replace(held, papers={paper.id: paper for paper in papers}),
                say=lambda line: None,
            )
        advance("the site")
        asked = browsing.costs(Path(site.site), judged.queries())
        advance("queries in the page")
    return {
        "records": report.new + report.updated,
        "ingest": taken,
        "papers": site.papers,
        "pages": site.pages,
        "site": set_up,
        "first": asked.first,
        "milliseconds": browsing.spread(asked.times),
        "load_before": round(load, 2),
        "cores": os.cpu_count(),
    }


@contextmanager
def _timed() -> Iterator[dict[str, float]]:
    """Seconds of the wall, and of this process and its children on the cores."""
    spent: dict[str, float] = {}
    start, before = time.perf_counter(), _cores()
    yield spent
    spent["seconds"] = round(time.perf_counter() - start, 2)
    spent["core_seconds"] = round(_cores() - before, 2)


def _cores() -> float:
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(sum(resource.getrusage(kind)[:2]) for kind in kinds)


def record(document: Mapping[str, Any], root: Path = catalog.ROOT) -> None:
    """Append a run to `catalog/results/scale.jsonl`."""
    bench.append(root / RECORDED, [bench.provenance("scale") | dict(document)])


def table(document: Mapping[str, Any]) -> Any:
    """The run for the terminal."""
    from rich.table import Table

    shown = Table("what", "seconds", "seconds of a core", box=None)
    for key, what in (
        ("ingest", f"{document['records']:,} records taken in, tagged, indexed"),
        ("site", f"site of {document['papers']:,} papers, {document['pages']:,} pages"),
    ):
        shown.add_row(what, *(f"{document[key][name]:.1f}" for name in ("seconds", "core_seconds")))
    first = [sum(each.values()) for each in document["first"]]
    times = document["milliseconds"]
    shown.title = (
        f"first query {median(first) / 1e3:.0f} kB (most {max(first) / 1e3:.0f}), "
        f"later {times['median']} ms (95 %: {times['p95']})"
    )
    return shown
