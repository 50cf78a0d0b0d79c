"""On which line of a TOML file a key stands (the standard parser does not say)."""

from __future__ import annotations

import re
from collections import Counter

_HEADER = re.compile(r"\s*(\[\[?)\s*([^\]]+?)\s*\]\]?\s*(#.*)?$")
_KEY = re.compile(r"""\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""")
_TOKEN = re.compile(r'"""|\'\'\'|"(?:\\.|[^"\\])*"|\'[^\']*\'|#.*|[\[\]{}]')


def key_lines(text: str) -> dict[str, int]:
    r"""Line number of every table and key, by dotted path; tables of an array count from 0.

    >>> key_lines('id = "x"\n[[claims]]\nmetric = "m"\n[[claims]]\nid = "b"\n')
    {'id': 1, 'claims': 2, 'claims[0]': 2, 'claims[0].metric': 3, 'claims[1]': 4, 'claims[1].id': 5}
    """
    lines: dict[str, int] = {}
    seen: Counter[str] = Counter()
    table, state = "", _State()
    for number, line in enumerate(text.splitlines(), 1):
        fresh = state.outside()
        if fresh and (header := _HEADER.match(line)):
            table = _enter(header, seen, lines, number)
            continue
        if fresh and (pair := _KEY.match(line)):
            lines.setdefault(f"{table}.{_bare(pair[1])}".lstrip("."), number)
        state.read(line)
    return lines


def line_of(lines: dict[str, int], key: str) -> int:
    """Line of ``key``, or of the nearest table around it (1 for the file itself).

    >>> line_of({"claims[0]": 2, "claims[0].trend": 5}, "claims[0].trend.value")
    5
    """
    while key and key not in lines:
        key = re.sub(r"(^|\.)[^.\[]*$|\[\d+\]$", "", key)
    return lines.get(key, 1)


def _enter(header: re.Match[str], seen: Counter[str], lines: dict[str, int], number: int) -> str:
    name = _bare(header[2])
    lines.setdefault(name, number)
    if header[1] == "[":
        return name
    table = f"{name}[{seen[name]}]"
    seen[name] += 1
    lines[table] = number
    return table


def _bare(name: str) -> str:
    return ".".join(part.strip().strip("\"'") for part in name.split("."))


class _State:
    """Whether the next line starts inside a long text or an open bracket."""

    def __init__(self) -> None:
        self._quote = ""
        self._depth = 0

    def outside(self) -> bool:
        return not self._quote and self._depth == 0

    def read(self, line: str) -> None:
        at = 0
        while at < len(line):
            if self._quote:
                end = line.find(self._quote, at)
                if end < 0:
                    return
                at, self._quote = end + 3, ""
                continue
            token = _TOKEN.search(line, at)
            if token is None:
                return
            at = token.end()
            self._take(token[0])

    def _take(self, token: str) -> None:
        if token in ('"""', "'''"):
            self._quote = token
        self._depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token, 0)
