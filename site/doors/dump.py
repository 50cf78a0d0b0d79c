"""The whole catalog as tables, in JSON Lines and in Parquet."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from octavo.catalog import Method, Paper
from octavo.site.doors import address
from octavo.site.holdings import Holdings

Row = dict[str, Any]


class Column(NamedTuple):
    """A column: ``kind`` is text, texts, whole, figure or flag."""

    name: str
    kind: str
    about: str


class Table(NamedTuple):
    """A table of the dump."""

    name: str
    about: str
    columns: tuple[Column, ...]
    rows: Callable[[Holdings], Iterator[Row]]


def papers(holdings: Holdings) -> Iterator[Row]:
    """A row a paper."""
    for paper in holdings.papers.values():
        yield {
            **{name: getattr(paper, name) for name in _PLAIN},
            "authors": list(paper.authors),
            "categories": list(paper.categories),
            "tags": [tag.id for tag in paper.tags],
            "tag_origins": [tag.origin for tag in paper.tags],
            "sources": _found(paper),
            "links": list(paper.links),
            "methods": holdings.methods_of_paper.get(paper.id, []),
            "page": address.page(f"papers/{paper.id}"),
        }


def methods(holdings: Holdings) -> Iterator[Row]:
    """A row a method."""
    for method in holdings.methods.values():
        yield {
            **{name: getattr(method, name) for name in ("id", "name", "theme", *_TEXTS)},
            "techniques": list(method.techniques),
            "facets": _facets(method),
            "papers": list(method.papers),
            "kernels": list(method.kernels),
            "differs": list(method.differs),
            "implemented": method.id in holdings.implemented,
            "page": address.page(f"methods/{method.id}"),
        }


def claims(holdings: Holdings) -> Iterator[Row]:
    """A row a claim, with its newest measured value where there is one."""
    for method in holdings.methods.values():
        runs = holdings.latest.get(method.id, {})
        for claim in method.claims:
            run = runs.get(claim.id)
            facts = ("statement", "where", "metric", "reported", "setting", "expect", "unit")
            yield {
                "id": f"{method.id}/{claim.id}",
                "method": method.id,
                **{name: getattr(claim, name) for name in facts},
                "expected": claim.value,
                "tolerance": claim.tolerance,
                "measured": run and run.value,
                "spread": run and run.spread,
                "baseline": run and run.baseline,
                "baseline_name": run and run.baseline_name,
                "verdict": run and run.verdict,
                "seeds": len(run.seeds) if run else None,
                "quick": run and run.quick,
                "command": run and run.command,
                "commit": run and run.commit,
                "cpu": run and run.cpu,
                "date": run and run.date,
            }


_PLAIN = (
    *("id", "title", "authors_complete", "year", "venue", "arxiv", "arxiv_version", "doi"),
    *("openreview", "url", "code", "abstract", "summary", "kind", "status"),
)
_TEXTS = ("problem", "idea", "result", "takeaway")


def _columns(said: str) -> tuple[Column, ...]:
    """Columns from lines of ``name kind what it holds``."""
    return tuple(Column(*line.split(None, 2)) for line in said.strip().splitlines())


TABLES = (
    Table(
        "papers",
        "Facts about papers, with where each was found and who gave it its tags.",
        _columns("""
            id text id in this catalog
            title text title
            authors texts authors, in order
            authors_complete flag whether the list of authors is whole
            year whole year of publication
            venue text conference, journal or archive
            arxiv text arXiv id without version
            arxiv_version whole version of the arXiv id
            doi text DOI
            openreview text OpenReview id
            url text a page of the paper
            code text repository of the authors
            abstract text the authors' abstract, where its licence allows
            summary text one line in our own words
            categories texts arXiv categories
            kind text survey, method, study or unknown
            status text active or withdrawn
            tags texts themes and techniques
            tag_origins texts who gave each tag, in the order of tags
            sources texts lists and feeds that name the paper
            links texts further pages
            methods texts methods of this catalog that come from the paper
            page text the paper's page on this site
        """),
        papers,
    ),
    Table(
        "methods",
        "Methods in four short texts, with facets and what they need.",
        _columns("""
            id text id in this catalog
            name text name
            theme text theme
            problem text what did not work before
            idea text what is proposed
            result text what the paper shows
            takeaway text when to use it and when not
            techniques texts techniques
            facets texts facets as name=value
            papers texts ids of its papers
            kernels texts kernels under it
            differs texts where the code departs from the paper
            implemented flag whether it runs here
            page text the method's page on this site
        """),
        methods,
    ),
    Table(
        "claims",
        "What papers claim, what was expected before the run, and what was measured.",
        _columns("""
            id text method/claim
            method text id of the method
            statement text the claim
            where text where in the paper it stands
            metric text what is measured
            reported text what the paper reports
            setting text our small setting
            expect text comparison of the expectation
            unit text unit of the values
            expected figure value of the expectation
            tolerance figure slack of the expectation
            measured figure newest measured value
            spread figure standard deviation over seeds
            baseline figure value of the baseline in the same run
            baseline_name text what the baseline is
            verdict text holds, trend only or not reproduced
            seeds whole number of seeds
            quick flag whether the run was of the small kind
            command text command that repeats it
            commit text commit of the code
            cpu text machine
            date text date of the run
        """),
        claims,
    ),
)


def files(holdings: Holdings) -> Iterator[tuple[str, bytes]]:
    """Paths and contents: each table as JSON Lines and as Parquet."""
    for table in TABLES:
        rows = list(table.rows(holdings))
        yield f"data/{table.name}.jsonl", json_lines(rows)
        yield f"data/{table.name}.parquet", parquet(table, rows)


def json_lines(rows: Iterable[Row]) -> bytes:
    """A line a row; what is not known is absent."""
    kept = ({name: value for name, value in row.items() if value is not None} for row in rows)
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in kept).encode()


def parquet(table: Table, rows: list[Row]) -> bytes:
    """The rows as one Parquet file; equal rows give equal bytes."""
    import pyarrow as pa
    from pyarrow import parquet as form

    kinds = {"text": pa.string(), "texts": pa.list_(pa.string()), "whole": pa.int64()}
    kinds |= {"figure": pa.float64(), "flag": pa.bool_()}
    schema = pa.schema([(column.name, kinds[column.kind]) for column in table.columns])
    stream = io.BytesIO()
    form.write_table(pa.Table.from_pylist(rows, schema=schema), stream, compression="zstd")
    return stream.getvalue()


def _found(paper: Paper) -> list[str]:
    return list(dict.fromkeys(source.id for source in paper.sources))


def _facets(method: Method) -> list[str]:
    return [f"{name}={value}" for name, values in method.facets.items() for value in values]
