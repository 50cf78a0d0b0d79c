"""int8_matmul on a GPU, with the quantization of the rows, against torch's dense product."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from octavo.kernels.bars import Case, seeded
from octavo.kernels.int8_matmul import gpu, pack

SHAPES = [(m, 8192) for m in (1, 64, 1024, 4096)]
QUICK = [(1024, 8192)]
TINY = (16, 64)


def case(device: str, m: int, size: int) -> Case:
    """A square weight, m rows of float16."""
    codes = torch.randint(-127, 128, (size, size), generator=seeded(), dtype=torch.int8)
    packed = pack(codes, torch.full((size,), 0.01))
    table, scales = packed.codes.to(device), packed.scales.to(device)
    x = torch.randn(m, size, generator=seeded(1)).to(device, torch.float16)
    dense = (codes.to(device) * 0.01).to(torch.float16)
    return Case(
        "int8_matmul",
        f"{m}x{size}x{size}",
        2.0 * m * size * size,
        lambda: gpu.int8_matmul(x, table, scales, None, size, size),
        {"linear float16": lambda: F.linear(x, dense)},
        moved=table.nbytes + 4.0 * m * size,
        bar_id="G3" if m >= 1024 else None,
        limit="bf16 dense" if m >= 64 else "copy bandwidth",
    )
