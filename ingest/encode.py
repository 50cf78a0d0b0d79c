"""Sentences as vectors. Three encoders, one door: ``load``.

| name     | what it is                                                | needs                 |
| -------- | --------------------------------------------------------- | --------------------- |
| `static` | a table of word pieces, averaged; ships here, the default | nothing               |
| `small`  | a student of MiniLM with two layers                       | a run of its training |
| `minilm` | all-MiniLM-L6-v2, the teacher of both                     | its weights, 90 MB    |
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from octavo.errors import InputError
from octavo.ingest import static, transformer
from octavo.ingest.static import Vectors

DEFAULT = "static"


class Encoder(Protocol):
    """A loaded encoder."""

    @property
    def name(self) -> str:
        """What `load` knows it by."""

    @property
    def origin(self) -> str:
        """What it is, and where its weights came from."""

    @property
    def width(self) -> int:
        """Length of a vector."""

    def encode(self, texts: Sequence[str], advance: Callable[[int], None] = ...) -> Vectors:
        """Unit vectors of texts, (texts, width). ``advance`` hears of every batch done."""


def load(name: str | None = None) -> Encoder:
    """Load an encoder, the default where no name is given.

    Raises InputError for a name that is none of NAMES, or where the weights cannot be had.

    >>> load().encode(["Pruning at initialization", "Codebooks of weights"]).shape
    (2, 256)
    """
    name = DEFAULT if name is None else name
    if name not in _LOADERS:
        raise InputError(f"encoder {name!r}; encoders are {', '.join(NAMES)}")
    return _LOADERS[name](name)


def mark(name: str) -> str:
    """Tells vectors of an encoder from those of another, or of another training of it."""
    return _MARKS[name]()


def is_here(name: str) -> bool:
    """Whether an encoder can be loaded; of what the hub has nothing is fetched to find out."""
    return _PRESENT[name]()


_LOADERS: Mapping[str, Callable[[str], Encoder]] = {
    "minilm": transformer.load,
    "small": transformer.load_small,
    "static": static.load,
}
_MARKS: Mapping[str, Callable[[], str]] = {
    "minilm": lambda: transformer.NAME,
    "small": lambda: "small",
    "static": lambda: hashlib.sha256(static.FILE.read_bytes()).hexdigest(),
}
_PRESENT: Mapping[str, Callable[[], bool]] = {
    "minilm": transformer.is_here,
    "small": lambda: False,
    "static": static.FILE.is_file,
}
NAMES = tuple(_LOADERS)
