"""One module a method; a method is found because its files exist, never because it was registered.

`catalog/methods/stripe-pruning.toml` and `reference_impls/stripe_pruning.py` are one method.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType

from octavo.errors import InputError

__all__ = ["find", "found"]


def found() -> tuple[str, ...]:
    """Ids of all methods that have both a record and a module, in alphabetical order."""
    here = Path(__file__).parent
    records = (here.parent / "catalog" / "methods").glob("*.toml")
    return tuple(sorted(r.stem for r in records if (here / f"{_stem(r.stem)}.py").is_file()))


def find(method: str) -> ModuleType:
    """Import the module of a method by its id (`stripe-pruning`).

    Raises:
        InputError: when there is no such method; the message lists those that exist.
    """
    known = found()
    if method not in known:
        raise InputError(
            f"unknown method {method!r}; implemented are: {', '.join(known) or 'none'}"
        )
    return import_module(f"octavo.reference_impls.{_stem(method)}")


def _stem(method: str) -> str:
    return method.replace("-", "_")
