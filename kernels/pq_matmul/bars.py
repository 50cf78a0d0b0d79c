"""pq_matmul against faiss' tables in registers, where it is installed, and the dense product."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F

from octavo.kernels.bars import Case, seeded
from octavo.kernels.peers import faiss
from octavo.kernels.pq_matmul import pack, pq_matmul, weight

PIECE = 8


def cases(quick: bool) -> Iterator[Case]:
    """One row, some rows, many rows of a square matrix in pieces of 8, books of 16 and of 256."""
    for size in (16, 256):
        for rows in (1, 64) if quick else (1, 8, 64):
            yield _product(rows, 1024 if quick else 4096, size)


def _product(rows: int, k: int, size: int) -> Case:
    groups = k // PIECE
    codes = torch.randint(0, size, (k, groups), generator=seeded(), dtype=torch.uint8)
    books = torch.randn(groups, size, PIECE, generator=seeded(1))
    x = torch.randn(rows, k, generator=seeded(2))
    packed = pack(codes, books)
    dense = weight(packed)
    fine = size == 16
    return Case(
        "pq_matmul",
        f"{rows}x{k}x{k} pieces of {PIECE}, books of {size}",
        float(rows * codes.numel()),  # look-ups
        lambda: pq_matmul(x, packed),
        {
            **faiss.scan(x, codes, books, dense),
            "linear float32": lambda: F.linear(x, dense),
        },
        moved=float(packed.codes.numel() + 4 * packed.books.numel()),
        bar_id="K18" if fine and rows == 1 else None,
        limit="shuffle" if fine else (),
    )
