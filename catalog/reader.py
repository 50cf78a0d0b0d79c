"""The reader: files of the catalog -> records, every schema problem with file, line and key."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from octavo.catalog import rules, toml_lines
from octavo.catalog.records import (
    Facet,
    Followed,
    Method,
    Paper,
    Result,
    Task,
    Taxonomy,
    Technique,
    Theme,
)
from octavo.catalog.schema import Page, record
from octavo.errors import InputError

ROOT = Path(__file__).parent
NO_METHODS = (
    "models",
    "scale",
    "search",
    "search-page",
    "tagger",
    "themes",
)  # ledgers that are no method's
T = TypeVar("T")


class Reading(NamedTuple, Generic[T]):
    """What a folder holds: the good records by id, and one line for each problem."""

    records: dict[str, T]
    problems: list[str]


@cache
def taxonomy(root: Path = ROOT) -> Taxonomy:
    """Themes, techniques, facets and tasks.

    >>> taxonomy().techniques["rewinding"].theme
    'pruning'
    """
    words, problems = _read_taxonomy(root)
    _refuse(problems)
    return words


@cache
def papers(root: Path = ROOT) -> dict[str, Paper]:
    """Every paper of the catalog, by id. Raises InputError at the first broken record."""
    return _good(_read_papers(root))


@cache
def methods(root: Path = ROOT) -> dict[str, Method]:
    """Every method of the catalog, by id. Raises InputError at the first broken record."""
    return _good(_read_methods(root))


def sources(root: Path = ROOT) -> tuple[Followed, ...]:
    """Feeds and queries to follow, in the order of sources.toml."""
    return tuple(_good(_read_sources(root)).values())


def results(method_id: str, root: Path = ROOT) -> list[Result]:
    """Every line of the method's ledger, oldest first; none where nothing was run yet."""
    lines, problems = _read_results(root / "results" / f"{method_id}.jsonl", root)
    _refuse(problems)
    return lines


def check(root: Path = ROOT) -> list[str]:
    """Every problem of every file, a line each: ``catalog/methods/x.toml:12: key: what``."""
    lines = (root / "results").glob("*.jsonl")
    ledgers = sorted(path for path in lines if path.stem not in NO_METHODS)
    return [
        *_read_taxonomy(root)[1],
        *check_papers(root),
        *_read_methods(root).problems,
        *_read_sources(root).problems,
        *(problem for path in ledgers for problem in _read_results(path, root)[1]),
    ]


def check_papers(root: Path = ROOT) -> list[str]:
    """Every problem of the files of papers, a line each."""
    read = _read_papers(root)
    return [*read.problems, *rules.shared_identities(read.records.values())]


def paper_from_json(given: dict[str, Any], where: str = "paper", line: int = 1) -> Paper:
    """One paper of plain JSON values. Raises InputError, naming ``where``, line and key.

    >>> paper_from_json({"id": "synflow", "title": "SynFlow", "yaer": 2020})
    Traceback (most recent call last):
    ...
    octavo.errors.InputError: paper:1: yaer: unknown key; allowed: id, title, authors, \
authors_complete, year, venue, arxiv, arxiv_version, doi, openreview, url, code, abstract, \
summary, categories, kind, sources, tags, status, links
    """
    page = Page(where, lambda key: line)
    paper = record(Paper, given, "", page)
    if paper is not None:
        rules.paper(paper, page)
    _refuse(page.problems)
    assert paper is not None
    return paper


def _good(reading: Reading[T]) -> dict[str, T]:
    _refuse(reading.problems)
    return reading.records


def _refuse(problems: list[str]) -> None:
    if problems:
        more = f" (and {len(problems) - 1} more: octavo catalog check)" if problems[1:] else ""
        raise InputError(problems[0] + more)


