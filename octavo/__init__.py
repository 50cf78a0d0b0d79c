"""Octavo: neural-network compression, from paper to kernel.

>>> import octavo
>>> sorted(octavo.__all__)
['InputError', '__version__', 'compress', 'load', 'search']
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from octavo.errors import InputError

if TYPE_CHECKING:
    from octavo.ingest.library import search as search
    from octavo.reference_impls.compress import compress as compress
    from octavo.reference_impls.compress import load as load

__version__ = "0.1.0"
__all__ = ["InputError", "__version__", "compress", "load", "search"]


def __getattr__(name: str) -> Any:
    """Import the heavy halves (torch, LanceDB) only when they are asked for."""
    if name in ("compress", "load"):
        from octavo.reference_impls import compress as home

        return getattr(home, name)
    if name == "search":
        from octavo.ingest.library import search

        return search
    raise AttributeError(f"module 'octavo' has no attribute {name!r}")
