"""The catalog for language models: a Model Context Protocol server on standard input and output.

It reads what the site is made of and runs a method's claims on this machine. It fetches nothing.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

import typer

from octavo import __version__, catalog
from octavo.catalog import Result, documents, query
from octavo.errors import InputError

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from mcp.server import MCPServer

Document = dict[str, Any]
P = ParamSpec("P")
LONGEST = 600  # seconds that `run_claims` may be given
MOST = 50  # hits of one search
NOT_HERE = (
    "full texts of papers, papers outside efficient deep learning, citation counts, leaderboards "
    "of other people's runs, and anything published after the catalog's last commit"
)


def serve(context: typer.Context) -> None:
    """Serve the catalog to language models (MCP, on standard input and output)."""
    if find_spec("mcp") is None:
        raise InputError("mcp: the SDK is not installed; run `pip install 'octavo[mcp]'`")
    server(context.obj.library).run("stdio")


def server(library: Path) -> MCPServer:
    """The server, with every public answer of `Answers` as a tool."""
    from mcp.server import MCPServer

    answers = Answers(library)
    made: MCPServer = MCPServer(
        "octavo", version=__version__, instructions=answers.coverage()["statement"]
    )
    for tool in (
        answers.coverage,
        answers.search,
        answers.get_paper,
        answers.get_method,
        answers.list_methods,
        answers.run_claims,
    ):
        made.add_tool(_told(tool))
    return made


@dataclass(frozen=True)
class Answers:
    """What the tools answer; the docstring of each is what the model is told of it."""

    library: Path

    def coverage(self) -> Document:
        """Say exactly what this catalog holds and what it does not, with counts."""
        papers, methods = catalog.papers(), catalog.methods()
        runs = [run for method in methods for run in catalog.latest(method).values()]
        runnable = [method for method in methods if catalog.implemented(method)]
        themes = catalog.taxonomy().themes
        years = [paper.year for paper in papers.values() if paper.year]
        statement = (
            f"Octavo holds {len(papers):,} papers on neural-network compression and efficient deep "
            f"learning ({min(years)} to {max(years)}), {len(methods)} methods with "
            f"{sum(len(m.claims) for m in methods.values())} claims, and measured values for "
            f"{len(runs)} of those claims; {len(runnable)} methods run here. It does not hold "
            f"{NOT_HERE}. No answer from here does not mean that no such paper exists."
        )
        return {
            "statement": statement,
            "version": __version__,
            "papers": len(papers),
            "papers_with_abstract": sum(bool(paper.abstract) for paper in papers.values()),
            "methods": len(methods),
            "runnable": runnable,
            "verdicts": {word: sum(r.verdict == word for r in runs) for word in catalog.VERDICTS},
            "last_measured": max((run.date for run in runs), default=None),
            "themes": {
                theme: sum(method.theme == theme for method in methods.values()) for theme in themes
            },
            "facets": {
                name: list(facet.values) for name, facet in catalog.taxonomy().facets.items()
            },
        }

    def search(
        self,
        query: str,
        theme: str | None = None,
        years: str | None = None,
        methods_only: bool = False,
        limit: int = 10,
    ) -> Document:
        """Search papers and methods by words and by meaning; years as 2020 or 2018-2020."""
        from octavo.ingest.library import Library
        from octavo.ingest.ranking import years_of

        hits = Library(self.library).search(
            query,
            theme=theme,
            years=years_of(years),
            method_only=methods_only,
            limit=min(limit, MOST),
        )
        return {"query": query, "hits": [asdict(hit) for hit in hits]}

    def get_paper(self, id: str) -> Document:
        """Everything known about one paper: facts, where it was found, tags, its methods."""
        from octavo.ingest.library import Library

        own = id.removeprefix("papers/")
        taken = None if own in catalog.papers() else Library(self.library).paper(own)
        return documents.of_paper(taken) if taken else documents.find(f"papers/{own}")

    def get_method(self, id: str) -> Document:
        """One method: problem, idea, result, takeaway, facets, and claims with measured values."""
        return documents.find(f"methods/{id.removeprefix('methods/')}")

    def list_methods(
        self,
        theme: str | None = None,
        facets: list[str] | None = None,
        where: str | None = None,
        runnable_only: bool = False,
        holds: bool = False,
    ) -> Document:
        """List methods by constraint.

        `facets` are pairs as in data=none; `where` is a test over them, as in
        bits <= 4 and retraining == "none". With `holds`, only methods all of whose measured claims
        hold. `coverage` names the facets and their values.
        """
        rows = [documents.brief(each) for each in query.select(theme, facets or (), where)]
        if runnable_only:
            rows = [row for row in rows if row["implemented"]]
        if holds:
            rows = [row for row in rows if row["results"] and _all_hold(row)]
        return {"methods": rows}

    def run_claims(self, method: str, seconds: float = 120.0, seed: int = 0) -> Document:
        """Measure a method's claims on this machine, in their quick setting, and return the values.

        Stops after `seconds` (at most 600): what was measured by then is returned, `finished` says
        whether that is all.
        """
        from octavo import bench
        from octavo.reference_impls import find

        find(method)
        if not 0 < seconds <= LONGEST:
            raise InputError(
                f"run_claims: seconds={seconds:g}; give more than 0, {LONGEST} at most"
            )
        results, finished = _measured(method, seed, seconds)
        return bench.ledger(method, seed, results) | {"finished": finished}


def _all_hold(row: Document) -> bool:
    return all(line["verdict"] == "holds" for line in row["results"])


def _told(tool: Callable[P, Document]) -> Callable[P, Document]:
    """The tool, its refusals as answers that the model can read."""
    from mcp.server.mcpserver.exceptions import ToolError

    @functools.wraps(tool)
    def told(*given: P.args, **named: P.kwargs) -> Document:
        try:
            return tool(*given, **named)
        except InputError as error:
            raise ToolError(str(error)) from None

    return told


def _measured(method: str, seed: int, seconds: float) -> tuple[list[Result], bool]:
    """Results that a process of its own gives within the time, and whether they are all.

    Raises InputError where the method fails.
    """
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe(duplex=False)
    child = spawn.Process(target=_measure, args=(method, seed, there), daemon=True)
    child.start()
    there.close()
    results: list[Result] = []
    end = time.monotonic() + seconds
    try:
        while here.poll(max(0.0, end - time.monotonic())):
            said = here.recv()
            if isinstance(said, Exception):
                raise InputError(f"run_claims: {method} failed: {said}")
            if said is None:
                return results, True
            results.append(said)
        return results, False
    except EOFError:
        raise InputError(f"run_claims: {method} ended without an answer") from None
    finally:
        child.kill()
        child.join()
        here.close()


def _measure(method: str, seed: int, out: Connection) -> None:
    """In a process of its own: send each result as it comes, then None."""
    os.dup2(2, 1)  # standard output belongs to the protocol
    from octavo import bench

    try:
        seeds = tuple(range(seed, seed + len(bench.SEEDS)))
        bench.run(method, seeds, True, out.send)
        out.send(None)
    except Exception as error:
        out.send(RuntimeError(f"{type(error).__name__}: {error}"))
