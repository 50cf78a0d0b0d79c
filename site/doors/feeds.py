"""A list of news as an Atom feed (RFC 4287) and as a JSON Feed 1.1."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree as Tree

from octavo.site.doors import address
from octavo.site.markup import CONTROL

ATOM = "http://www.w3.org/2005/Atom"
NO_NEWS = "1970-01-01T00:00:00Z"  # when a feed that has never had an entry was changed
PUBLISHER = "The Octavo authors"


@dataclass(frozen=True)
class Item:
    """One piece of news. ``date`` is RFC 3339 in UTC, ``link`` a page of ours, ``away`` another's.

    ``id`` is what the item is about; it becomes a name that stays when the site moves.
    """

    id: str
    title: str
    date: str
    link: str
    said: str
    authors: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    away: str | None = None


@dataclass(frozen=True)
class Feed:
    """A feed without its items. ``path`` is that of its files without ``.xml`` or ``.json``."""

    path: str
    title: str
    about: str
    home: str


def atom(feed: Feed, items: Sequence[Item]) -> str:
    """The Atom document."""
    Tree.register_namespace("", ATOM)
    root = Tree.Element(f"{{{ATOM}}}feed", {"xml:lang": "en"})
    _put(root, "title", feed.title)
    _put(root, "subtitle", feed.about)
    _put(root, "id", address.urn(feed.path))
    _put(root, "updated", max((item.date for item in items), default=NO_NEWS))
    here = address.file(f"{feed.path}.xml")
    _put(root, "link", rel="self", type="application/atom+xml", href=here)
    _put(root, "link", rel="alternate", type="text/html", href=address.page(feed.home))
    _put(_put(root, "author"), "name", PUBLISHER)
    _put(root, "generator", "Octavo")
    for item in items:
        _entry(root, item)
    Tree.indent(root, " ")
    return '<?xml version="1.0" encoding="utf-8"?>\n' + Tree.tostring(root, "unicode") + "\n"


def _entry(root: Tree.Element, item: Item) -> None:
    entry = _put(root, "entry")
    _put(entry, "title", item.title)
    _put(entry, "id", address.urn(item.id))
    _put(entry, "updated", item.date)
    _put(entry, "link", rel="alternate", type="text/html", href=address.page(item.link))
    if item.away:
        _put(entry, "link", rel="related", href=item.away)
    for author in item.authors:
        _put(_put(entry, "author"), "name", author)
    for tag in item.tags:
        _put(entry, "category", term=tag)
    _put(entry, "summary", item.said, type="text")


def _put(parent: Tree.Element, name: str, said: str = "", **attributes: str) -> Tree.Element:
    clean = {key: CONTROL.sub("", value) for key, value in attributes.items()}
    element = Tree.SubElement(parent, f"{{{ATOM}}}{name}", clean)
    element.text = CONTROL.sub("", said) or None
    return element


def json_feed(feed: Feed, items: Sequence[Item]) -> str:
    """The JSON Feed document."""
    document = {
        "version": "https://jsonfeed.org/version/1.1",
        "title": feed.title,
        "description": feed.about,
        "home_page_url": address.page(feed.home),
        "feed_url": address.file(f"{feed.path}.json"),
        "language": "en",
        "authors": [{"name": PUBLISHER}],
        "items": [_json_item(item) for item in items],
    }
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


def _json_item(item: Item) -> dict[str, Any]:
    facts = {
        "id": address.urn(item.id),
        "url": address.page(item.link),
        "external_url": item.away,
        "title": item.title,
        "content_text": item.said,
        "date_modified": item.date,
        "authors": [{"name": author} for author in item.authors],
        "tags": list(item.tags),
    }
    return {name: value for name, value in facts.items() if value}
