"""Docstrings as HTML: paragraphs, tables, lists, examples; the rest stays as typed."""

from __future__ import annotations

import re
import textwrap
from typing import NamedTuple

from octavo.site.markup import inline, table, text
from octavo.site.source import highlight

HEADING = re.compile(r"^([A-Z][A-Za-z ]{2,30}):?\n[-=~]{3,}\n")
ITEM = re.compile(r"^\s*[-*] +|^\s*\d+\. +")
TERMS = {"Args", "Errors", "Raises", "Returns", "Shapes", "Source", "Units", "Yields"}
RULE = re.compile(r"^\s*\|[\s:|-]+\|\s*$")


class Docstring(NamedTuple):
    """A docstring's first line and the HTML of the rest."""

    title: str
    body: str


def docstring(source: str | None) -> Docstring:
    """Read a docstring (already dedented, as ``ast.get_docstring`` gives it)."""
    if not source:
        return Docstring("", "")
    first, _, rest = source.strip().partition("\n\n")
    return Docstring(" ".join(first.split()), render(rest))


def render(source: str) -> str:
    r"""The HTML of docstring text.

    >>> render("One `x`.\n\n    y = 2\n")
    '<p>One <code>x</code>.</p><pre class="plain">y = 2</pre>'
    """
    return "".join(
        _block(b) for b in re.split(r"\n[ \t]*\n(?!\s*\n)", source.strip("\n")) if b.strip()
    )


def _block(block: str) -> str:
    lines = block.rstrip().split("\n")
    if lines[0].lstrip().startswith(">>>"):
        return highlight(textwrap.dedent(block).strip("\n"), "pycon")
    if all(line.lstrip().startswith("|") for line in lines):
        return _table([line for line in lines if not RULE.match(line)])
    if heading := HEADING.match(block + "\n"):
        rest = block[heading.end() :]
        return f"<h4>{inline(heading[1])}</h4>" + (_block(rest) if rest.strip() else "")
    if all(line.startswith(("    ", "\t")) for line in lines):
        return f'<pre class="plain">{text(textwrap.dedent(block).strip(chr(10)))}</pre>'
    return _lead(lines) if any(line.startswith("    ") for line in lines) else _flow(lines)


def _flow(lines: list[str]) -> str:
    """A list if the first line opens an item, else a paragraph for each ``Differs:``."""
    if not ITEM.match(lines[0]):
        flat = " ".join(line.strip() for line in lines)
        parts = re.split(r"\s+(?=Differs: )", flat)
        return "".join(f"<p>{inline(part)}</p>" for part in parts)
    items: list[str] = []
    for line in lines:
        if ITEM.match(line):
            items.append(ITEM.sub("", line))
        else:
            items[-1] += " " + line.strip()
    return "<ul>" + "".join(f"<li>{inline(item.strip())}</li>" for item in items) + "</ul>"


def _lead(lines: list[str]) -> str:
    """Text and indented lines in one block: text flows, indented lines stay as typed."""
    if ITEM.match(lines[0]):
        return _flow(lines)
    if lines[0].rstrip(": ") in TERMS:
        return f'<p><span class="term">{lines[0].strip()}</span></p>{_entries(lines[1:])}'
    start = next(i for i, line in enumerate(lines) if line.startswith("    "))
    if start == 0 or not all(line.startswith("    ") for line in lines[start:]):
        return f'<pre class="plain">{text(chr(10).join(lines))}</pre>'
    body = textwrap.dedent("\n".join(lines[start:]))
    return _flow(lines[:start]) + f'<pre class="plain">{text(body)}</pre>'


def _entries(lines: list[str]) -> str:
    """``name: what it is`` entries of one section; deeper lines go on with the entry above."""
    entries: list[str] = []
    for line in textwrap.dedent("\n".join(lines)).split("\n"):
        if entries and line.startswith(" "):
            entries[-1] += " " + line.strip()
        else:
            entries.append(line.strip())
    return "".join(f'<p class="entry">{_entry(entry)}</p>' for entry in entries)


def _entry(entry: str) -> str:
    name, colon, told = entry.partition(": ")
    if not colon or not name.isidentifier():
        return inline(entry)
    return f"<code>{text(name)}</code> {inline(told)}"


def _table(lines: list[str]) -> str:
    rows = [[inline(c.strip()) for c in line.strip().strip("|").split("|")] for line in lines]
    width = max(len(row) for row in rows)
    padded = [row + [""] * (width - len(row)) for row in rows]
    return table(padded[0], padded[1:])
