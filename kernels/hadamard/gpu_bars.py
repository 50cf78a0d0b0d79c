"""hadamard on a GPU against the product with the matrix."""

from __future__ import annotations

from math import log2

import torch

from octavo.kernels.bars import Case, seeded
from octavo.kernels.hadamard import gpu

ELEMENTS = 1 << 27  # 512 MiB: more than any cache
SHAPES = [(ELEMENTS // d, d) for d in (128, 512, 1024, 4096)]
QUICK = [(ELEMENTS // 1024, 1024)]
TINY = (4, 128)


def case(device: str, rows: int, d: int) -> Case:
    """Rows of float32."""
    x = torch.randn(rows, d, generator=seeded()).to(device)
    matrix = gpu.hadamard(torch.eye(d, device=device), d**-0.5)
    return Case(
        "hadamard",
        f"{rows}x{d}",
        rows * d * log2(d),
        lambda: gpu.hadamard(x, d**-0.5),
        {"matmul float32": lambda: x @ matrix},
        moved=8.0 * rows * d,
        bar_id="G7",
        limit="copy bandwidth",
    )
