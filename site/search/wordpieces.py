"""The encoder's table in small files: a question fetches the rows of its own words only.

A file holds the pieces that share a shelf: a hash of their first two characters, so that all pieces
a word may begin with lie together. It is one line of pieces, then their weights (float16), then
their codes (uint8, a row a piece). The same hash is in wordpiece.js; a test holds them together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

SHELVES = 512
GOLDEN, MIX = 0x9E3779B1, 0x85EBCA6B


def shelf(piece: str, count: int = SHELVES) -> int:
    """The file a piece lies in.

    >>> shelf("quantization") == shelf("quantize"), shelf("##ing") == shelf("in")
    (True, False)
    """
    inside = piece.startswith("##") and len(piece) > 2
    mark = 47 if inside else 0
    for character in (piece[2:] if inside else piece)[:3]:
        mark = (mark * GOLDEN + ord(character)) & 0xFFFFFFFF
    return ((mark ^ (mark >> 15)) * MIX & 0xFFFFFFFF) % count


def files(
    pieces: Sequence[str], codes: npt.NDArray[np.uint8], weights: npt.NDArray[np.float16]
) -> Iterator[tuple[int, bytes]]:
    """Number and content of each file: pieces by id, codes (pieces, parts), weights (pieces,)."""
    shelves: dict[int, list[int]] = defaultdict(list)
    for number, piece in enumerate(pieces):
        shelves[shelf(piece)].append(number)
    for place in range(SHELVES):
        rows = sorted(shelves[place], key=lambda number: pieces[number])
        names = " ".join(pieces[row] for row in rows).encode() + b"\n"
        yield place, names + weights[rows].tobytes() + codes[rows].tobytes()
