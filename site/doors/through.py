"""Which page has which door, and every file behind the doors.

A page gets its doors before it is written (`with_doors`); the files are made after it (`files`),
so that a link and the file it leads to are named in one place.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from octavo.catalog import Paper
from octavo.site import bibtex
from octavo.site.doors import (
    address,
    badges,
    croissant,
    csl,
    dump,
    feeds,
    highwire,
    linked_data,
    news,
    twins,
)
from octavo.site.holdings import Holdings
from octavo.site.markup import Door, Page

ATOM, FEED = "application/atom+xml", "application/feed+json"
BIBTEX, CSL = "application/x-bibtex", "application/vnd.citationstyles.csl+json"
JSON_LD, MARKDOWN = "application/ld+json", "text/markdown"
WHOLE = {
    "data/octavo.bib": (BIBTEX, "Papers, BibTeX"),
    "data/octavo.csl.json": (CSL, "Papers, CSL-JSON"),
    "data/octavo.jsonld": (JSON_LD, "Everything, JSON-LD"),
    **{
        f"data/{table.name}.{ending}": (media, f"{table.name.capitalize()}, {form}")
        for table in dump.TABLES
        for ending, media, form in (
            ("jsonl", "application/jsonl", "JSON Lines"),
            ("parquet", "application/vnd.apache.parquet", "Parquet"),
        )
    },
    "data/croissant.json": (JSON_LD, "Croissant metadata"),
}


class Kind(NamedTuple):
    """What pages of one kind give: all of them, papers to cite, their node, their own doors."""

    shelf: Callable[[Holdings], Mapping[str, Any]]
    papers: Callable[[str, Holdings], list[Paper]]
    node: Callable[[str, Holdings], linked_data.Node]
    doors: Callable[[str, Holdings], list[Door]]


def with_doors(page: Page, holdings: Holdings) -> Page:
    """The page with its links out and what its head says to programs."""
    shelf, _, name = page.path.partition("/")
    kind = KINDS.get(shelf)
    kind = kind if kind is not None and name in kind.shelf(holdings) else None
    node = linked_data.plain(page.path, page.title, page.description)
    doors, tags = [Door("Markdown", "index.md", MARKDOWN)], []
    if kind is not None:
        node = kind.node(name, holdings)
        cited = kind.papers(name, holdings)
        doors = [*(CITING if cited else ()), *doors, *kind.doors(name, holdings)]
        tags = highwire.tags(cited[0]) if shelf == "papers" else []
    if page.path == "data":
        node = linked_data.dataset(holdings, WHOLE)
    return replace(page, doors=doors, citation=tags, linked_data=linked_data.document([node]))


def files(holdings: Holdings, pages: list[Page]) -> Iterator[tuple[str, bytes]]:
    """Every file: path from the root of the site, content."""
    for page in pages:
        yield f"{page.path}/index.md".lstrip("/"), twins.markdown(page).encode()
    for shelf, kind in KINDS.items():
        for name in kind.shelf(holdings):
            cited = kind.papers(name, holdings)
            if cited:
                yield f"{shelf}/{name}/cite.bib", bib(cited, holdings).encode()
                yield f"{shelf}/{name}/cite.json", csl_json(cited, holdings).encode()
    for feed, items in news.feeds(holdings):
        yield f"{feed.path}.xml", feeds.atom(feed, items).encode()
        yield f"{feed.path}.json", feeds.json_feed(feed, items).encode()
    yield from _badges(holdings)
    yield from _whole(holdings)
    yield "llms.txt", twins.llms(holdings).encode()
    yield "opensearch.xml", OPEN_SEARCH.format(base=address.base()).encode()


def bib(papers: list[Paper], holdings: Holdings) -> str:
    """BibTeX entries of papers, under the keys they have in the whole bibliography."""
    return "\n\n".join(bibtex.entry(p, holdings.citation_keys[p.id]) for p in papers) + "\n"


def csl_json(papers: list[Paper], holdings: Holdings) -> str:
    """CSL-JSON items of papers, one a line."""
    items = (csl.item(paper, holdings.citation_keys[paper.id]) for paper in papers)
    lines = ",\n".join(json.dumps(item, ensure_ascii=False) for item in items)
    return f"[\n{lines}\n]\n"


def sitemap(paths: Iterable[str]) -> str:
    """Where every page stands, for crawlers."""
    places = "".join(f"<url><loc>{address.page(path)}</loc></url>\n" for path in paths)
    space = "http://www.sitemaps.org/schemas/sitemap/0.9"
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<urlset xmlns="{space}">\n{places}</urlset>\n'


def _badges(holdings: Holdings) -> Iterator[tuple[str, bytes]]:
    for method in holdings.methods.values():
        runs = holdings.latest.get(method.id, {})
        if method.claims:
            yield f"methods/{method.id}/badge.svg", badges.method(method, runs).encode()
        for claim in method.claims:
            made = badges.claim(method, claim.id, runs.get(claim.id))
            yield f"methods/{method.id}/badges/{claim.id}.svg", made.encode()


def _whole(holdings: Holdings) -> Iterator[tuple[str, bytes]]:
    papers = list(holdings.papers.values())
    yield "data/octavo.bib", bib(papers, holdings).encode()
    yield "data/octavo.csl.json", csl_json(papers, holdings).encode()
    nodes = [linked_data.dataset(holdings, WHOLE)]
    nodes += [linked_data.method(method, holdings) for method in holdings.methods.values()]
    nodes += [linked_data.paper(paper, holdings) for paper in papers]
    yield "data/octavo.jsonld", (linked_data.document(nodes) + "\n").encode()
    tables = dict(dump.files(holdings))
    yield from tables.items()
    days = [run.date[:10] for runs in holdings.latest.values() for run in runs.values()]
    about = croissant.metadata(tables, max(days, default=news.FIRST_DAY))
    yield "data/croissant.json", (json.dumps(about, indent=1) + "\n").encode()


def _feeds(name: str, where: str) -> list[Door]:
    return [Door(f"Atom, {name}", f"{where}.xml", ATOM), Door("JSON Feed", f"{where}.json", FEED)]


CITING = (Door("BibTeX", "cite.bib", BIBTEX), Door("CSL-JSON", "cite.json", CSL))
KINDS = {
    "papers": Kind(
        lambda holdings: holdings.papers,
        lambda name, holdings: [holdings.papers[name]],
        lambda name, holdings: linked_data.paper(holdings.papers[name], holdings),
        lambda name, holdings: [],
    ),
    "methods": Kind(
        lambda holdings: holdings.methods,
        lambda name, holdings: [
            holdings.papers[p] for p in holdings.methods[name].papers if p in holdings.papers
        ],
        lambda name, holdings: linked_data.method(holdings.methods[name], holdings),
        lambda name, holdings: [],
    ),
    "themes": Kind(
        lambda holdings: holdings.taxonomy.themes,
        lambda name, holdings: holdings.papers_of_theme(name),
        lambda name, holdings: linked_data.plain(
            f"themes/{name}",
            holdings.taxonomy.themes[name].name,
            holdings.taxonomy.themes[name].description,
        ),
        lambda name, holdings: _feeds("new here", f"../../feeds/themes/{name}"),
    ),
}
OPEN_SEARCH = """<?xml version="1.0" encoding="utf-8"?>
<OpenSearchDescription xmlns="http://a9.com/-/spec/opensearch/1.1/">
 <ShortName>Octavo</ShortName>
 <Description>Papers, methods and kernels of neural-network compression.</Description>
 <InputEncoding>UTF-8</InputEncoding>
 <Image width="64" height="64" type="image/svg+xml">{base}assets/mark.svg</Image>
 <Url type="text/html" template="{base}search/?q={{searchTerms}}"/>
</OpenSearchDescription>
"""
