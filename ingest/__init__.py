"""Sources -> papers -> the reader's library.

One module a source (feed, arxiv, bibtex, text), one transport under them, one library over them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from octavo.ingest.run import ingest as ingest

__all__ = ["ingest"]


def __getattr__(name: str) -> Any:
    """Import the readers only when something is taken in; a search does without them."""
    if name == "ingest":
        from octavo.ingest.run import ingest

        return ingest
    raise AttributeError(f"module 'octavo.ingest' has no attribute {name!r}")
