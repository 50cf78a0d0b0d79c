"""The command line. Each command parses, calls one function of the house, and prints."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from octavo.errors import InputError, NothingNew

app = typer.Typer(
    name="octavo",
    help="Neural-network compression, from paper to kernel.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
out = Console()
err = Console(stderr=True)

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, nothing else.")]


@dataclass(frozen=True)
class Session:
    """What holds for every command of one call."""

    library: Path


def print_json(document: Any) -> None:
    """Write one JSON document to stdout."""
    json.dump(document, sys.stdout, ensure_ascii=False, indent=1)
    sys.stdout.write("\n")


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
    as_json: Json = False,
) -> None:
    """Take papers from sources into the library. Exit status 3: nothing new."""
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
    as_json: Json = False,
) -> None:
    """Search papers and methods by words and by meaning."""
    from octavo.ingest.library import Library
    from octavo.ingest.progress import bars
    from octavo.ingest.ranking import table, years_of

    hits = Library(context.obj.library, steps=bars(err)).search(
        query, theme=theme, tag=tag, years=years_of(year), method_only=method_only, limit=limit
    )
    if as_json:
        print_json({"query": query, "hits": [asdict(hit) for hit in hits]})
    else:
        out.print(table(hits) if hits else "nothing found", highlight=False)


Methods = Annotated[
    list[str] | None, typer.Argument(help="Methods, a kernel, `kernels`, `models` or `search`.")
]
Seed = Annotated[int, typer.Option(help="First of three seeds.")]
Quick = Annotated[bool, typer.Option("--quick", help="The small setting of each claim.")]


@app.command()
def run(
    method: Annotated[str, typer.Argument(help="Id of a method, as in stripe-pruning.")],
    model: Annotated[str | None, typer.Option(help="Your model, PACKAGE.MODULE:ATTRIBUTE.")] = None,
    data: Annotated[str | None, typer.Option(help="Your data, PACKAGE.MODULE:ATTRIBUTE.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="A setting, key=value.")
    ] = None,
    seed: Seed = 0,
    save: Annotated[Path | None, typer.Option(help="Folder for the compressed model.")] = None,
    as_json: Json = False,
) -> None:
    """Run a method: on your own model, or, without --model, its claims in their small setting."""
    if model is None:
        if data or settings or save:
            raise InputError("run: --data, --set and --save are for your own model; add --model")
        _run_claims(method, seed, as_json)
    else:
        _run_on(method, model, data, settings or [], seed, save, as_json)


def _run_claims(method: str, seed: int, as_json: bool) -> None:
    from octavo import bench

    results = _watched(method, seed, quick=True)
    document = bench.ledger(method, seed, results)
    print_json(document) if as_json else out.print(bench.table(document))


def _run_on(
    method: str,
    model: str,
    data: str | None,
    pairs: list[str],
    seed: int,
    save: Path | None,
    as_json: bool,
) -> None:
    from octavo import own
    from octavo.reference_impls.compress import compress

    batches = None if data is None else own.thing(data)
    small = compress(own.thing(model), method, data=batches, seed=seed, **own.settings(pairs))
    if save is not None:
        small.save(save)
    report = small.report()
    print_json(report.to_json()) if as_json else out.print(report)


def _watched(method: str, seed: int, quick: bool) -> list[Any]:
    """Run the claims of a method behind a progress bar on stderr."""
    from rich.progress import Progress

    from octavo import bench, catalog

    count = len(catalog.methods()[method].claims) if method in catalog.methods() else None
    with Progress(console=err, transient=True) as progress:
        task = progress.add_task(method, total=count)
        seeds = tuple(range(seed, seed + len(bench.SEEDS)))
        return bench.run(method, seeds, quick, lambda result: progress.advance(task))


@app.command()
def bench(
    context: typer.Context,
    methods: Methods = None,
    quick: Quick = False,
    check: Annotated[
        bool, typer.Option("--check", help="Fail where a quick verdict is not the recorded one.")
    ] = False,
    again: Annotated[bool, typer.Option("--again", help="Run what is recorded, too.")] = False,
    theme: Annotated[str | None, typer.Option(help="All methods of a theme.")] = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Measure the claims of methods and append them to the ledger (or the speed of kernels)."""
    from octavo import bench as home
    from octavo.kernels import measured
    from octavo.reference_impls import found

    if methods and {"kernels", *measured.kernels()} & set(methods):
        _bench_kernels([name for name in methods if name != "kernels"], quick, as_json)
        return
    if methods == ["models"]:
        _bench_models(quick, as_json)
        return
    if methods == ["search"]:
        _bench_search(context.obj.library, quick, as_json)
        return
    names = methods or (home.of_theme(theme) if theme else list(found()))
    if check:
        _bench_check(names, seed, as_json)
        return
    todo = [name for name in names if again or not home.recorded(name, quick)]
    if not todo:
        raise NothingNew(f"recorded with this code: {', '.join(names)}; --again runs them")
    err.print(home.outlook(todo, quick))
    documents = []
    for name in todo:
        results = _watched(name, seed, quick)
        home.record(name, results)  # at once: a run that is stopped goes on where it was
        documents.append(home.ledger(name, seed, results))
        if not as_json:
            out.print(home.table(documents[-1]))
    if as_json:
        print_json({"runs": documents, "skipped": sorted(set(names) - set(todo))})


