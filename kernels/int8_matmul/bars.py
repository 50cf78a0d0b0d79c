"""int8_matmul against torch's dynamically quantized product and its dense one."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F

from octavo.kernels.bars import Case, seeded
from octavo.kernels.int8_matmul import int8_matmul, pack


def cases(quick: bool) -> Iterator[Case]:
    """One row, some rows, many rows of a square matrix."""
    for size in (1024,) if quick else (1024, 4096):
        for rows in (1, 64) if quick else (1, 8, 64, 512):
            yield _product(rows, size)


def _product(rows: int, size: int) -> Case:
    codes = torch.randint(-127, 128, (size, size), generator=seeded(), dtype=torch.int8)
    scales, zeros = torch.full((size,), 0.01), torch.zeros(size, dtype=torch.int64)
    x = torch.randn(rows, size, generator=seeded(1))
    packed = pack(codes, scales)
    dense = codes * scales.unsqueeze(1)
    whole = torch.quantize_per_channel(dense, scales.double(), zeros, 0, torch.qint8)
    table = torch.ops.quantized.linear_prepack(whole, None)
    return Case(
        "int8_matmul",
        f"{rows}x{size}x{size}",
        2.0 * rows * size * size,
        lambda: int8_matmul(x, packed),
        {
            "quantized dynamic": lambda: torch.ops.quantized.linear_dynamic(x, table),
            "linear float32": lambda: F.linear(x, dense),
        },
    )
