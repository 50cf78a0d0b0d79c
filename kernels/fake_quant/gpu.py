"""fake_quant on a GPU, forward and backward: elementwise, memory is the limit.

    v = x / s,   y = s * clip(round(v), low, high);   the gradients as in the folder's head

low and high are less the zero code already. A channel's elements are e = 0 ... E - 1, at
(e // inner) * C * inner + c * inner + e % inner; one scale for all is a channel of its own. The
sums for the gradient of a scale are taken a block at a time and added in a fixed order: the same
bits every time. Differs from the processor: a scale that is not positive gives NaN and no error,
for an error would make every call wait for the GPU.
"""

from __future__ import annotations

from math import prod

import torch
import triton
import triton.language as tl
from torch import Tensor

EVEN = tl.constexpr(12582912.0)  # 1.5 * 2^23: adding it rounds to an integer, ties to even
HELD = 2048  # elements of a block


@triton.jit
def _round(v):
    return (v + EVEN) - EVEN


@triton.jit
def _place(C, E, INNER, ROWS: tl.constexpr, WIDE: tl.constexpr, LONG: tl.constexpr):
    """A block's channels, its elements in memory (WIDE, LONG), which exist, where its sums go."""
    if ROWS:  # elements of one scale that lie side by side: no division for each
        row, chunk = (
            tl.program_id(0) // tl.cdiv(INNER, LONG),
            tl.program_id(0) % tl.cdiv(INNER, LONG),
        )
        c = row % C + tl.arange(0, WIDE)
        e = chunk * LONG + tl.arange(0, LONG)
        at = (row.to(tl.int64) * INNER + e)[None, :]
        here, slot = (e < INNER)[None, :], tl.program_id(0) + tl.arange(0, WIDE)
    else:
        c = tl.program_id(1) * WIDE + tl.arange(0, WIDE)
        e = tl.program_id(0).to(tl.int64) * LONG + tl.arange(0, LONG)
        at = (c * INNER)[:, None] + (e // INNER * (C * INNER) + e % INNER)[None, :]
        here, slot = (c < C)[:, None] & (e < E)[None, :], tl.program_id(0) * C + c
    return c, at, here, slot


@triton.jit
def forward_kernel(
    x, scale, y, C, E, INNER, low, high,
    ROWS: tl.constexpr, WIDE: tl.constexpr, LONG: tl.constexpr,
):  # fmt: skip
    """One program a block of WIDE channels, LONG elements of each."""
    c, at, here, _ = _place(C, E, INNER, ROWS, WIDE, LONG)
    s = tl.load(scale + c, mask=c < C, other=1.0)[:, None]
    s = tl.where(s > 0, s, float("nan"))
    v = tl.load(x + at, mask=here, other=0.0) * tl.div_rn(1.0, s)
    v = tl.where(v < low, low, tl.where(v > high, high, v))
    tl.store(y + at, _round(v) * s, mask=here)


@triton.jit
def backward_kernel(
    grad, x, scale, to_x, parts, C, E, INNER, low, high,
    ROWS: tl.constexpr, WIDE: tl.constexpr, LONG: tl.constexpr,
):  # fmt: skip
    """Gradients of x, and a row of partial sums for the gradients of scale."""
    c, at, here, slot = _place(C, E, INNER, ROWS, WIDE, LONG)
    s = tl.load(scale + c, mask=c < C, other=1.0)[:, None]
    s = tl.where(s > 0, s, float("nan"))
    g = tl.load(grad + at, mask=here, other=0.0)
    v = tl.load(x + at, mask=here, other=0.0) * tl.div_rn(1.0, s)
    inside = (v > low) & (v < high)
    clipped = tl.where(v < low, low, tl.where(v > high, high, v))
    rest = tl.where(inside, _round(clipped) - v, _round(clipped))
    tl.store(to_x + at, tl.where(inside, g, 0.0), mask=here)
    total = tl.sum(tl.where(here, g * rest, 0.0), 1)
    tl.store(parts + slot, total, mask=c < C)


def _cut(
    x: Tensor, axis: int | None
) -> tuple[tuple[int, int], tuple[int, int, int], dict[str, int | bool]]:
    """Grid; channels, elements of one, consecutive elements of one; the block."""
    channels = 1 if axis is None else x.shape[axis]
    inner = x.numel() if axis is None else prod(x.shape[axis + 1 :])
    each = x.numel() // channels
    if inner >= 64:
        grid = (x.numel() // inner * triton.cdiv(inner, HELD), 1)
        return grid, (channels, each, inner), {"ROWS": True, "WIDE": 1, "LONG": HELD}
    wide = min(64, triton.next_power_of_2(channels))
    grid = (triton.cdiv(each, HELD // wide), triton.cdiv(channels, wide))
    return grid, (channels, each, inner), {"ROWS": False, "WIDE": wide, "LONG": HELD // wide}


def fake_quant(x: Tensor, scale: Tensor, low: int, high: int, axis: int | None) -> Tensor:
    """Round x to the grid and back: a tensor like x."""
    x, scale = x.contiguous(), scale.contiguous()
    y = torch.empty_like(x)
    if x.numel():
        grid, sizes, block = _cut(x, axis)
        forward_kernel[grid](
            x, scale, y, *sizes, float(low), float(high), **block, enable_fp_fusion=False
        )
    return y


def fake_quant_backward(
    grad: Tensor, x: Tensor, scale: Tensor, low: int, high: int, axis: int | None
) -> tuple[Tensor, Tensor]:
    """Gradients of x and of scale."""
    grad, x, scale = grad.contiguous(), x.contiguous(), scale.contiguous()
    to_x = torch.empty_like(x)
    if not x.numel():
        return to_x, torch.zeros_like(scale)
    grid, sizes, block = _cut(x, axis)
    blocks = grid[0] if block["ROWS"] else grid[0] * sizes[0]
    beside = triton.cdiv(sizes[2], HELD) if block["ROWS"] else 1  # blocks of one run of a channel
    parts = torch.empty(blocks // (sizes[0] * beside), sizes[0], beside, device=x.device)
    backward_kernel[grid](
        grad,
        x,
        scale,
        to_x,
        parts,
        *sizes,
        float(low),
        float(high),
        **block,
        enable_fp_fusion=False,
    )
    return to_x, parts.sum((0, 2)).view(scale.shape)
