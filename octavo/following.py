"""The commands about sources: follow, unfollow, and what happened when they were last asked."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from octavo.errors import InputError, NothingNew
from octavo.terminal import Json, err, out, print_json

if TYPE_CHECKING:
    from pathlib import Path

    from octavo.catalog import Followed
    from octavo.ingest.visits import Visit

app = typer.Typer(help="The sources of catalog/sources.toml.", no_args_is_help=True)
Id = Annotated[str, typer.Argument(help="Id of a source, as follow list shows it.")]


@app.command()
def add(
    kind: Annotated[str, typer.Argument(help="feed, arxiv, text or bibtex.")],
    source: Annotated[str, typer.Argument(help="Address, file or query.")],
    own: Annotated[str | None, typer.Option("--id", help="Its id; else made from it.")] = None,
    name: Annotated[str | None, typer.Option(help="Its name for people.")] = None,
    limit: Annotated[int | None, typer.Option(help="Papers of an arXiv query at most.")] = None,
    as_json: Json = False,
) -> None:
    """Follow a source: octavo ingest --all goes back to it."""
    from octavo.ingest import follow

    _say("followed", follow.add(kind, source, own=own, name=name, limit=limit), as_json)


@app.command()
def remove(own: Id, as_json: Json = False) -> None:
    """Follow a source no more; the papers it gave stay."""
    from octavo.ingest import follow

    _say("no longer followed", follow.remove(own), as_json)


@app.command()
def unpark(context: typer.Context, own: Id, as_json: Json = False) -> None:
    """Ask a source again that was left alone after three failures."""
    from octavo.ingest import follow, visits

    source = follow.one(own)
    visits.unpark(context.obj.library, source.source)
    _say("asked again next time", source, as_json)


@app.command("list")
def list_(context: typer.Context, as_json: Json = False) -> None:
    """List the sources, and what came of the last visit to each."""
    from octavo import catalog
    from octavo.ingest.visits import Visit, visits

    known = visits(context.obj.library)
    rows = [(each, known.get(each.source, Visit())) for each in catalog.sources()]
    if as_json:
        print_json({"sources": [_row(each, visit) for each, visit in rows]})
    else:
        out.print(_table(rows), highlight=False)


def curate(folder: Path, more: bool, as_json: bool) -> None:
    """Write the library's papers that are worth keeping to the catalog. Exit status 3: none."""
    from octavo.ingest import curate as home
    from octavo.ingest.library import Library

    if more:
        raise InputError("ingest --curate takes no source; ingest first, then curate")
    made = home.curate(Library(folder))
    if as_json:
        print_json(asdict(made))
    else:
        out.print(str(made), highlight=False, markup=False, soft_wrap=True)
        for each in made.left:
            line = f"{each.what}: {each.why}"
            err.print(line, highlight=False, markup=False, soft_wrap=True)
    if not made.written:
        raise NothingNew("nothing to add to the catalog")


def duplicates(context: typer.Context, as_json: Json = False) -> None:
    """List papers of the library that may be one: edited titles, a preprint and its venue."""
    from octavo.ingest.duplicates import near_duplicates
    from octavo.ingest.library import Library
    from octavo.ingest.progress import bars

    papers = {each.id: each for each in Library(context.obj.library, steps=bars(err)).papers()}
    pairs = near_duplicates(papers.values())
    if as_json:
        print_json({"papers": len(papers), "pairs": [asdict(pair) for pair in pairs]})
        return
    for pair in pairs:
        line = f"{pair.score:5.1f}  {pair.kind:<20}{pair.one}  {pair.other}"
        out.print(line, highlight=False, markup=False, soft_wrap=True)
        for own in (pair.one, pair.other):
            out.print(f"       {papers[own].title}", highlight=False, markup=False, soft_wrap=True)
    out.print(f"{len(pairs)} pairs among {len(papers):,} papers", highlight=False)


def _say(what: str, source: Followed, as_json: bool) -> None:
    if as_json:
        print_json(asdict(source))
    else:
        line = f"{what}: {source.id} ({source.kind}, {source.source})"
        out.print(line, highlight=False, markup=False, soft_wrap=True)


def _row(source: Followed, visit: Visit) -> dict[str, Any]:
    return asdict(source) | asdict(visit) | {"parked": visit.parked}


def _table(rows: list[tuple[Followed, Visit]]) -> Any:
    from rich.table import Table
    from rich.text import Text

    shown = Table("id", "kind", "source", "last visit", box=None, pad_edge=False)
    for source, visit in rows:
        shown.add_row(source.id, source.kind, Text(source.source), Text(_state(visit)))
    return shown


def _state(visit: Visit) -> str:
    if visit.parked:
        return f"parked after {visit.failures} failures, the last {_day(visit.tried)}: {visit.why}"
    if visit.failures:
        return f"failed {_day(visit.tried)} ({visit.failures} in a row): {visit.why}"
    return f"reached {_day(visit.reached)}" if visit.reached else "never asked"


def _day(moment: str | None) -> str:
    return (moment or "")[:16].replace("T", " ")
