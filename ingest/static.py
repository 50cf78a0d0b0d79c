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
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from octavo.ingest.wordpiece import WordPiece, wordpiece

FILE = Path(__file__).parent / "weights" / "static.safetensors"
BATCH = 256
CHARACTERS = 4000  # of a text that are read, as for every encoder

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Static:
    """A table of word pieces, loaded."""

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
        vectors = np.zeros((len(texts), self.width), np.float32)
        for start in range(0, len(texts), BATCH):
            batch = texts[start : start + BATCH]
            vectors[start : start + BATCH] = self._encode(batch)
            advance(len(batch))
        return vectors

    def rows(self, pieces: npt.NDArray[np.integer[Any]]) -> Vectors:
        """Weighted vectors of pieces, (n, width)."""
        groups = np.arange(len(self.books))
        made: Vectors = self.books[groups, self.codes[pieces]].reshape(len(pieces), -1)
        return made * self.weights[pieces, None]

    def _encode(self, texts: Sequence[str]) -> Vectors:
        empty = self.tokenizer[""]
        found = [self.tokenizer.pieces(text[:CHARACTERS]) or empty for text in texts]
        lengths = np.array([len(pieces) for pieces in found])
        pieces, places = np.unique(np.concatenate(found), return_inverse=True)
        rows = self.rows(pieces)[places]  # (all pieces, width)
        sums: Vectors = np.add.reduceat(rows, np.cumsum(lengths) - lengths, dtype=np.float32)
        sums /= np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
        return sums


def load(name: str, path: Path = FILE) -> Static:
    """The table in a file of `codes`, `codebooks` and `weights`."""
    from safetensors.numpy import load_file

    held = load_file(path)
    return Static(
        name,
        f"static: a table of word pieces, {path.stat().st_size / 1e6:.1f} MB, {_place(path)}",
        wordpiece(),
        held["codes"],
        held["codebooks"].astype(np.float32),
        held["weights"].astype(np.float32),
    )


def _place(path: Path) -> str:
    return "shipped with octavo" if path == FILE else str(path)
