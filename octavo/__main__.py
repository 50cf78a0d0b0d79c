"""The command line. Each command parses, calls one function of the house, and prints."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from octavo import finding, following, mcp, measuring
from octavo.errors import InputError, NothingNew
from octavo.terminal import Json, err, out, print_json
from octavo.training import command as training

app = typer.Typer(
    name="octavo",
    help="Neural-network compression, from paper to kernel.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


@dataclass(frozen=True)
class Session:
    """What holds for every command of one call."""

    library: Path


@app.callback()
def session(
    context: typer.Context,
    library: Annotated[Path | None, typer.Option(help="Where the library lives.")] = None,
) -> None:
    """Take the options that stand before the command."""
    named = library or os.environ.get("OCTAVO_LIBRARY")
    context.obj = Session(Path(named) if named else Path(typer.get_app_dir("octavo")) / "library")


Sources = Annotated[list[str] | None, typer.Argument(help="Files, addresses, ids or queries.")]
Kind = Annotated[str, typer.Argument(help="feed, arxiv, text, bibtex; or followed, for all.")]


@app.command()
def ingest(
    context: typer.Context,
    kind: Kind = "",
    sources: Sources = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Every source of catalog/sources.toml.")
    ] = False,
    allow_private: Annotated[
        bool, typer.Option("--allow-private", help="Fetch from private addresses, too.")
    ] = False,
    limit: Annotated[int | None, typer.Option(help="Papers of an arXiv query.")] = None,
    curate: Annotated[
        bool, typer.Option("--curate", help="Write what is worth keeping to catalog/papers.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Take papers from sources into the library. Exit status 3: nothing new."""
    if curate:
        following.curate(context.obj.library, bool(kind or everything), as_json)
        return
    from octavo.ingest import run as home
    from octavo.ingest.library import Library
    from octavo.ingest.progress import bars
    from octavo.ingest.transport import Client

    steps, client = bars(err), Client(allow_private=allow_private)
    library = Library(context.obj.library, steps=steps)
    if everything or kind == "followed":
        reports = home.followed(library, steps=steps)
    elif not sources:
        raise typer.BadParameter("give a kind and a source, as in: octavo ingest feed FILE")
    else:
        reports = home.ingest(kind, sources, library, client=client, steps=steps, limit=limit)
    report = home.total(reports, ", ".join(each.source for each in reports))
    if as_json:
        each = {"sources": [asdict(one) for one in reports]} if len(reports) > 1 else {}
        print_json(asdict(report) | each)
    else:
        out.print(str(report), highlight=False, markup=False, soft_wrap=True)
        for line in home.complaints(reports):
            err.print(line, highlight=False, markup=False, soft_wrap=True)
    if not report.changed:
        raise NothingNew("nothing new")


