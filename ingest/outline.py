"""The outline of an HTML page: its links, each under the headings it stands below.

Only text and addresses are taken; no markup is kept, so there is nothing to sanitise later.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from lxml import etree

SILENT = {"script", "style", "template", "noscript", "svg", "math"}
BOLD = {"b", "strong"}
BLOCKS = {"p", "li", "div", "td", "blockquote", "figcaption", "ul", "ol", "table", "tr"}
BOLD_LEVEL = 7  # a paragraph all in bold stands below h6
LONGEST_HEADING = 200


@dataclass(frozen=True)
class Anchor:
    """A link: its address, its text, the headings above it, and whether a heading holds it."""

    href: str
    text: str
    section: tuple[str, ...]
    in_heading: bool


@dataclass
class _Section:
    level: int
    name: str
    has_text: bool = False


@dataclass
class _Block:
    level: int  # 1-6 for h1-h6, BOLD_LEVEL for a paragraph
    text: list[str] = field(default_factory=list)
    bold: list[str] = field(default_factory=list)
    anchors: list[tuple[str, str]] = field(default_factory=list)


def outline(html: str, keep: Callable[[str], bool]) -> list[Anchor]:
    """Links of a page for which `keep(href)` holds, in their order.

    A heading that holds a kept link is the entry's own title, not a section: what follows stays
    under the section above it. It ends sections of its own level that have text of their own.

    >>> page = '<h3>Pruning</h3><h4><a href="u">A Paper</a></h4><p>See <a href="u">this</a>.</p>'
    >>> [(a.text, a.section, a.in_heading) for a in outline(page, lambda href: True)]
    [('A Paper', ('Pruning',), True), ('this', ('Pruning',), False)]
    """
    reader = _Outline(keep)
    parser = etree.HTMLParser(target=reader, encoding="utf-8", no_network=True)
    parser.feed(b"<html><body>")  # so that there is a document, also where there is no text
    parser.feed(html.replace("\0", " ").encode("utf-8", errors="replace"))
    found: list[Anchor] = parser.close()
    return found


class _Outline:
    """Receives the tags of a page in order (a target of lxml's parser, which is linear)."""

    def __init__(self, keep: Callable[[str], bool]) -> None:
        self.found: list[Anchor] = []
        self._keep = keep
        self._path: list[_Section] = []
        self._entry: tuple[str, ...] = ()  # the last entry title, where no section is open
        self._block = _Block(BOLD_LEVEL)
        self._silent = 0
        self._bold = 0
        self._href: str | None = None
        self._link_text: list[str] = []

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        """Begin an element."""
        if tag in SILENT:
            self._silent += 1
        elif tag in BOLD:
            self._bold += 1
        elif tag == "a":
            self._end_link()
            self._href = attributes.get("href")
        elif level := _heading(tag):
            self._end_block()
            self._block = _Block(level)
        elif tag in BLOCKS:
            self._end_block()
        elif tag == "br":
            self.data(" ")

    def end(self, tag: str) -> None:
        """End an element."""
        if tag in SILENT:
            self._silent = max(self._silent - 1, 0)
        elif tag in BOLD:
            self._bold = max(self._bold - 1, 0)
        elif tag == "a":
            self._end_link()
        elif tag in BLOCKS or _heading(tag):
            self._end_block()

    def data(self, data: str) -> None:
        """Take text."""
        if self._silent:
            return
        self._block.text.append(data)
        if self._bold:
            self._block.bold.append(data)
        if self._href is not None:
            self._link_text.append(data)

    def _end_link(self) -> None:
        if self._href is not None and self._keep(self._href):
            self._block.anchors.append((self._href, tidy("".join(self._link_text))))
        self._href, self._link_text = None, []

    def close(self) -> list[Anchor]:
        """End the page."""
        self._end_block()
        return self.found

    def _end_block(self) -> None:
        """Close the paragraph or heading being read and file its links."""
        self._end_link()
        block, self._block, self._bold = self._block, _Block(BOLD_LEVEL), 0
        text = tidy("".join(block.text))
        bold = text and text == tidy("".join(block.bold))
        heading = (block.level < BOLD_LEVEL or bold) and 0 < len(text) <= LONGEST_HEADING
        if heading and block.anchors:
            self._begin_entry(block.level, text)
        elif heading:
            self._begin_section(block.level, text)
        elif text and self._path:
            self._path[-1].has_text = True
        section = tuple(each.name for each in self._path) or self._entry
        self.found += [Anchor(href, text, section, bool(heading)) for href, text in block.anchors]

    def _begin_section(self, level: int, name: str) -> None:
        while self._path and self._path[-1].level >= level:
            self._path.pop()
        self._path.append(_Section(level, name))

    def _begin_entry(self, level: int, name: str) -> None:
        while self._path and (
            self._path[-1].level > level
            or (self._path[-1].level == level and self._path[-1].has_text)
        ):
            self._path.pop()
        self._entry = (name,)


def _heading(tag: str) -> int:
    return int(tag[1]) if len(tag) == 2 and tag[0] == "h" and tag[1] in "123456" else 0


def tidy(text: str) -> str:
    r"""Text with every run of white space (also no-break spaces) made one space.

    >>> tidy(" Twisted Sequential Monte\xa0Carlo ")
    'Twisted Sequential Monte Carlo'
    """
    return " ".join(text.split())