@cache
def _read_taxonomy(root: Path) -> tuple[Taxonomy, list[str]]:
    table, page = _toml(root / "taxonomy.toml", root)
    words = Taxonomy(
        _keyed(Theme, table, "themes", page),
        _keyed(Technique, table, "techniques", page),
        _keyed(Facet, table, "facets", page),
        _keyed(Task, table, "tasks", page),
    )
    for name in table.keys() - {"themes", "techniques", "facets", "tasks"}:
        page.say(name, "unknown key; allowed: themes, techniques, facets, tasks")
    rules.taxonomy(words, page)
    return words, page.problems


def _keyed(kind: type[T], table: dict[str, Any], key: str, page: Page) -> dict[str, T]:
    """Records of tables whose own name is the id: ``[themes.pruning]``."""
    read: dict[str, T] = {}
    for name, given in table.get(key, {}).items():
        whole = {"id": name, **given} if isinstance(given, dict) else given
        if (made := record(kind, whole, f"{key}.{name}", page)) is not None:
            read[name] = made
    return read


@cache
def _read_papers(root: Path) -> Reading[Paper]:
    words, _ = _read_taxonomy(root)
    known: dict[str, Paper] = {}
    problems: list[str] = []
    for path in sorted((root / "papers").glob("*.jsonl")):
        last = ""
        for page, given in _json_lines(path, root, problems):
            paper = record(Paper, given, "", page)
            if paper is not None:
                rules.paper(paper, page)
                rules.shelves(paper, words, page)
                rules.place(paper, path.stem, last, known, page)
                known[paper.id], last = paper, paper.id
            problems.extend(page.problems)
    return Reading(known, problems)


@cache
def _read_methods(root: Path) -> Reading[Method]:
    words, _ = _read_taxonomy(root)
    known = _read_papers(root).records
    good: dict[str, Method] = {}
    problems: list[str] = []
    for path in sorted((root / "methods").glob("*.toml")):
        table, page = _toml(path, root)
        method = record(Method, table, "", page) if not page.problems else None
        if method is not None:
            rules.method(method, path.stem, words, known, page)
            good[method.id] = method
        problems.extend(page.problems)
    return Reading(good, problems)


def _read_sources(root: Path) -> Reading[Followed]:
    table, page = _toml(root / "sources.toml", root)
    followed = _keyed(Followed, table, "sources", page)
    for name in table.keys() - {"sources"}:
        page.say(name, "unknown key; allowed: sources")
    return Reading(followed, page.problems)


def _read_results(path: Path, root: Path) -> tuple[list[Result], list[str]]:
    lines: list[Result] = []
    problems: list[str] = []
    for page, given in _json_lines(path, root, problems) if path.exists() else ():
        line = record(Result, given, "", page)
        if line is not None:
            rules.result(line, path.stem, page)
            lines.append(line)
        problems.extend(page.problems)
    return lines, problems


def _toml(path: Path, root: Path) -> tuple[dict[str, Any], Page]:
    name = _shown(path, root)
    try:
        text = path.read_text(encoding="utf-8")
        lines = toml_lines.key_lines(text)
        return tomllib.loads(text), Page(name, partial(toml_lines.line_of, lines))
    except (OSError, UnicodeDecodeError) as error:
        return {}, _broken(name, 1, f"cannot be read: {error}")
    except tomllib.TOMLDecodeError as error:
        at = re.search(r"at line (\d+)", str(error))
        return {}, _broken(name, int(at[1]) if at else text.count("\n"), f"not TOML: {error}")


def _json_lines(path: Path, root: Path, problems: list[str]) -> Iterator[tuple[Page, Any]]:
    name = _shown(path, root)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        problems += _broken(name, 1, f"cannot be read: {error}").problems
        return
    for number, line in enumerate(lines, 1):
        try:
            yield Page(name, _at(number)), json.loads(line)
        except json.JSONDecodeError as error:
            problems += _broken(name, number, f"not JSON: {error}").problems


def _at(number: int) -> Callable[[str], int]:
    return lambda key: number


def _broken(name: str, line: int, message: str) -> Page:
    page = Page(name, _at(line))
    page.say("", message.replace("\n", " "))
    return page


def _shown(path: Path, root: Path) -> str:
    return f"catalog/{path.relative_to(root).as_posix()}"
