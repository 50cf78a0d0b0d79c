"""The commands that measure: run a method, keep the ledgers, ask what is faster here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from octavo.errors import InputError, NothingNew
from octavo.terminal import Json, err, out, print_json

Methods = Annotated[
    list[str] | None,
    typer.Argument(
        help="Methods, kernels, or one of `kernels`, `models`, `search`, `search-page`, "
        "`scale`, `tagger`, `themes`."
    ),
]
DATA = (
    "Your data: PACKAGE.MODULE:ATTRIBUTE, cifar10:DIR, cifar100:DIR, images:DIR, glue:FILE or "
    "datasets:NAME; then ?key=value&… for batch, count and more."
)
Seed = Annotated[int, typer.Option(help="First of three seeds.")]
Quick = Annotated[bool, typer.Option("--quick", help="The small setting of each claim.")]


def run(
    method: Annotated[str, typer.Argument(help="Id of a method, as in stripe-pruning.")],
    model: Annotated[str | None, typer.Option(help="Your model, PACKAGE.MODULE:ATTRIBUTE.")] = None,
    data: Annotated[str | None, typer.Option(help=DATA)] = None,
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

    batches = None if data is None else own.data(data)
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


def bench(
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
    if apart := [name for name in methods or () if name in APART]:
        if len(methods or ()) > 1:
            raise InputError(f"bench: {apart[0]} is measured by itself; name nothing else")
        APART[apart[0]](quick, as_json)
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

    names, documents = speed.names(asked), []
    with bars(err)("kernels", len(names)) as done:
        for name in names:  # each is kept when it is done: what follows may fail
            document, records = speed.run([name], quick, lambda name: done(1))
            documents.append(document)
            if not quick:
                speed.record(records)
    document = speed.together(documents)
    print_json(document) if as_json else out.print(speed.table(document))


def _bench_models(quick: bool, as_json: bool) -> None:
    from octavo import models
    from octavo.ingest.progress import bars

    with bars(err)("whole models", models.steps(quick)) as done:
        document = models.measure(quick, lambda name: done(1))
    if not quick:
        models.record(document)
    print_json(document) if as_json else out.print(models.tables(document))


def _bench_search(quick: bool, as_json: bool) -> None:
    from octavo import searching
    from octavo.ingest.progress import bars

    with bars(err)("search with every encoder", len(searching.names())) as advance:
        document = searching.measure(advance)
    if not quick:
        searching.record(document)
    print_json(document) if as_json else out.print(searching.table(document))


def _bench_search_page(quick: bool, as_json: bool) -> None:
    from octavo import browsing, chromium
    from octavo.ingest.library import Library
    from octavo.ingest.progress import bars
    from octavo.site.build import build, default_output
    from octavo.site.holdings import gather

    chromium.need()
    out_folder, holdings, steps = default_output(), gather(), bars(err)
    built = build(out_folder, holdings, say=lambda line: err.print(line, highlight=False))
    server = Library(out_folder / "search-minilm", encoder="minilm", steps=steps)
    with steps("search in the browser", 4) as advance:
        document = browsing.measure(Path(built.site), holdings, server, lambda part: advance(1))
    if not quick:
        browsing.record(document)
    print_json(document) if as_json else out.print(browsing.table(document))


def _bench_tagger(quick: bool, as_json: bool) -> None:
    from octavo import bench, catalog
    from octavo.ingest import tag, tag_measures
    from octavo.ingest.progress import bars

    with bars(err)("cross-validation", tag_measures.steps()) as advance:
        measured = tag_measures.measure(advance=advance)
    document = {"version": tag.version(), **measured}
    if not quick:
        facts = bench.provenance("tagger", tag.FILE)
        bench.append(catalog.ROOT / "results" / "tagger.jsonl", [facts | document])
    print_json(document) if as_json else out.print(tag_measures.table(document))


def _bench_scale(quick: bool, as_json: bool) -> None:
    from octavo import scale
    from octavo.ingest.progress import bars

    with bars(err)("ten thousand papers", scale.STEPS) as advance:
        document = scale.measure(quick, lambda part: advance(1))
    if not quick:
        scale.record(document)
    print_json(document) if as_json else out.print(scale.table(document))


def _bench_themes(quick: bool, as_json: bool) -> None:
    from octavo import catalog, emerging
    from octavo.ingest.progress import bars

    shelves = emerging.shelves(catalog.papers())
    with bars(err)("themes of each list", len(shelves)) as advance:
        document = emerging.measure(shelves, lambda name: advance(1))
    if not quick:
        emerging.record(document)
    print_json(document) if as_json else out.print(emerging.table(document))


APART: Mapping[str, Callable[[bool, bool], None]] = {
    "models": _bench_models,
    "scale": _bench_scale,
    "search": _bench_search,
    "search-page": _bench_search_page,
    "tagger": _bench_tagger,
    "themes": _bench_themes,
}


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
