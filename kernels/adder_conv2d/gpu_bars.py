"""adder_conv2d on a GPU against patches and torch.cdist."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from octavo.kernels.adder_conv2d import gpu
from octavo.kernels.bars import Case, seeded
from octavo.kernels.runtime import geometry

SHAPES = [(32, 64, 56), (32, 128, 28), (32, 256, 14)]
QUICK = SHAPES[1:2]
TINY = (1, 4, 5)


def case(device: str, batch: int, channels: int, side: int) -> Case:
    """A 3x3 convolution of a residual network."""
    x = torch.randn(batch, channels, side, side, generator=seeded()).to(device)
    weight = torch.randn(channels, channels, 3, 3, generator=seeded(1)).to(device)
    sizes = geometry.sizes("adder_conv2d", 3, 1, 1, 1)
    return Case(
        "adder_conv2d",
        f"{batch}x{channels}x{side}x{side} 3x3",
        2.0 * batch * weight.numel() * side * side,
        lambda: gpu.adder_conv2d(x, weight, None, sizes),
        {
            "unfold cdist": lambda: (
                -torch.cdist(
                    F.unfold(x, 3, padding=1).mT, weight.flatten(1).expand(batch, -1, -1), p=1.0
                )
            )
        },
        bar_id="G8",
    )
