"""The ledger: what was measured, with which code, and whether that code is still the same."""

from __future__ import annotations

import ast
import hashlib
import json
from pathlib import Path
from typing import Any

from octavo.catalog.expectations import verdict
from octavo.catalog.reader import ROOT, results
from octavo.catalog.records import Result

__all__ = [
    "code_hash",
    "implementation",
    "implemented",
    "kernel_runs",
    "latest",
    "model_runs",
    "page_runs",
    "scale_runs",
    "search_runs",
    "stale",
    "tagger_runs",
    "theme_runs",
    "verdict",
]


def latest(method_id: str, root: Path = ROOT) -> dict[str, Result]:
    """The newest result of each claim, by claim; a full run counts before a quick one."""
    newest: dict[str, Result] = {}
    for line in results(method_id, root):
        last = newest.get(line.claim)
        if last is None or (not line.quick, line.date) >= (not last.quick, last.date):
            newest[line.claim] = line
    return newest


def implementation(method_id: str, root: Path = ROOT) -> Path:
    """Where the module of a method would stand, beside the catalog."""
    return root.parent / "reference_impls" / f"{method_id.replace('-', '_')}.py"


def implemented(method_id: str, root: Path = ROOT) -> bool:
    """Whether the method has a module."""
    return implementation(method_id, root).is_file()


def kernel_runs(kernel: str, root: Path = ROOT) -> list[dict[str, Any]]:
    """Every recorded run of a kernel's cases, oldest first; none where nothing was recorded."""
    return _lines(root / "results" / "kernels" / f"{kernel}.jsonl")


def model_runs(root: Path = ROOT) -> list[dict[str, Any]]:
    """Every recorded run of whole models, oldest first; none where nothing was recorded."""
    return _lines(root / "results" / "models.jsonl")


def page_runs(root: Path = ROOT) -> list[dict[str, Any]]:
    """Every recorded run of the search page, oldest first; none where nothing was recorded."""
    return _lines(root / "results" / "search-page.jsonl")


def search_runs(root: Path = ROOT) -> list[dict[str, Any]]:
    """Every recorded run of search with each encoder, oldest first."""
    return _lines(root / "results" / "search.jsonl")


def tagger_runs(root: Path = ROOT) -> list[dict[str, Any]]:
    """Every recorded evaluation of the tagger, oldest first."""
    return _lines(root / "results" / "tagger.jsonl")


def scale_runs(root: Path = ROOT) -> list[dict[str, Any]]:
    """Every recorded run over ten thousand papers, oldest first."""
    return _lines(root / "results" / "scale.jsonl")


def theme_runs(root: Path = ROOT) -> list[dict[str, Any]]:
    """Every recorded clustering of the catalog and its lists, oldest first."""
    return _lines(root / "results" / "themes.jsonl")


def _lines(path: Path) -> list[dict[str, Any]]:
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return [json.loads(line) for line in lines]


def code_hash(path: Path) -> str:
    """SHA-256 of a module's syntax tree without docstrings: comments and layout do not count."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = node.body[1:] if ast.get_docstring(node, clean=False) else node.body
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def stale(method_id: str, root: Path = ROOT) -> bool:
    """Whether the method's code has changed since any of its latest results was measured."""
    measured = {line.code_hash for line in latest(method_id, root).values()}
    return bool(measured) and measured != {code_hash(implementation(method_id, root))}
