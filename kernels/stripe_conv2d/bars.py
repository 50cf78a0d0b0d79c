"""stripe_conv2d against torch's dense convolution, in both of its memory layouts."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F

from octavo.kernels.bars import Case, bytes_of, seeded
from octavo.kernels.curves import curve
from octavo.kernels.stripe_conv2d import pack, stripe_conv2d
from octavo.kernels.timing import Call


def cases(quick: bool) -> Iterator[Case]:
    """Half and a third of the stripes kept, in the shapes of a residual net."""
    for channels, side in ((64, 56),) if quick else ((64, 56), (128, 28), (256, 14)):
        for density in (0.5,) if quick else (0.5, 0.3):
            yield _convolution(channels, side, density)


def crossovers(quick: bool) -> Iterator[dict[str, Any]]:
    """The share of stripes kept below which the striped convolution is the faster one."""
    channels, side = (64, 14) if quick else (128, 28)
    x = torch.randn(1, channels, side, side, generator=seeded(2))
    weight = torch.randn(channels, channels, 3, 3, generator=seeded())
    x_last, last = (t.contiguous(memory_format=torch.channels_last) for t in (x, weight))

    def calls(kept: float) -> dict[str, Call]:
        keep = torch.rand(channels, 3, 3, generator=seeded(1)) < kept
        ours = partial(stripe_conv2d, x, pack(weight, keep), padding=1)
        return {"stripe_conv2d": ours, "channels last": partial(F.conv2d, x_last, last, padding=1)}

    shares = (0.2, 0.6, 1.0) if quick else (0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
    title = f"{channels}x{side}x{side} 3x3, by the share of stripes kept"
    yield curve(title, "share kept", shares, calls, x_scale="linear")


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
