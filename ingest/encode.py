"""Sentences as vectors. Four encoders, one door: ``load``.

| name           | what it is                                                | needs              |
| -------------- | --------------------------------------------------------- | ------------------ |
| `static`       | a table of word pieces, averaged; ships here, the default | nothing            |
| `small`        | a student of MiniLM with two layers                       | `octavo train`     |
| `minilm`       | all-MiniLM-L6-v2, the teacher of them all                 | its weights, 90 MB |
| `static-float` | `static` before it was quantized, to compare              | `octavo train`     |
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

from octavo.errors import InputError
from octavo.ingest import static, transformer
from octavo.ingest.static import Vectors

DEFAULT = "static"
SHIPPED = Path(__file__).parent / "weights"


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


class Kind(NamedTuple):
    """How an encoder is had. What it does costs nothing until `load`."""

    load: Callable[[], Encoder]
    mark: Callable[[], str]
    bytes: Callable[[], int]  # of the weights; 0 where they are not here


def load(name: str | None = None) -> Encoder:
    """Load an encoder, the default where no name is given.

    Raises InputError for a name that is none of NAMES, or where the weights cannot be had.

    >>> vectors = load().encode(["Pruning at initialization", "Codebooks of weights"])
    >>> vectors.shape[0], bool(abs(vectors[0] @ vectors[0] - 1) < 1e-5)
    (2, True)
    """
    return _kind(name or DEFAULT).load()


def mark(name: str) -> str:
    """Tells vectors of an encoder from those of another, or of another training of it."""
    return _kind(name).mark()


def size(name: str) -> int:
    """Bytes of the weights as they lie here; 0 where they are not, or not known to be."""
    return _kind(name).bytes()


def is_here(name: str) -> bool:
    """Whether it can be loaded; of what the hub has nothing is fetched to find out."""
    return size(name) > 0 or (name == "minilm" and transformer.is_here())


def home() -> Path:
    """Where `octavo train` puts what it makes, and what does not ship is looked for."""
    from typer import get_app_dir

    return Path(get_app_dir("octavo")) / "encoders"


def _kind(name: str) -> Kind:
    if name not in _KINDS:
        raise InputError(f"encoder {name!r}; encoders are {', '.join(NAMES)}")
    return _KINDS[name]


def _path(name: str) -> Path:
    shipped = SHIPPED / f"{name}.safetensors"
    return shipped if shipped.is_file() else home() / shipped.name


def _in_file(name: str, what: str, read: Callable[[str, Path, str], Encoder]) -> Kind:
    """An encoder that is one file, shipped or made here."""

    def loaded() -> Encoder:
        path = _path(name)
        if not path.is_file():
            raise InputError(f"{name}: not made on this machine yet; octavo train {name}")
        place = "shipped with octavo" if path.parent == SHIPPED else "trained on this machine"
        return read(name, path, f"{name}: {what}, {path.stat().st_size / 1e6:.1f} MB, {place}")

    def marked() -> str:
        path = _path(name)
        return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "none"

    def weighed() -> int:
        path = _path(name)
        return path.stat().st_size if path.is_file() else 0

    return Kind(loaded, marked, weighed)


_KINDS: Mapping[str, Kind] = {
    "minilm": Kind(
        partial(transformer.load, "minilm"), lambda: transformer.NAME, transformer.bytes_here
    ),
    "small": _in_file("small", "MiniLM's student with two layers", transformer.load_small),
    "static": _in_file("static", "a table of word pieces", static.load),
    "static-float": _in_file("static-float", "a table of word pieces", static.load_float),
}
NAMES = tuple(_KINDS)
