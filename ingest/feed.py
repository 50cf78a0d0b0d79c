"""Feeds (RSS, Atom, JSON Feed): each post's links to papers, and where in the post they stand."""

from __future__ import annotations

import calendar
import io
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import feedparser

from octavo.catalog.records import Paper, Source
from octavo.errors import InputError
from octavo.ingest.linked import kebab, linked_papers, paper_at
from octavo.ingest.links import paper_link
from octavo.ingest.outline import outline, tidy
from octavo.ingest.reading import Document, Reading, Rejection, fetch, within
from octavo.ingest.transport import Client

CLOSED = re.compile(rb"</(?:\w+:)?(?:rss|feed|RDF|rdf)\s*>(?:\s|<!--[^<>]*-->)*\Z")
MARKUP = re.compile(
    r"</?(?:p|br|div|span|i|b|em|strong|a|jats:\w+)(?:\s+[\w:-]+=(?:\"[^\"<>]*\"|'[^'<>]*'))*\s*/?>"
)
ARXIV_PREFIX = re.compile(r"^arXiv:\S+ Announce Type: \S+ (?:Abstract: )?")
PARSE_SECONDS = 30.0


@dataclass(frozen=True)
class Post:
    """An entry of a feed. ``html`` is read for links and then dropped."""

    title: str
    url: str | None
    html: str
    authors: tuple[str, ...] = ()
    published: datetime | None = None


def read(
    source: str, client: Client, etag: str | None = None, modified: str | None = None
) -> Reading:
    """Papers of every post of a feed, from a file or an address.

    Raises InputError where the source is no feed, or is cut off before its end.
    """
    document = fetch(source, client, etag, modified)
    if document.unchanged:
        return Reading((), etag=etag, modified=modified, unchanged=True)
    posts, rejected = posts_of(document)
    papers = tuple(paper for post in posts for paper in papers_of(post, document.name))
    links = {link.key for paper in papers if (link := paper_link(paper.url or ""))}
    return Reading(papers, len(posts), len(links), rejected, document.etag, document.modified)


def posts_of(document: Document) -> tuple[list[Post], tuple[Rejection, ...]]:
    """Entries of a feed document in their order, and what was wrong with it."""
    start = document.body.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    return _json_posts(document) if start == b"{" else _xml_posts(document)


def papers_of(post: Post, feed: str) -> list[Paper]:
    """Papers a post links to, with sections and anchor texts.

    A post that is a paper's own entry (as in arXiv's feeds) is that paper.
    """
    own = paper_link(post.url or "")
    if own is not None:
        return [_own_entry(post, own.url, feed)]
    anchors = outline(post.html, lambda href: paper_link(href) is not None)
    return linked_papers(anchors, Source(post_id(post, feed), url=post.url))


def post_id(post: Post, feed: str) -> str:
    """The name of a post as a source: ``feed:<host>/<last part of its address>``.

    >>> post_id(Post("A title", "https://www.example.org/p/a-title", ""), "feed.xml")
    'feed:example.org/a-title'
    """
    parts = urlsplit(post.url or "")
    host = (parts.hostname or "").removeprefix("www.") or feed.rsplit("/", 1)[-1]
    slug = parts.path.rstrip("/").rsplit("/", 1)[-1] or kebab(post.title)[:80]
    return f"feed:{host}/{slug}"


def _own_entry(post: Post, url: str, feed: str) -> Paper:
    host = urlsplit(feed).hostname or feed.rsplit("/", 1)[-1]
    text = ARXIV_PREFIX.sub("", tidy(MARKUP.sub(" ", post.html)))
    return paper_at(
        url,
        title=post.title,
        authors=post.authors,
        authors_complete=bool(post.authors),
        year=post.published.year if post.published else None,
        abstract=text or None,
        sources=(Source(f"feed:{host}", url=feed if "://" in feed else None),),
    )


def _xml_posts(document: Document) -> tuple[list[Post], tuple[Rejection, ...]]:
    parsed = _parsed(document)
    if not parsed.entries and not parsed.get("version"):
        start = tidy(document.text[:200])[:60]
        raise InputError(
            f"{document.name}: not a feed (it starts with {start!r}); RSS, Atom or JSON Feed"
        )
    if not CLOSED.search(document.body):
        raise InputError(
            f"{document.name}: cut off before the end of the feed "
            f"({len(parsed.entries)} posts readable); fetch it again"
        )
    warnings: tuple[Rejection, ...] = ()
    if parsed.bozo and not isinstance(
        parsed.get("bozo_exception"), feedparser.CharacterEncodingOverride
    ):
        why = tidy(str(parsed.get("bozo_exception", "not well-formed")))
        warnings = (
            Rejection(document.name, f"malformed, its posts were taken all the same: {why}"),
        )
    return [_post(entry) for entry in parsed.entries], warnings


def _parsed(document: Document) -> Any:
    """The document as feedparser sees it.

    The bytes go in as a stream: as a string feedparser would take them for a file name first.
    """
    headers = {"content-type": document.content_type} if document.content_type else {}
    if document.url:
        headers["content-location"] = document.url
    return within(
        PARSE_SECONDS,
        document.name,
        lambda: feedparser.parse(
            io.BytesIO(document.body),
            response_headers=headers,
            sanitize_html=False,  # no markup is kept, and both of these eat text like $a<b$
            resolve_relative_uris=False,
        ),
    )


def _post(entry: Any) -> Post:
    bodies = [body.get("value") or "" for body in entry.get("content", [])]
    when = entry.get("published_parsed") or entry.get("updated_parsed")
    names = [author.get("name") or "" for author in entry.get("authors", [])]
    return Post(
        tidy(entry.get("title") or ""),
        entry.get("link"),
        max(bodies, key=len, default="") or entry.get("summary") or "",
        tuple(
            name for joined in names for name in re.split(r",\s+(?!Jr|Sr|I{2,3}\b)", joined) if name
        ),
        datetime.fromtimestamp(calendar.timegm(when), UTC) if when else None,
    )


def _json_posts(document: Document) -> tuple[list[Post], tuple[Rejection, ...]]:
    try:
        feed = json.loads(document.body)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{document.name}: not a readable JSON Feed ({tidy(str(error))})"
        ) from None
    items = feed.get("items")
    if "jsonfeed.org/version" not in str(feed.get("version")) or not isinstance(items, list):
        raise InputError(f"{document.name}: JSON, but no JSON Feed; it needs version and items")
    posts = [_json_post(item) for item in items if isinstance(item, dict)]
    bad = len(items) - len(posts)
    return posts, (Rejection(document.name, f"{bad} items are no objects"),) if bad else ()


def _json_post(item: dict[str, Any]) -> Post:
    url = item.get("url") or item.get("external_url") or item.get("id")
    html = item.get("content_html") or _linked(
        str(item.get("content_text") or item.get("summary") or "")
    )
    return Post(tidy(str(item.get("title") or "")), str(url) if url else None, str(html))


def _linked(text: str) -> str:
    """Plain text as HTML in which bare addresses are links."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    linked = re.sub(r"https?://[^\s<>\"']+[^\s<>\"'.,;:)\]]", r'<a href="\g<0>">\g<0></a>', escaped)
    return "".join(f"<p>{block}</p>" for block in re.split(r"\n\s*\n", linked))
