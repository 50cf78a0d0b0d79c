"""adder_conv2d against torch: patches and cdist forward, patches and clamp for the gradient."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F

from octavo.kernels.adder_conv2d import adder_conv2d, codes, reference_to_x
from octavo.kernels.bars import Case, seeded
from octavo.kernels.curves import curve
from octavo.kernels.runtime import geometry
from octavo.kernels.timing import Call


def cases(quick: bool) -> Iterator[Case]:
    """3x3 convolutions of a residual network; the gradient on a small one."""
    for channels, side in ((128, 14),) if quick else ((64, 56), (128, 28), (256, 14)):
        yield _forward(channels, side)
        yield _codes(channels, side)
    yield _to_x(16, 14)


def crossovers(quick: bool) -> Iterator[dict[str, Any]]:
    """Adding beside multiplying, by channels: what 8-bit codes win back."""
    side = 14

    def calls(channels: float) -> dict[str, Call]:
        c = int(channels)
        x = torch.randn(1, c, side, side, generator=seeded())
        weight = torch.randn(c, c, 3, 3, generator=seeded(1))
        q, packed = (x * 20).clamp(0, 255).byte(), codes.pack((weight * 20).clamp(0, 255).byte())
        return {
            "8-bit codes": partial(codes.adder_conv2d_u8, q, packed, padding=1),
            "conv2d float32": partial(F.conv2d, x, weight, padding=1),
            "float32": partial(adder_conv2d, x, weight, padding=1),
        }

    channels = (16, 64) if quick else (8, 16, 32, 64, 128, 256)
    yield curve(f"3x3 at {side}x{side}, by channels", "channels", channels, calls)


def _forward(channels: int, side: int) -> Case:
    x = torch.randn(1, channels, side, side, generator=seeded())
    weight = torch.randn(channels, channels, 3, 3, generator=seeded(1))
    rows = weight.flatten(1)
    return Case(
        "adder_conv2d",
        f"{channels}x{side}x{side} 3x3",
        2.0 * weight.numel() * side * side,
        lambda: adder_conv2d(x, weight, padding=1),
        {
            "unfold cdist": lambda: -torch.cdist(F.unfold(x, 3, padding=1).mT, rows, p=1.0),
            "conv2d, multiplying": lambda: F.conv2d(x, weight, padding=1),
        },
        bar_id="K16-float",
        limit="fadd",
    )


def _codes(channels: int, side: int) -> Case:
    x = torch.randint(0, 256, (1, channels, side, side), generator=seeded(), dtype=torch.uint8)
    filters = torch.randint(
        0, 256, (channels, channels, 3, 3), generator=seeded(1), dtype=torch.uint8
    )
    packed, floats, rows = codes.pack(filters), x.float(), filters.float().flatten(1)
    return Case(
        "adder_conv2d",
        f"{channels}x{side}x{side} 3x3, 8-bit codes",
        2.0 * filters.numel() * side * side,
        lambda: codes.adder_conv2d_u8(x, packed, padding=1),
        {"unfold cdist": lambda: -torch.cdist(F.unfold(floats, 3, padding=1).mT, rows, p=1.0)},
        bar_id="K16-bytes",
        limit="sad",
    )


def _to_x(channels: int, side: int) -> Case:
    x = torch.randn(1, channels, side, side, generator=seeded())
    weight = torch.randn(channels, channels, 3, 3, generator=seeded(1))
    grad = torch.randn(1, channels, side, side, generator=seeded(2))
    sizes = geometry.sizes("adder_conv2d", 3, 1, 1, 1)
    return Case(
        "adder_conv2d",
        f"{channels}x{side}x{side} 3x3, gradient to x",
        5.0 * weight.numel() * side * side,
        lambda: torch.ops.octavo.adder_conv2d_to_x(grad, x, weight, sizes),
        {"unfold clamp einsum": lambda: reference_to_x(grad, x, weight, sizes)},
        bar_id="K16-gradient",
    )
