"""pq_embedding against torch's two ways to decode, faiss, and the table that is not compressed."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec

import torch
import torch.nn.functional as F
from torch import Tensor

from octavo.kernels.bars import Case
from octavo.kernels.pq_embedding import pack, pq_embedding, reference
from octavo.kernels.timing import Call

WORDS, WIDTH, ROWS = 30_000, 384, 4096


def cases(quick: bool) -> Iterator[Case]:
    """A batch of rows from a vocabulary, in pieces of 8 and of 4."""
    yield _rows(48)
    yield _rows(96)


def _rows(groups: int) -> Case:
    generator = torch.Generator().manual_seed(0)
    codes = torch.randint(0, 256, (WORDS, groups), generator=generator, dtype=torch.uint8)
    books = torch.randn(groups, 256, WIDTH // groups, generator=generator)
    ids = torch.randint(0, WORDS, (ROWS,), generator=generator)
    packed, flat = pack(codes, books), books.flatten(0, 1)  # (G * 256, piece)
    starts = torch.arange(groups) * 256
    table = reference(torch.arange(WORDS), codes, books)
    peers: dict[str, Call] = {
        "embedding of pieces": lambda: F.embedding(codes[ids].long() + starts, flat).flatten(-2),
        "indexing": lambda: reference(ids, codes, books),
        **_faiss(codes, books, ids),
        "embedding, not compressed": lambda: F.embedding(ids, table),
    }
    return Case(
        "pq_embedding",
        f"{ROWS} of {WORDS}x{WIDTH}, {groups} groups",
        float(ROWS * WIDTH),
        lambda: pq_embedding(ids, packed),
        peers,
        bar=4.0,
        moved=ROWS * (8.0 * WIDTH + groups),
    )


def _faiss(codes: Tensor, books: Tensor, ids: Tensor) -> dict[str, Call]:
    """Decoding of the same codes, where faiss is installed."""
    if find_spec("faiss") is None:
        return {}
    faiss = import_module("faiss")
    faiss.omp_set_num_threads(1)
    quantizer = faiss.ProductQuantizer(WIDTH, len(books), 8)
    faiss.copy_array_to_vector(books.flatten().numpy(), quantizer.centroids)
    table, rows = codes.numpy(), ids.numpy()
    return {"faiss decode": lambda: quantizer.decode(table[rows])}
