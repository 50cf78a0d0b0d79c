"""Pages in the theme's frame, without a template engine for each.

MkDocs sets one page of each kind, a *mould*, with a mark wherever pages of that kind differ. Every
page is its mould with the marks filled in: the same bytes as MkDocs would write for it, in a
hundredth of the time. Pages are of one kind that lie equally deep (links into the frame are
relative) in the same section (the frame says where the reader is).
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from octavo.site.markup import Page, head, text, tokens, ways

NAME = "octavo-mould"
MARKS = ("title", "description", "accent", "head", "body")
MARK = re.compile(rf"(?: theme-)?{NAME}-({'|'.join(MARKS)})|{NAME}-at-[a-z]+/(?:a/)*")


class Kind(NamedTuple):
    """How deep a page lies, and in which section."""

    depth: int
    section: str

    @property
    def path(self) -> str:
        """Where the mould is set: the home in its own place, others where no page is."""
        first = f"{NAME}-at-{self.section or 'none'}"
        return "/".join([first, *"a" * (self.depth - 1)][: self.depth])


def kind_of(page: Page) -> Kind:
    """The kind of a page."""
    return Kind(len(page.path.split("/")) if page.path else 0, page.section)


def written(pages: Iterable[Page], docs: Path) -> set[Kind]:
    """Write a mould of each kind among the pages as a file for MkDocs."""
    kinds = {kind_of(page) for page in pages}
    for kind in kinds:
        front = {name: f"{NAME}-{name}" for name in MARKS}
        facts = front | {"section": kind.section, "generated": True}
        lines = [f"{key}: {json.dumps(value)}" for key, value in facts.items()]
        place = docs / kind.path / "index.md"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("\n".join(["---", *lines, "---", ""]), encoding="utf-8")
    return kinds


class Mould:
    """A frame cut at its marks."""

    def __init__(self, frame: str) -> None:
        self._between: list[str] = []
        self._marks: list[str] = []
        last = 0
        for found in MARK.finditer(frame):
            self._between.append(frame[last : found.start()])
            self._marks.append(found[1] or "path")
            last = found.end()
        self._end = frame[last:]

    def filled(self, page: Page) -> str:
        """The page whole, as HTML."""
        values = parts(page)
        pieces = (
            between + values[mark] for between, mark in zip(self._between, self._marks, strict=True)
        )
        return "".join(pieces) + self._end


def parts(page: Page) -> Mapping[str, str]:
    """What stands at the marks of a page's mould."""
    kind = ' data-pagefind-body=""' if page.searchable else ' data-pagefind-ignore="all"'
    return {
        "title": text(page.title),
        "description": text(" ".join(page.description.split())[:300]),
        "accent": f" theme-{page.theme}" if page.theme else "",
        "head": head(page),
        "body": f'<div class="leaf"{kind}>\n{tokens(page)}{page.body}\n{ways(page)}</div>',
        "path": f"{page.path}/" if page.path else "",
    }


def taken(kinds: Iterable[Kind], site: Path) -> dict[Kind, Mould]:
    """The moulds that MkDocs set, read from the built site and removed from it."""
    made = {
        kind: Mould((site / kind.path / "index.html").read_text(encoding="utf-8")) for kind in kinds
    }
    for left in site.glob(f"{NAME}-at-*"):
        shutil.rmtree(left)
    return made
