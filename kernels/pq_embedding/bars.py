"""pq_embedding against torch's two ways to decode, faiss, and the table that is not compressed."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F

from octavo.kernels.bars import Case, seeded
from octavo.kernels.curves import curve
from octavo.kernels.peers import faiss
from octavo.kernels.pq_embedding import pack, pq_embedding, reference
from octavo.kernels.timing import Call

WORDS, WIDTH, ROWS = 30_000, 384, 4096


def cases(quick: bool) -> Iterator[Case]:
    """A batch of rows from a vocabulary, in pieces of 8 and of 4."""
    yield _rows(48)
    yield _rows(96)


def crossovers(quick: bool) -> Iterator[dict[str, Any]]:
    """A table in pieces beside the table that is not compressed, by the rows of a call."""
    words, groups = (3000, 48) if quick else (WORDS, 48)
    codes = torch.randint(0, 256, (words, groups), generator=seeded(), dtype=torch.uint8)
    books = torch.randn(groups, 256, WIDTH // groups, generator=seeded(1))
    packed, table = pack(codes, books), reference(torch.arange(words), codes, books)

    def calls(rows: float) -> dict[str, Call]:
        ids = torch.randint(0, words, (int(rows),), generator=seeded(2))
        return {
            "pq_embedding": partial(pq_embedding, ids, packed),
            "embedding float32": partial(F.embedding, ids, table),
        }

    rows = (16, 256, 4096) if quick else (1, 16, 64, 256, 1024, 4096, 16384)
    title = f"rows of {WIDTH} from {words} in {groups} pieces, by the rows of a call"
    yield curve(title, "rows", rows, calls)


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
        **faiss.decode(codes, books, ids),
        "embedding, not compressed": lambda: F.embedding(ids, table),
    }
    return Case(
        "pq_embedding",
        f"{ROWS} of {WORDS}x{WIDTH}, {groups} groups",
        float(ROWS * WIDTH),
        lambda: pq_embedding(ids, packed),
        peers,
        moved=ROWS * (8.0 * WIDTH + groups),
        bar_id="K17" if groups == 48 else "K17-96",
        limit="l3",
    )
