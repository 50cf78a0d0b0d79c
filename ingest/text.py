"""Text: a file of abstracts, one a line, or a Markdown or HTML page that links papers.

An abstract is an unidentified paper until the library recognises it (Library.recognise). On a page
the section a link stands in becomes a tag of that source, as the awesome-lists use sections.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from markdown_it import MarkdownIt

from octavo.catalog.records import Paper, Source, Tag
from octavo.errors import InputError
from octavo.ingest.linked import UNIDENTIFIED, kebab, linked_papers, named
from octavo.ingest.links import paper_link
from octavo.ingest.outline import outline, tidy
from octavo.ingest.reading import Document, Reading, Rejection, fetch
from octavo.ingest.transport import Client

FEWEST_WORDS = 40  # of an abstract
SHOWN_WORDS = 12  # of an unidentified paper's stand-in title
HTML = re.compile(r"\s*<(?:!doctype|html|head|body|h[1-6]|p|div|ul|table)\b", re.IGNORECASE)
ADDRESS = re.compile(r"https?://[^\s<>\"')\]]+")


def read(
    source: str, client: Client, etag: str | None = None, modified: str | None = None
) -> Reading:
    """Papers of a page or of a file of abstracts, whichever the source is.

    Raises InputError where it holds neither.
    """
    document = fetch(source, client, etag, modified)
    if document.unchanged:
        return Reading((), etag=etag, modified=modified, unchanged=True)
    linked = any(paper_link(url) for url in ADDRESS.findall(document.text))
    reading = _page(document) if linked else _abstracts(document)
    return replace(reading, etag=document.etag, modified=document.modified)


def _page(document: Document) -> Reading:
    html = document.text
    if not HTML.match(html):
        html = (
            MarkdownIt("commonmark", {"html": True, "linkify": False}).enable("table").render(html)
        )
    anchors = outline(html, lambda href: paper_link(href) is not None)
    name = page_id(document)
    papers = linked_papers(anchors, Source(name, url=document.url))
    return Reading(tuple(_tagged(paper, name) for paper in papers), 1, len(papers))


def page_id(document: Document) -> str:
    """The name of a page as a source; an awesome-list is called by its repository.

    >>> page_id(Document("-", "https://raw.githubusercontent.com/he-y/Awesome-Pruning/x.md", b""))
    'list:he-y/Awesome-Pruning'
    """
    if document.url is None:
        return f"file:{PurePosixPath(document.name).name}"
    parts = urlsplit(document.url)
    host, path = (parts.hostname or "").removeprefix("www."), parts.path.strip("/")
    if host in ("github.com", "raw.githubusercontent.com"):
        return "list:" + "/".join(path.split("/")[:2])
    return f"page:{host}/{path}".rstrip("/")


def _tagged(paper: Paper, origin: str) -> Paper:
    sections = [source.section for source in paper.sources if source.section]
    names = {kebab(part) for section in sections for part in section.split(" > ")}
    tags = tuple(Tag(name, f"source:{origin}") for name in sorted(names) if name)
    return replace(paper, tags=tags)


def _abstracts(document: Document) -> Reading:
    papers: list[Paper] = []
    rejected: list[Rejection] = []
    name = page_id(document)
    for number, line in enumerate(document.text.split("\n"), 1):
        text = tidy(line)
        if len(text.split()) >= FEWEST_WORDS:
            papers.append(unidentified(text, Source(name, url=document.url)))
        elif text:
            why = f"{len(text.split())} words; an abstract has {FEWEST_WORDS} or more"
            rejected.append(Rejection(f"{document.name}:{number}", why))
    if not papers:
        raise InputError(
            f"{document.name}: no abstract and no link to a paper; give abstracts one a line, "
            "or a Markdown or HTML page with links"
        )
    return Reading(tuple(papers), len(papers), 0, tuple(rejected))


def unidentified(abstract: str, source: Source) -> Paper:
    """A paper of which only the abstract is known; its first words stand in for the title."""
    start = " ".join(abstract.split()[:SHOWN_WORDS])
    return named(Paper("", f"{UNIDENTIFIED}{start} …", abstract=abstract, sources=(source,)))
