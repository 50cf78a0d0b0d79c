"""The commands that say what a paper is about: tags of a text, themes of a library, the digest."""

from __future__ import annotations

import sys
from dataclasses import asdict
from datetime import date
from typing import Annotated, Any

import typer

from octavo.errors import NothingNew
from octavo.terminal import Json, err, out, print_json


def tag(
    text: Annotated[
        str, typer.Argument(help="A title, a file of titles, or - for titles on standard input.")
    ] = "",
    train: Annotated[
        bool, typer.Option("--train", help="Train the tagger anew on the catalog, and keep it.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Name the themes and techniques of a paper, from its title or its title and abstract.

    A line of input is a title; title, tab, abstract; or a JSON object with both.
    """
    from octavo.ingest.tag import load, texts_of

    if train:
        _train(as_json)
        return
    texts = texts_of(text, sys.stdin.read)
    found = [asdict(each) for each in load().tag(texts)]
    if as_json:
        print_json(found[0] if len(found) == 1 else {"texts": found})
        return
    for each in found:
        named = ", ".join(f"{shelf['id']} {shelf['score']:.2f}" for shelf in each["tags"])
        title = each["text"].partition("\n")[0]
        out.print(f"{title}: {named or 'other'}", highlight=False, markup=False, soft_wrap=True)


def _train(as_json: bool) -> None:
    from octavo.ingest import tag_training
    from octavo.ingest.progress import bars
    from octavo.ingest.tag import FILE

    with bars(err)("training the tagger", tag_training.steps()) as advance:
        version = tag_training.train(advance=advance)
    made: dict[str, Any] = {"version": version, "file": str(FILE)}
    print_json(made) if as_json else out.print(f"{made['file']}: {version}", soft_wrap=True)


def themes(
    context: typer.Context,
    source: Annotated[
        str | None, typer.Option(help="Only papers of this source: a part of its id or address.")
    ] = None,
    venue: Annotated[str | None, typer.Option(help="Only this venue, as in NeurIPS.")] = None,
    count: Annotated[int | None, typer.Option(help="How many; default: the steadiest.")] = None,
    seed: Annotated[int, typer.Option(help="First seed of the clustering.")] = 0,
    as_json: Json = False,
) -> None:
    """Show the research themes of the library: clusters of its papers, named by their words."""
    from octavo.ingest.clusters import RESEEDS, candidates, chosen, cluster
    from octavo.ingest.library import Library
    from octavo.ingest.progress import bars

    steps = bars(err)
    papers = chosen(Library(context.obj.library, steps=steps).papers(), source, venue)
    runs = RESEEDS * (1 if count else len(candidates(len(papers))))
    with steps("clustering", runs) as advance:
        found = cluster(papers, count, seed, advance)
    if as_json:
        print_json({"summary": str(found), **asdict(found)})
        return
    out.print(f"{found} (adjusted Rand index over {found.reseeds} seeds: {found.stability:.2f})")
    out.print(_table(found))
    if found.outliers:
        out.print(
            f"{len(found.outliers)} outliers: " + "; ".join(o.title for o in found.outliers[:5])
        )


def _table(found: Any) -> Any:
    from rich.table import Table

    shown = Table("papers", "theme", "by year", "stands for it", box=None)
    for each in found.themes:
        years = " ".join(f"{year}:{number}" for year, number in each.years.items())
        shown.add_row(str(each.size), each.name, years, each.papers[0].title)
    return shown


def digest(
    context: typer.Context,
    week: Annotated[
        str | None, typer.Option(help="An ISO week, as in 2019-W42; default: the last whole one.")
    ] = None,
    theme: Annotated[str | None, typer.Option(help="Only this theme.")] = None,
    as_json: Json = False,
) -> None:
    """Write the overview of a week as Markdown. Exit status 3: nothing new."""
    from octavo import catalog
    from octavo.ingest.digest import desk
    from octavo.ingest.digest_text import markdown
    from octavo.ingest.library import Library
    from octavo.ingest.progress import bars
    from octavo.ingest.weeks import before, week_of

    asked = week_of(week) if week else before(date.today())
    found = desk(Library(context.obj.library, steps=bars(err)).papers()).digest(asked, theme)
    if as_json:
        print_json(asdict(found))
    elif found.picks:
        sys.stdout.write(markdown(found, catalog.taxonomy().themes))
    if not found.picks:
        raise NothingNew(f"digest: {found.note}")
