"""stripe_conv2d against torch's dense convolution, in both of its memory layouts."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F

from octavo.kernels.bars import Case, bytes_of, seeded
from octavo.kernels.stripe_conv2d import pack, stripe_conv2d


def cases(quick: bool) -> Iterator[Case]:
    """Half and a third of the stripes kept, in the shapes of a residual net."""
    for channels, side in ((64, 56),) if quick else ((64, 56), (128, 28), (256, 14)):
        for density in (0.5,) if quick else (0.5, 0.3):
            yield _convolution(channels, side, density)


def _convolution(channels: int, side: int, density: float) -> Case:
    weight = torch.randn(channels, channels, 3, 3, generator=seeded())
    keep = torch.rand(channels, 3, 3, generator=seeded(1)) < density
    x = torch.randn(1, channels, side, side, generator=seeded(2))
    x_last, weight_last = (t.contiguous(memory_format=torch.channels_last) for t in (x, weight))
    packed = pack(weight, keep)
    return Case(
        "stripe_conv2d",
        f"{channels}x{side}x{side} 3x3 {density:.0%} kept",
        2.0 * packed.values.numel() * side * side,
        lambda: stripe_conv2d(x, packed, padding=1),
        {
            "conv2d float32": lambda: F.conv2d(x, weight, padding=1),
            "channels last": lambda: F.conv2d(x_last, weight_last, padding=1),
        },
        moved=bytes_of(packed) + 8.0 * x.numel(),
        bar_id="K15",
        limit="fma",
        kept=packed.values.numel() / weight.numel(),
    )
