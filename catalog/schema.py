"""Plain values -> records, strictly. The dataclass is the schema; every problem is collected.

A problem names its file, line and key: ``catalog/methods/x.toml:12: claims[1].metric: missing``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from functools import cache, partial
from types import UnionType
from typing import Any, NamedTuple, TypeVar, Union, cast, get_args, get_origin, get_type_hints

T = TypeVar("T")


@dataclass
class Page:
    """One file (or one line of one) while it is read: its name, its lines, its problems."""

    file: str
    line_of: Callable[[str], int]
    problems: list[str] = field(default_factory=list)

    def say(self, key: str, message: str) -> None:
        """Keep a problem of the value at ``key`` (a dotted path, ``""`` the whole record)."""
        where = f"{self.file}:{self.line_of(key)}"
        self.problems.append(f"{where}: {key}: {message}" if key else f"{where}: {message}")


Read = Callable[[Any, str, Page], Any]


class _Wanted(NamedTuple):
    read: Read
    required: bool


def record(kind: type[T], given: object, key: str, page: Page) -> T | None:
    """The record of ``kind`` that ``given`` describes, or None with its problems on the page."""
    wanted, before = _wanted(cast(Hashable, kind)), len(page.problems)
    if not isinstance(given, dict):
        page.say(key, f"{_named(given)}; expected a table with {_listed(wanted)}")
        return None
    for name in given:
        if name not in wanted:
            page.say(_joined(key, str(name)), f"unknown key; allowed: {_listed(wanted)}")
    values: dict[str, Any] = {}
    for name, want in wanted.items():
        if name in given:
            values[name] = want.read(given[name], f"{key}.{name}" if key else name, page)
        elif want.required:
            page.say(_joined(key, name), f"missing; every {kind.__name__.lower()} needs one")
    return kind(**values) if len(page.problems) == before else None


@cache
def _wanted(kind: Hashable) -> dict[str, _Wanted]:
    assert isinstance(kind, type)
    hints = get_type_hints(kind)
    return {
        each.name: _Wanted(
            _reader(hints[each.name]),
            each.default is MISSING and each.default_factory is MISSING,
        )
        for each in fields(kind)
    }


def _reader(hint: Any) -> Read:
    generic = _GENERIC.get(get_origin(hint))
    if generic:
        return generic(get_args(hint))
    return _PLAIN.get(hint) or partial(record, hint)


def _text(given: Any, key: str, page: Page) -> Any:
    if not isinstance(given, str):
        page.say(key, f"{_named(given)}; expected text in quotes")
    elif not given.strip():
        page.say(key, "empty text; write it or leave the key out")
    return given


def _whole(given: Any, key: str, page: Page) -> Any:
    if not isinstance(given, int) or isinstance(given, bool):
        page.say(key, f"{_named(given)}; expected a whole number")
    return given


def _number(given: Any, key: str, page: Page) -> Any:
    if not isinstance(given, (int, float)) or isinstance(given, bool):
        page.say(key, f"{_named(given)}; expected a number")
        return given
    return float(given)


def _truth(given: Any, key: str, page: Page) -> Any:
    if not isinstance(given, bool):
        page.say(key, f"{_named(given)}; expected true or false")
    return given


def _anything(given: Any, key: str, page: Page) -> Any:
    return given


_PLAIN: dict[Any, Read] = {
    str: _text,
    int: _whole,
    float: _number,
    bool: _truth,
    Any: _anything,
}


def _many(hints: tuple[Any, ...]) -> Read:
    read = _reader(hints[0])

    def many(given: Any, key: str, page: Page) -> Any:
        if not isinstance(given, list):
            page.say(key, f"{_named(given)}; expected a list in square brackets")
            return ()
        return tuple([read(item, f"{key}[{at}]", page) for at, item in enumerate(given)])

    return many


def _table(hints: tuple[Any, ...]) -> Read:
    read = _reader(hints[1])

    def table(given: Any, key: str, page: Page) -> Any:
        if not isinstance(given, dict):
            page.say(key, f"{_named(given)}; expected a table")
            return {}
        return {name: read(item, _joined(key, name), page) for name, item in given.items()}

    return table


def _optional(hints: tuple[Any, ...]) -> Read:
    read = _reader(hints[0])

    def optional(given: Any, key: str, page: Page) -> Any:
        return None if given is None else read(given, key, page)

    return optional


_GENERIC: dict[Any, Callable[[tuple[Any, ...]], Read]] = {
    tuple: _many,
    dict: _table,
    Mapping: _table,
    UnionType: _optional,
    Union: _optional,
}


def _joined(key: str, name: str) -> str:
    shown = name if re.fullmatch(r"[\w-]+", name) else f'"{name}"'
    return f"{key}.{shown}" if key else shown


def _listed(names: Mapping[str, object]) -> str:
    return ", ".join(names)


def _named(given: object) -> str:
    return f"{given!r} is {_WORDS.get(type(given), type(given).__name__)}"


_WORDS: dict[type, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true/false",
    list: "a list",
    dict: "a table",
    type(None): "nothing",
}
