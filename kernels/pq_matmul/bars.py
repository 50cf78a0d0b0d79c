"""pq_matmul against faiss' tables in registers, where it is installed, and the dense product."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec

import torch
import torch.nn.functional as F
from torch import Tensor

from octavo.kernels.bars import Case, seeded
from octavo.kernels.pq_matmul import pack, pq_matmul, weight
from octavo.kernels.timing import Call

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
            **_faiss(x, codes, books, dense),
            "linear float32": lambda: F.linear(x, dense),
        },
        bar_id="K18" if fine and rows == 1 else None,
        moved=float(packed.codes.numel() + 4 * packed.books.numel()),
        limit="shuffle" if fine else (),
    )


def _faiss(x: Tensor, codes: Tensor, books: Tensor, dense: Tensor) -> dict[str, Call]:
    """Its search for the one best output, over the same codes and books."""
    if find_spec("faiss") is None:
        return {}
    faiss = import_module("faiss")
    faiss.omp_set_num_threads(1)
    fine = books.shape[1] == 16
    kind = faiss.IndexPQFastScan if fine else faiss.IndexPQ
    index = kind(x.shape[1], len(books), 4 if fine else 8, faiss.METRIC_INNER_PRODUCT)
    faiss.copy_array_to_vector(books.flatten().numpy(), index.pq.centroids)
    index.is_trained = True
    if fine:
        index.add(dense.numpy())
    else:
        faiss.copy_array_to_vector(codes.numpy().ravel(), index.codes)
        index.ntotal = len(codes)
    rows = x.numpy()
    return {"faiss fast scan" if fine else "faiss": lambda: index.search(rows, 1)}
