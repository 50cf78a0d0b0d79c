"""fake_quant on a GPU against torch.fake_quantize_per_tensor_affine."""

from __future__ import annotations

import torch

from octavo.kernels.bars import Case, seeded
from octavo.kernels.fake_quant import gpu

SHAPES = [(1 << 27,)]
QUICK = SHAPES
TINY = (1000,)


def case(device: str, size: int) -> Case:
    """One scale for all."""
    x = torch.randn(size, generator=seeded()).to(device)
    scale = torch.tensor(0.02, device=device)
    return Case(
        "fake_quant",
        f"{size} 8 bit",
        5.0 * size,
        lambda: gpu.fake_quant(x, scale, -128, 127, None),
        {"fake_quantize": lambda: torch.fake_quantize_per_tensor_affine(x, 0.02, 0, -128, 127)},
        moved=8.0 * size,
        limit="copy bandwidth",
    )
