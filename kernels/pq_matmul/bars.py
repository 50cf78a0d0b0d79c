"""pq_matmul against faiss' tables in registers, where it is installed, and the dense product."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F

from octavo.kernels.bars import Case, seeded
from octavo.kernels.curves import curve
from octavo.kernels.peers import faiss
from octavo.kernels.pq_matmul import pack, pq_matmul, weight
from octavo.kernels.timing import Call

PIECE = 8


def cases(quick: bool) -> Iterator[Case]:
    """One row, some rows, many rows of a square matrix in pieces of 8, books of 16 and of 256."""
    for size in (16, 256):
        for rows in (1, 64) if quick else (1, 8, 64):
            yield _product(rows, 1024 if quick else 4096, size)


def crossovers(quick: bool) -> Iterator[dict[str, Any]]:
    """The outputs from which tables pay: they are made once a row, for every output."""
    k = 512 if quick else 1024
    x = torch.randn(1, k, generator=seeded(2))

    def calls(outputs: float) -> dict[str, Call]:
        n, groups = int(outputs), k // PIECE
        codes = torch.randint(0, 256, (n, groups), generator=seeded(), dtype=torch.uint8)
        books = torch.randn(groups, 256, PIECE, generator=seeded(1))
        packed = pack(codes, books)
        fine = pack(codes % 16, books[:, :16])
        return {
            "pq_matmul, books of 256": partial(pq_matmul, x, packed),
            "linear float32": partial(F.linear, x, weight(packed)),
            "pq_matmul, books of 16": partial(pq_matmul, x, fine),
        }

    outputs = (64, 512, 4096) if quick else (16, 64, 256, 1024, 4096, 16384)
    title = f"1 row of {k} inputs in pieces of {PIECE}, by outputs"
    yield curve(title, "outputs", outputs, calls)


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
