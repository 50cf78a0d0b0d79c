"""Everything known about one thing as a JSON document, and the thing an id stands for."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from octavo.catalog.ledger import implemented, latest, stale
from octavo.catalog.reader import ROOT, methods, papers
from octavo.catalog.records import Method, Paper, paper_to_json
from octavo.errors import InputError

Document = dict[str, Any]


class Kernel(NamedTuple):
    """A folder of kernels: its first line, and the instruction sets it has files for."""

    id: str
    about: str
    files: tuple[str, ...]


def kernels(root: Path = ROOT) -> dict[str, Kernel]:
    """Kernels that stand beside the catalog, by id (path arithmetic, nothing is imported)."""
    homes = sorted((root.parent / "kernels").glob("*/bars.py"))
    return {home.parent.name: _kernel(home.parent) for home in homes}


def find(name: str, root: Path = ROOT) -> Document:
    """The document of a method, a paper or a kernel; ``papers/<id>`` asks for the paper.

    Raises InputError, with the nearest ids, where nothing has that id.

    >>> find("synflow")["kind"], find("papers/synflow")["kind"]
    ('method', 'paper')
    """
    shelves: dict[str, dict[str, Any]] = {
        "methods": methods(root),
        "papers": papers(root),
        "kernels": kernels(root),
    }
    shelf, _, last = name.strip("/").rpartition("/")
    for each in [shelf] if shelf in shelves else shelves:
        if last in shelves[each]:
            return _DOCUMENTS[each](shelves[each][last], root)
    known = [key for each in shelves.values() for key in each]
    near = difflib.get_close_matches(last, dict.fromkeys(known), 5, 0.5)
    hint = f"did you mean {', '.join(near)}?" if near else "octavo search finds papers by words"
    raise InputError(f"show: no method, paper or kernel has the id {name!r}; {hint}")


def of_method(method: Method, root: Path = ROOT) -> Document:
    """A method with its papers, claims and newest results."""
    return {
        "kind": "method",
        **brief(method, root),
        **{name: getattr(method, name) for name in ("problem", "idea", "result", "takeaway")},
        "differs": list(method.differs),
        "formulas": [asdict(each) for each in method.formulas],
        "claims": [asdict(each) for each in method.claims],
        "papers": [paper_to_json(papers(root)[each]) for each in method.papers],
    }


def brief(method: Method, root: Path = ROOT) -> Document:
    """A method in one row: its shelves, its claims by id, its newest verdicts."""
    done = implemented(method.id, root)
    return {
        "id": method.id,
        "name": method.name,
        "theme": method.theme,
        "techniques": list(method.techniques),
        "facets": {name: list(values) for name, values in method.facets.items()},
        "papers": list(method.papers),
        "kernels": list(method.kernels),
        "implemented": done,
        "stale": done and stale(method.id, root),
        "claims": [claim.id for claim in method.claims],
        "results": [
            {
                "claim": line.claim,
                "value": line.value,
                "spread": line.spread,
                "baseline": line.baseline,
                "verdict": line.verdict,
                "date": line.date,
            }
            for line in latest(method.id, root).values()
        ],
    }


def of_paper(paper: Paper, root: Path = ROOT) -> Document:
    """A paper and the methods that come from it. ``work`` is survey, method, study or unknown."""
    facts = paper_to_json(paper)
    work = facts.pop("kind", "unknown")
    taught = [method.id for method in methods(root).values() if paper.id in method.papers]
    return {"kind": "paper", **facts, "work": work, "status": paper.status, "methods": taught}


def of_kernel(kernel: Kernel, root: Path = ROOT) -> Document:
    """A kernel and the methods that run on it."""
    users = [method.id for method in methods(root).values() if kernel.id in method.kernels]
    return {"kind": "kernel", **kernel._asdict(), "methods": users}


_DOCUMENTS: dict[str, Callable[[Any, Path], Document]] = {
    "methods": of_method,
    "papers": of_paper,
    "kernels": of_kernel,
}


def _kernel(home: Path) -> Kernel:
    source = home / "__init__.py"
    text = ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) or ""
    files = tuple(sorted(each.stem for each in home.glob("*.cpp")))
    return Kernel(home.name, (text.splitlines() or [""])[0], files)
