"""The page of downloads, feeds and other doors out of the site."""

from __future__ import annotations

from collections.abc import Iterator

from octavo.site.doors import dump
from octavo.site.doors.through import WHOLE
from octavo.site.holdings import Holdings
from octavo.site.markup import Page, command, link, section, table, text

SERVER = "octavo mcp"


def pages(holdings: Holdings) -> Iterator[Page]:
    """The one page."""
    body = (
        '<header class="head"><h1>Data and feeds</h1><p class="lead">Everything on this site in '
        "forms that other programs read. Each page also has its own: the row at its end.</p>"
        "</header>"
        + section("The whole catalog", _downloads(), "downloads", "narrow")
        + section("What the tables hold", _tables(), "tables", "narrow")
        + section("Feeds", _feeds(holdings), "feeds", "narrow")
        + section("For programs that ask", _programs(), "programs")
        + section("Licence", LICENCE, "licence")
    )
    about = "Downloads, feeds, badges, and the server for language models."
    yield Page("data", "Data and feeds", body, about, section="data")


LICENCE = (
    "<p>Our texts, claims and measurements are under Apache-2.0, like the code. Titles, authors "
    "and ids are facts. Abstracts come from arXiv, whose metadata is CC0. Papers themselves are "
    "not here: each record links to where they are.</p>"
)


def _downloads() -> str:
    rows = [
        [link(f"../{path}", path.rpartition("/")[2], type=media), text(name)]
        for path, (media, name) in WHOLE.items()
    ]
    return table(["File", "What"], rows)


def _tables() -> str:
    parts = []
    for each in dump.TABLES:
        columns = ", ".join(f"<code>{text(column.name)}</code>" for column in each.columns)
        parts.append(f"<dt>{text(each.name)}</dt><dd>{text(each.about)} {columns}</dd>")
    return f'<dl class="terms">{"".join(f"<div>{part}</div>" for part in parts)}</dl>'


def _feeds(holdings: Holdings) -> str:
    named = [("New papers", "feeds/papers"), ("Verdicts, new and changed", "feeds/claims")]
    named += [("The week, a digest", "feeds/digests")]
    named += [(t.name, f"feeds/themes/{t.id}") for t in holdings.taxonomy.themes.values()]
    rows = [
        [text(name), f"{link(f'../{path}.xml', 'Atom')} {link(f'../{path}.json', 'JSON')}"]
        for name, path in named
    ]
    return table(["Of", "Feed"], rows)


def _programs() -> str:
    return (
        f"<p>{link('../llms.txt', 'llms.txt')} maps the site for language models, and each page "
        "has a Markdown twin beside it. The same over the Model Context Protocol, with search, "
        "records, and claims run on your machine:</p>"
        + command(SERVER)
        + f"<p>{link('../opensearch.xml', 'opensearch.xml')} adds the search to a browser. Pages "
        "of methods have a badge for each claim, for your README.</p>"
    )
