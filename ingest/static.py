"""The static encoder: a vector a word piece, and a text is their weighted mean.

    e(text) = normalise( sum over pieces t of  w[t] * E[t] )
    E[t]    = concat over groups g of  books[g, codes[t, g]]

No layer, no attention: indexing is looking up and adding. The table E is product-quantized by
`octavo.kernels.pq_embedding`, whose answers these are; here it is read with numpy, which spares a
search the import of torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from octavo.ingest.wordpiece import VOCABULARY, WordPiece, wordpiece

FILE = Path(__file__).parent / "weights" / "static.safetensors"
BATCH = 256
CHARACTERS = 4000  # of a text that are read, as for every encoder

Vectors = npt.NDArray[np.float32]
Pieces = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Static:
    """A product-quantized table of word pieces, loaded."""

    name: str
    origin: str
    tokenizer: WordPiece
    codes: npt.NDArray[np.uint8]  # (pieces, groups)
    books: Vectors  # (groups, 256, width / groups)
    weights: Vectors  # (pieces,)

    @property
    def width(self) -> int:
        """Length of a vector."""
        return int(self.books.shape[0] * self.books.shape[2])

    def encode(
        self, texts: Sequence[str], advance: Callable[[int], None] = lambda _: None
    ) -> Vectors:
        """Unit vectors of texts, (texts, width). ``advance`` hears of every batch done."""
        return _encoded(texts, self.tokenizer, self.rows, self.width, advance)

    def rows(self, pieces: Pieces) -> Vectors:
        """Weighted vectors of pieces, (n, width)."""
        groups = np.arange(len(self.books))
        made: Vectors = self.books[groups, self.codes[pieces]].reshape(len(pieces), -1)
        return made * self.weights[pieces, None]


@dataclass(frozen=True)
class Float:
    """The table as it was before quantization, loaded."""

    name: str
    origin: str
    tokenizer: WordPiece
    table: npt.NDArray[np.float16]  # (pieces, width)

    @property
    def width(self) -> int:
        """Length of a vector."""
        return int(self.table.shape[1])

    def encode(
        self, texts: Sequence[str], advance: Callable[[int], None] = lambda _: None
    ) -> Vectors:
        """Unit vectors of texts, (texts, width). ``advance`` hears of every batch done."""
        return _encoded(texts, self.tokenizer, self.rows, self.width, advance)

    def rows(self, pieces: Pieces) -> Vectors:
        """Weighted vectors of pieces, (n, width)."""
        return self.table[pieces].astype(np.float32)


def load(name: str = "static", path: Path = FILE, origin: str = "shipped with octavo") -> Static:
    """The table in a file of `codes`, `codebooks` and `weights`."""
    from safetensors.numpy import load_file

    held = load_file(path)
    books, weights = (held[each].astype(np.float32) for each in ("codebooks", "weights"))
    return Static(
        name, origin, wordpiece(path.parent / VOCABULARY.name), held["codes"], books, weights
    )


def load_float(name: str, path: Path, origin: str) -> Float:
    """The table in a file of `table` (pieces, width)."""
    from safetensors.numpy import load_file

    return Float(name, origin, wordpiece(path.parent / VOCABULARY.name), load_file(path)["table"])


def _encoded(
    texts: Sequence[str],
    tokenizer: WordPiece,
    rows: Callable[[Pieces], Vectors],
    width: int,
    advance: Callable[[int], None],
) -> Vectors:
    empty = tokenizer[""]
    vectors = np.zeros((len(texts), width), np.float32)
    for start in range(0, len(texts), BATCH):
        batch = texts[start : start + BATCH]
        found = [tokenizer.pieces(text[:CHARACTERS]) or empty for text in batch]
        vectors[start : start + BATCH] = _means(found, rows)
        advance(len(batch))
    return vectors


def _means(texts: Sequence[Sequence[int]], rows: Callable[[Pieces], Vectors]) -> Vectors:
    """Unit vectors of texts in pieces. Every piece's row is made once; the sums are one product."""
    from scipy.sparse import csr_matrix

    found = np.fromiter(chain.from_iterable(texts), np.int64)
    ends = np.cumsum([0, *map(len, texts)])
    met = np.zeros(found.max() + 1, bool)
    met[found] = True
    pieces, places = np.flatnonzero(met), (np.cumsum(met) - 1)[found]
    ones = np.ones(len(found), np.float32)
    counts = csr_matrix((ones, places, ends), (len(texts), len(pieces)))  # with duplicates: added
    sums: Vectors = counts @ rows(pieces)
    sums /= np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
    return sums
