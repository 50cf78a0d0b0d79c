"""Source as a reading text: docstrings and comments beside the code they speak of."""

from __future__ import annotations

import ast
import io
import tokenize
from functools import lru_cache
from typing import NamedTuple

from pygments import highlight as _highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name


class Row(NamedTuple):
    """A note (plain text; a docstring or a run of comments) and the lines of code beside it."""

    note: str
    is_docstring: bool
    code: str
    first_line: int
    name: str


class Span(NamedTuple):
    """Lines ``first`` to ``last`` (from 1, inclusive) that are a note and not code."""

    first: int
    last: int
    note: str
    is_docstring: bool


@lru_cache(maxsize=512)
def highlight(code: str, language: str) -> str:
    """Code with classes for its tokens, no inline styles."""
    lexer = get_lexer_by_name(language, stripnl=False)
    inner = _highlight(code, lexer, HtmlFormatter(nowrap=True)).rstrip("\n")
    return f'<pre class="code" tabindex="0"><code>{inner}</code></pre>'


def rows(source: str) -> list[Row]:
    r"""Cut a module into rows; the module's own docstring is left out (the page opens with it).

    >>> [(row.note, row.code) for row in rows("def f():\n    '''Why.'''\n    return 1\n")]
    [('Why.', 'def f():\n    return 1')]
    """
    tree = ast.parse(source)
    lines = source.splitlines()
    module_doc = _docstring_span(tree)
    start = (module_doc.last if module_doc else 0) + 1
    pieces: list[Row] = []
    said = _comments(source)
    for node in tree.body:
        if node.end_lineno is None or node.end_lineno < start:
            continue
        pieces += _piece(node, lines, start, said)
        start = node.end_lineno + 1
    return _joined(pieces)


def _piece(node: ast.stmt, lines: list[str], start: int, said: list[Span]) -> list[Row]:
    """Rows of one top-level statement, with the comments that stand before it."""
    end = node.end_lineno or start
    name = getattr(node, "name", "")
    spans = [s for s in said if start <= s.first <= end] + _docstrings(node)
    docs = [s for s in spans if s.is_docstring]
    inside = [s for s in spans if not any(d.first <= s.first <= d.last for d in docs)]
    spans = sorted([*{*inside, *docs}], key=lambda s: s.first)
    return _cut(lines, start, end, spans, name)


def _cut(lines: list[str], start: int, end: int, spans: list[Span], name: str) -> list[Row]:
    """Give each span of notes the code from its place to the next one.

    A docstring belongs to the signature above it, a comment to the code below it.
    """
    found: list[Row] = []
    note, is_doc, code, first = "", False, [], start
    at = start
    for span in [*spans, Span(end + 1, end + 1, "", False)]:
        code += lines[at - 1 : span.first - 1]
        if span.is_docstring and not note:
            note, is_doc = span.note, True
        elif any(line.strip() for line in code):
            found.append(_row(note, is_doc, code, first, name))
            note, is_doc, code, first = span.note, span.is_docstring, [], span.last + 1
        else:
            note = f"{note}\n\n{span.note}" if note else span.note
            is_doc, code, first = span.is_docstring, [], span.last + 1
        at = span.last + 1
        if span.is_docstring and at <= end and not lines[at - 1].strip():
            at += 1
    return found


def _joined(pieces: list[Row]) -> list[Row]:
    """Neighbours without a note (imports, constants) share one row."""
    made: list[Row] = []
    for row in pieces:
        if made and not row.note and not made[-1].is_docstring and not row.name:
            last = made.pop()
            gap = row.first_line - last.first_line - last.code.count("\n")
            row = last._replace(code=last.code + "\n" * max(gap, 1) + row.code)
        made.append(row)
    return made


def _comments(source: str) -> list[Span]:
    """Runs of comments that stand on lines of their own."""
    found: list[Span] = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT or token.line[: token.start[1]].strip():
            continue
        line, said = token.start[0], token.string.lstrip("#").strip()
        if found and found[-1].last == line - 1:
            last = found.pop()
            found.append(Span(last.first, line, f"{last.note} {said}", False))
        else:
            found.append(Span(line, line, said, False))
    return found


def _docstrings(node: ast.stmt) -> list[Span]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    spans = (_docstring_span(inner) for inner in ast.walk(node) if isinstance(inner, kinds))
    return [span for span in spans if span]


def _docstring_span(node: ast.AST) -> Span | None:
    assert isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    said = ast.get_docstring(node)
    if said is None:
        return None
    first = node.body[0]
    return Span(first.lineno, first.end_lineno or first.lineno, said, True)


def _row(note: str, is_docstring: bool, lines: list[str], first: int, name: str) -> Row:
    """A row without the empty lines around its code."""
    filled = [i for i, line in enumerate(lines) if line.strip()]
    code = "\n".join(lines[filled[0] : filled[-1] + 1])
    return Row(note, is_docstring, code, first + filled[0], name)