@app.command()
def search(
    context: typer.Context,
    query: Annotated[str, typer.Argument(help="What you look for, in your own words.")],
    theme: Annotated[str | None, typer.Option(help="Only this theme.")] = None,
    tag: Annotated[str | None, typer.Option(help="Only what carries this tag.")] = None,
    year: Annotated[str | None, typer.Option(help="A year, or A-B; an end may be open.")] = None,
    method_only: Annotated[bool, typer.Option("--method-only", help="Only methods.")] = False,
    limit: Annotated[int, typer.Option(help="Hits at most.")] = 10,
    encoder: Annotated[
        str | None, typer.Option(help="minilm, small or static; kept until another is asked for.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Search papers and methods by words and by meaning."""
    from octavo.ingest.library import Library
    from octavo.ingest.progress import bars
    from octavo.ingest.ranking import table, years_of

    library = Library(context.obj.library, steps=bars(err), encoder=encoder)
    hits = library.search(
        query, theme=theme, tag=tag, years=years_of(year), method_only=method_only, limit=limit
    )
    if as_json:
        found = [asdict(hit) for hit in hits]
        print_json({"query": query, "encoder": library.encoder.name, "hits": found})
    else:
        out.print(table(hits) if hits else "nothing found", highlight=False)


app.command()(measuring.run)
app.command()(measuring.bench)
app.command()(measuring.crossover)
app.command("mcp")(mcp.serve)
app.add_typer(following.app, name="follow")
app.command()(following.duplicates)
app.command()(finding.tag)
app.command()(finding.themes)
app.command()(finding.digest)
app.command()(training.train)

site_app = typer.Typer(help="The static site.", no_args_is_help=True)
app.add_typer(site_app, name="site")
SiteOut = Annotated[Path | None, typer.Option(help="Folder of docs and site; default: build.")]


@site_app.command("build")
def site_build(output: SiteOut = None, as_json: Json = False) -> None:
    """Render the catalog, and index it for search."""
    from octavo.site.build import build, default_output

    built = build(output or default_output(), say=lambda line: err.print(line, highlight=False))
    print_json(asdict(built)) if as_json else out.print(str(built), highlight=False, soft_wrap=True)


@site_app.command("serve")
def site_serve(
    port: Annotated[int, typer.Option(help="Port on this machine.")] = 8000,
    output: SiteOut = None,
) -> None:
    """Serve the built site on 127.0.0.1 until interrupted."""
    from octavo.site.build import default_output
    from octavo.site.server import server

    with server((output or default_output()) / "site", port) as ready:
        err.print(f"http://127.0.0.1:{ready.server_address[1]}/", highlight=False)
        with suppress(KeyboardInterrupt):
            ready.serve_forever()


@app.command()
def methods(
    theme: Annotated[str | None, typer.Option(help="Id of a theme, as in pruning.")] = None,
    facet: Annotated[list[str] | None, typer.Option(help="A facet, as in data=none.")] = None,
    where: Annotated[
        str | None, typer.Option(help="A test, as in 'bits<=4 and retraining==\"none\"'.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the methods, all or those that match."""
    from octavo import shown
    from octavo.catalog import documents, query

    rows = [documents.brief(method) for method in query.select(theme, facet or (), where)]
    print_json({"methods": rows}) if as_json else out.print(shown.table(rows))


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="Id, as in synflow, papers/synflow, int4_matmul.")],
    as_json: Json = False,
) -> None:
    """Show a method, a paper or a kernel."""
    from octavo import shown
    from octavo.catalog import documents

    known = documents.find(name)
    if as_json:
        print_json(known)
    else:
        out.print(shown.text(known), highlight=False, markup=False, soft_wrap=True)


catalog_app = typer.Typer(help="The catalog.", no_args_is_help=True)
app.add_typer(catalog_app, name="catalog")


@catalog_app.command("check")
def catalog_check(as_json: Json = False) -> None:
    """Print every schema problem of the catalog: file, line, key, what is allowed."""
    from octavo import catalog

    problems = catalog.check()
    if as_json:
        print_json({"problems": problems})
    for problem in () if as_json else problems:
        out.print(problem, highlight=False, markup=False, soft_wrap=True)
    if problems:
        raise InputError(f"catalog: {len(problems)} problems")


@app.command()
def doctor(as_json: Json = False) -> None:
    """Say what runs here and what is missing."""
    from octavo.doctor import examine

    found = examine()
    if as_json:
        print_json(found)
        return
    for name, value in found.items():
        text = ", ".join(map(str, value)) if isinstance(value, list) else value
        out.print(f"{name:>10}  {text or 'none'}", highlight=False, markup=False, soft_wrap=True)


def main() -> None:
    """Run the command line: errors are one line on stderr, exit status 1 (3: nothing new)."""
    try:
        app()
    except InputError as error:
        err.print(str(error), style="red", highlight=False, markup=False, soft_wrap=True)
        raise SystemExit(1) from None
    except NothingNew as nothing:
        if str(nothing):
            err.print(str(nothing), highlight=False, markup=False, soft_wrap=True)
        raise SystemExit(3) from None


if __name__ == "__main__":
    main()
