"""int4_matmul on a GPU against the dense product of torch; weights come from memory."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F

from octavo.kernels.bars import Case, in_turn, seeded
from octavo.kernels.int4_matmul import gpu, pack

GROUP = 128
COPIES = 4  # that the second-level cache does not hold together
SHAPES = [(m, 8192, GROUP) for m in (1, 16, 64, 256, 1024, 4096)]
QUICK = [(1, 8192, GROUP), (1024, 8192, GROUP)]
TINY = (16, 64, 32)


def case(device: str, m: int, size: int, group: int) -> Case:
    """A square weight, m rows of float16."""
    codes = torch.randint(-8, 8, (size, size), generator=seeded(), dtype=torch.int8)
    packed = pack(codes, torch.full((size, size // group), 0.01), group)
    x = torch.randn(m, size, generator=seeded(1)).to(device, torch.float16)
    tables = [(packed.codes.to(device), packed.scales.to(device)) for _ in range(COPIES)]
    tables = [(a.clone(), b.clone()) for a, b in tables]
    dense = [(codes.to(device) * 0.01).to(torch.float16) for _ in range(COPIES)]
    ours = [partial(gpu.int4_matmul, x, *t, None, size, size, group) for t in tables]
    return Case(
        "int4_matmul",
        f"{m}x{size}x{size} g{group}",
        2.0 * m * size * size,
        in_turn(ours),
        {"linear float16": in_turn([partial(F.linear, x, w) for w in dense])},
        moved=sum(t.nbytes for t in tables[0]) + 4.0 * m * size,
        bar_id="G1" if m <= 16 else "G2" if m >= 256 else None,
        limit=("copy bandwidth", "bf16 dense"),
        state="cold",
    )
