"""HTML from values: escaping, the few elements the pages are made of, and the page itself.

Every text that comes from a record passes through `text` or `inline`; nothing else may. The frame
around a page is filled in by `moulds`, which prints what it is given as it stands: no character of
a record (``$``, ``{{``, ``|``, ``<``) can mean anything to Markdown or to a template.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import urlsplit

from octavo.errors import InputError

SAFE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")
CODE_SPAN = re.compile(r"(`{1,2})([^`]+)\1")
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


class Door(NamedTuple):
    """The same thing in another form: its name, where it lies from here, its media type."""

    name: str
    href: str
    media: str


@dataclass(frozen=True)
class Page:
    """One page: where it lies (``methods/synflow``, "" is the home) and what is on it."""

    path: str
    title: str
    body: str
    description: str = ""
    theme: str | None = None
    section: str = ""
    meta: Mapping[str, str] = field(default_factory=dict)
    filters: Sequence[tuple[str, str]] = ()
    searchable: bool = False
    doors: Sequence[Door] = ()
    citation: Sequence[tuple[str, str]] = ()
    linked_data: str = ""


def text(value: object) -> str:
    """Escape a value for HTML text and attributes.

    >>> text('a < b & "c" {{ d }}')
    'a &lt; b &amp; &quot;c&quot; {{ d }}'
    """
    return html.escape(CONTROL.sub("", str(value)), quote=True)


def inline(value: str) -> str:
    """Escape a line of our own prose; only `` `code` `` spans get an element.

    >>> inline("call `f(x)` if x < 1")
    'call <code>f(x)</code> if x &lt; 1'
    """
    return CODE_SPAN.sub(r"<code>\2</code>", text(value))


def paragraphs(value: str) -> str:
    r"""Our own prose, a paragraph for each block of lines.

    >>> paragraphs("one\ntwo\n\nthree")
    '<p>one two</p><p>three</p>'
    """
    blocks = (" ".join(block.split()) for block in re.split(r"\n\s*\n", value.strip()))
    return "".join(f"<p>{inline(block)}</p>" for block in blocks if block)


def link(href: str, label: str, **attributes: str) -> str:
    """A link with an escaped label; what is neither http(s) nor ours is shown, not linked.

    >>> link("javascript:alert(1)", "x")
    'x'
    """
    try:
        scheme, host, *_ = urlsplit(href)
    except ValueError:
        return text(label)
    if scheme not in ("http", "https") and (scheme or host):
        return text(label)
    extra = "".join(f' {name.rstrip("_")}="{text(value)}"' for name, value in attributes.items())
    rel = ' rel="noopener noreferrer"' if "://" in href else ""
    return f'<a href="{text(href)}"{rel}{extra}>{text(label)}</a>'


def table(head: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[int] = ()) -> str:
    """A table in a box that scrolls by itself; cells are HTML, ``numbers`` right-aligned.

    Each cell also carries its column's name, for tables that a narrow screen stacks.
    """
    kind = [' class="n"' if column in numbers else "" for column in range(len(head))]
    top = "".join(f'<th scope="col"{kind[i]}>{cell}</th>' for i, cell in enumerate(head))
    body = "".join(
        "<tr>"
        + "".join(f'<td data-of="{head[i]}"{kind[i]}>{cell}</td>' for i, cell in enumerate(row))
        + "</tr>"
        for row in rows
    )
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Table">'
        f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """A list of terms and their HTML values; empty values are left out."""
    rows = "".join(f"<div><dt>{text(k)}</dt> <dd>{v}</dd></div>" for k, v in pairs if v)
    return f'<dl class="facts">{rows}</dl>' if rows else ""


def command(line: str, label: str = "Copy") -> str:
    """A command line with a button that copies it."""
    return (
        f'<div class="command"><code>{text(line)}</code>'
        f'<button type="button" class="copy" data-pagefind-ignore data-copy="{text(line)}" '
        f'aria-label="Copy: {text(line)}">{text(label)}</button></div>'
    )


def section(title: str, body: str, anchor: str, kind: str = "") -> str:
    """A section under its heading; nothing at all when the body is empty."""
    if not body:
        return ""
    name = f' class="{kind}"' if kind else ""
    return f'<section{name} id="{anchor}"><h2>{text(title)}</h2>{body}</section>'


def fold(summary: str, body: str) -> str:
    """HTML that shows when its summary is asked for."""
    return f"<details><summary>{text(summary)}</summary>{body}</details>"


def plural(count: int, one: str, many: str | None = None) -> str:
    """A count and its noun.

    >>> plural(1, "paper"), plural(1300, "paper")
    ('1 paper', '1,300 papers')
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def safe_id(value: str) -> str:
    """An id that can be a file name, or an error that says why not."""
    if not SAFE_ID.match(value) or len(value) > 200:
        raise InputError(
            f"site: id {value!r} cannot be a file name; "
            "use at most 200 letters, digits, dots, hyphens; mend the record"
        )
    return value


def root(path: str) -> str:
    """The relative way from a page back to the root of the site.

    >>> root(""), root("methods/synflow")
    ('', '../../')
    """
    return "../" * len(path.split("/")) if path else ""


def tokens(page: Page) -> str:
    """What the search index reads about a page: filters and sort keys, as hidden elements."""
    pairs = [("meta", k, v) for k, v in page.meta.items()]
    pairs += [("filter", k, v) for k, v in page.filters]
    spans = "".join(
        f'<span hidden data-pagefind-{kind}="{text(key)}">{text(value)}</span>'
        for kind, key, value in pairs
    )
    return f"<div hidden data-pagefind-ignore>{spans}</div>" if spans else ""


def head(page: Page) -> str:
    """What the page's head says to programs: citation tags, other forms, linked data."""
    lines = [f'<meta name="{name}" content="{text(said)}">' for name, said in page.citation]
    lines += [
        f'<link rel="alternate" type="{door.media}" title="{text(door.name)}" '
        f'href="{text(door.href)}">'
        for door in page.doors
    ]
    if page.linked_data:
        lines.append(f'<script type="application/ld+json">{page.linked_data}</script>')
    return "\n".join(lines)


def ways(page: Page) -> str:
    """The row of other forms at the end of a page."""
    links = "".join(f"<li>{link(d.href, d.name, type=d.media)}</li>" for d in page.doors)
    if not links:
        return ""
    return (
        '<nav class="ways" aria-label="This page in other forms" data-pagefind-ignore>'
        f"<span>This page as</span><ul>{links}</ul></nav>\n"
    )
