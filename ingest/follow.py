"""Editing catalog/sources.toml: one table more or less, the rest of the file as it was."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import tomlkit

from octavo import catalog
from octavo.catalog import Followed
from octavo.errors import InputError
from octavo.ingest.library import write_whole
from octavo.ingest.run import READERS

NAME = "sources.toml"
SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def add(
    kind: str,
    source: str,
    *,
    own: str | None = None,
    name: str | None = None,
    limit: int | None = None,
    root: Path = catalog.ROOT,
) -> Followed:
    """Follow a source from now on. Without an id and a name they are made from the source.

    Raises InputError for a kind, an id or a limit that cannot be, and for what is followed already.
    """
    followed = Followed(own or slug(kind, source), kind, source.strip(), name or source, limit)
    _check(followed, catalog.sources(root))
    document = _read(root)
    table = tomlkit.table()
    for key in ("kind", "source", "name", "limit"):
        if (value := getattr(followed, key)) is not None:
            table.add(key, value)
    shelf = document.setdefault("sources", tomlkit.table(is_super_table=True))
    shelf.add(followed.id, table)
    _write(document, root)
    return followed


def remove(own: str, root: Path = catalog.ROOT) -> Followed:
    """Follow a source no more. Raises InputError where there is none of that id."""
    gone = one(own, root)
    document = _read(root)
    document["sources"].remove(own)
    _write(document, root)
    return gone


def one(own: str, root: Path = catalog.ROOT) -> Followed:
    """The source of an id. Raises InputError, with those that there are, where there is none."""
    known = {each.id: each for each in catalog.sources(root)}
    if own not in known:
        raise InputError(f"follow: no source {own!r}; there are {', '.join(known) or 'none'}")
    return known[own]


def slug(kind: str, source: str) -> str:
    """An id made of what the source says.

    >>> slug("feed", "https://www.example.org/blog/feed.xml")
    'example-org-blog'
    >>> slug("arxiv", 'cat:cs.LG AND abs:"KV cache"')
    'arxiv-kv-cache'
    """
    if kind == "arxiv":
        quoted = " ".join(re.findall(r'"([^"]+)"', source)) or source
        return "arxiv-" + "-".join(re.findall(r"[a-z0-9]+", quoted.lower()))[:40].strip("-")
    parts = urlsplit(source)
    said = (parts.hostname or "").removeprefix("www.") + parts.path
    words = [w for w in re.findall(r"[a-z0-9]+", said.lower()) if w not in NOT_NAMES]
    return "-".join(words)[:40].strip("-")


NOT_NAMES = {"feed", "feeds", "rss", "atom", "xml", "index"}


def _check(wanted: Followed, known: tuple[Followed, ...]) -> None:
    if wanted.kind not in READERS:
        raise InputError(f"follow: no kind {wanted.kind!r}; there are {', '.join(READERS)}")
    if wanted.kind == "feed" and urlsplit(wanted.source).scheme not in ("http", "https"):
        raise InputError(f"follow: {wanted.source!r} is no address of a feed; give http(s)://…")
    if not wanted.source:
        raise InputError("follow: an empty source; give an address, a file or a query")
    if not SLUG.fullmatch(wanted.id):
        raise InputError(f"follow: id {wanted.id!r}; give --id with a-z, 0-9 and single hyphens")
    if wanted.limit is not None and (wanted.limit < 1 or wanted.kind != "arxiv"):
        raise InputError(f"follow: limit {wanted.limit}; 1 or more, and only for arxiv")
    for each in known:
        if each.id == wanted.id:
            raise InputError(f"follow: {each.id} is there already ({each.source}); give --id")
        if (each.kind, each.source) == (wanted.kind, wanted.source):
            raise InputError(f"follow: {each.source} is followed already, as {each.id}")


def _read(root: Path) -> tomlkit.TOMLDocument:
    catalog.sources(root)  # refuses a file with problems, naming the line
    return tomlkit.parse((root / NAME).read_text(encoding="utf-8"))


def _write(document: tomlkit.TOMLDocument, root: Path) -> None:
    """Replace the file, once its new text is known to be good."""
    said = tomlkit.dumps(document).rstrip("\n") + "\n"
    with tempfile.TemporaryDirectory() as aside:
        (Path(aside) / NAME).write_text(said, encoding="utf-8")
        catalog.sources(Path(aside))
    try:
        write_whole(root / NAME, said)
    except OSError as error:
        raise InputError(f"{root / NAME}: {error.strerror}; follow from a clone you own") from None
