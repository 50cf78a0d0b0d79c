"""Methods, papers and kernels for a person at a terminal: the documents of the catalog, set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from rich.table import Table

from octavo.catalog.documents import Document

WIDTH = 12


def table(rows: Iterable[Document]) -> Table:
    """Methods in rows: what runs, and how many claims came out how."""
    shown = Table("method", "theme", "runs", "claims", "verdicts", title="methods")
    for row in rows:
        runs = "stale" if row["stale"] else "yes" if row["implemented"] else "no"
        counts = Counter(line["verdict"] for line in row["results"])
        verdicts = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
        shown.add_row(row["id"], row["theme"], runs, str(len(row["claims"])), verdicts or "none")
    return shown


def text(document: Document) -> str:
    """A document as plain lines: name on the left, what is known on the right."""
    return "\n".join(_LINES[document["kind"]](document))


def _method(known: Document) -> list[str]:
    measured = {line["claim"]: line for line in known["results"]}
    facets = (f"{name}={'/'.join(values)}" for name, values in known["facets"].items())
    lines = [f"{known['name']} ({known['id']}, {known['theme']})"]
    lines += [_line(name, known[name]) for name in ("problem", "idea", "result", "takeaway")]
    lines += [_line("facets", " ".join(facets)), _line("kernels", " ".join(known["kernels"]))]
    lines += [_line("paper", _reference(each)) for each in known["papers"]]
    lines += [_line("claim", _claim(each, measured.get(each["id"]))) for each in known["claims"]]
    runs = f"octavo run {known['id']}" if known["implemented"] else "not implemented yet"
    return [line for line in [*lines, _line("run", runs)] if line]


def _claim(claim: Document, line: Document | None) -> str:
    measured = f"{line['value']:.4g}, {line['verdict']}" if line else "not measured"
    return f"{claim['id']}: {claim['metric']}; reported {claim['reported']}; measured {measured}"


def _paper(known: Document) -> list[str]:
    names = ("summary", "work", "status", "arxiv", "doi", "openreview", "url", "code")
    shelves = dict.fromkeys(tag["id"] for tag in known.get("tags", ()))
    found = dict.fromkeys(each["id"] for each in known.get("sources", ()))
    lines = [_reference(known), *(_line(name, known.get(name)) for name in names)]
    lines += [_line("shelves", " ".join(shelves)), _line("found in", " ".join(found))]
    return [line for line in [*lines, _line("methods", " ".join(known["methods"]))] if line]


def _kernel(known: Document) -> list[str]:
    lines = [f"{known['id']}: {known['about']}", _line("files", " ".join(known["files"]))]
    return [line for line in [*lines, _line("methods", " ".join(known["methods"]))] if line]


def _reference(paper: Document) -> str:
    authors = paper.get("authors", [])
    by = ", ".join(authors[:3]) + (" and others" if len(authors) > 3 else "")
    place = paper.get("venue") or paper.get("year")
    return ". ".join(str(part) for part in (paper["title"], by, place) if part)


def _line(name: str, value: Any) -> str:
    return f"{name:<{WIDTH}}{' '.join(str(value).split())}" if value else ""


_LINES: dict[str, Callable[[Document], list[str]]] = {
    "method": _method,
    "paper": _paper,
    "kernel": _kernel,
}
