"""pq_embedding on a GPU against the look-up of whole rows."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from octavo.kernels.bars import Case, seeded
from octavo.kernels.pq_embedding import gpu

SHAPES = [(1 << 18, 30_000, 48, 8), (1 << 18, 30_000, 96, 4)]
QUICK = SHAPES[:1]
TINY = (9, 20, 6, 4)


def case(device: str, ids: int, rows: int, groups: int, piece: int) -> Case:
    """Ids at random into a table of `rows`."""
    codes = torch.randint(0, 256, (rows, groups), generator=seeded(), dtype=torch.uint8).to(device)
    books = torch.randn(groups, 256, piece, generator=seeded(1)).to(device)
    which = torch.randint(0, rows, (ids,), generator=seeded(2)).to(device)
    table = torch.randn(rows, groups * piece, generator=seeded(3)).to(device)
    return Case(
        "pq_embedding",
        f"{ids} of {rows}x{groups * piece} m{groups}",
        float(ids * groups),
        lambda: gpu.pq_embedding(which, codes, books),
        {"embedding float32": lambda: F.embedding(which, table)},
        moved=ids * (groups * (1.0 + 4 * piece) + 8),
        bar_id="G9",
        limit="copy bandwidth",
    )