def _bench_check(names: list[str], seed: int, as_json: bool) -> None:
    from octavo import bench as home

    drifts = [drift for name in names for drift in home.check(name, _watched(name, seed, True))]
    if as_json:
        print_json({"checked": names, "drifts": [asdict(drift) for drift in drifts]})
    if drifts:
        raise InputError("bench --check: " + "; ".join(map(str, drifts)))
    if not as_json:
        out.print(f"{len(names)} methods: every verdict is as recorded")


def _bench_kernels(asked: list[str], quick: bool, as_json: bool) -> None:
    from octavo import speed
    from octavo.ingest.progress import bars

    with bars(err)("kernels", len(speed.names(asked))) as done:
        document, records = speed.run(asked, quick, lambda name: done(1))
    if not quick:
        speed.record(records)
    print_json(document) if as_json else out.print(speed.table(document))


def _bench_models(quick: bool, as_json: bool) -> None:
    from octavo import models
    from octavo.ingest.progress import bars

    with bars(err)("whole models", models.steps(quick)) as done:
        document = models.measure(quick, lambda name: done(1))
    if not quick:
        models.record(document)
    print_json(document) if as_json else out.print(models.tables(document))


def _bench_search(path: Path, quick: bool, as_json: bool) -> None:
    from octavo import bench, catalog
    from octavo.ingest import judged
    from octavo.ingest.library import Library
    from octavo.ingest.progress import bars

    library = Library(path, steps=bars(err))
    scores = judged.measure(library)
    if not quick:
        facts = bench.provenance("search") | {"encoder": library.encoder}
        rows = [asdict(score) for score in scores]
        bench.append(catalog.ROOT / "results" / "search.jsonl", [facts | {"rows": rows}])
    if as_json:
        print_json({"encoder": library.encoder, "rows": [asdict(score) for score in scores]})
    else:
        out.print(judged.table(scores, library.encoder))


@app.command()
def crossover(
    shape: Annotated[str, typer.Argument(help="A linear layer, OUTxIN, as in 768x3072.")] = "",
    model: Annotated[str | None, typer.Option(help="Your model, PACKAGE.MODULE:ATTRIBUTE.")] = None,
    example: Annotated[
        str | None, typer.Option(help="An input of your model, PACKAGE.MODULE:ATTRIBUTE.")
    ] = None,
    rows: Annotated[
        int | None, typer.Option(help="Rows (or images) of input; default: 1, or as the model has.")
    ] = None,
    threads: Annotated[int, typer.Option(help="Threads of torch and of the kernels.")] = 1,
    as_json: Json = False,
) -> None:
    """Say what would be faster on this machine, and from where on, before compressing anything."""
    from rich.progress import Progress

    from octavo import crossing, own

    if bool(shape) == bool(model):
        raise typer.BadParameter("give a shape OUTxIN, or --model PACKAGE.MODULE:ATTRIBUTE")
    if model:
        given = None if example is None else own.thing(example)
        asked = crossing.of_model(own.thing(model), rows, given)
    else:
        asked = crossing.of_shape(shape, 1 if rows is None else rows)
    with Progress(console=err, transient=True) as progress:
        task = progress.add_task("measuring", total=crossing.steps(asked))
        known = crossing.document(
            asked,
            threads,
            lambda text: progress.update(task, description=text),
            lambda: progress.advance(task),
        )
    print_json(known) if as_json else out.print(crossing.tables(known))


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
