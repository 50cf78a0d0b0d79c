"""Symmetric signed integer grids: bounds, scales, rounding, and codes to values and back.

A weight is seen as a matrix of N output rows and K columns (a convolution's kernel is flattened),
and each row is cut into groups of columns that share one scale s:

    value = s * code,     code in {-2^(bits-1), ..., 2^(bits-1) - 1}

| granularity | scales (N, groups)              |
| ----------- | ------------------------------- |
| per tensor  | (N, 1), all rows the same       |
| per channel | (N, 1), the default             |
| per group   | (N, ceil(K / group))            |

By hand, at 2 bits (codes -2, -1, 0, 1) with s = 0.5:

>>> import torch
>>> w, s = torch.tensor([[-1.2, 0.2, 0.3]]), torch.tensor([[0.5]])
>>> codes = nearest(w, s, bits=2)
>>> codes
tensor([[-2,  0,  1]], dtype=torch.int8)
>>> values(codes, s)
tensor([[-1.0000,  0.0000,  0.5000]])
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from octavo.errors import InputError

MSE_STEPS = 80  # candidates of the scale search, evenly spaced below the absmax scale
SMALLEST = torch.finfo(torch.float32).tiny  # keeps a scale away from zero and subnormals


class Bounds(NamedTuple):
    """The lowest and the highest code of a grid (n and p in the papers)."""

    low: int
    high: int


def bounds(bits: int) -> Bounds:
    """Codes of a signed grid of ``bits`` bits; 2 to 8 are allowed (they are kept as int8).

    >>> bounds(4)
    Bounds(low=-8, high=7)
    """
    if not 2 <= bits <= 8:
        raise InputError(f"bits={bits}: a signed grid has 2 to 8 bits; choose one of 2, 3, 4, 8")
    return Bounds(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def grouped(weight: Tensor, group: int | None = None) -> Tensor:
    """The weight as (N, groups, group): rows, and in each row the columns that share a scale.

    When ``group`` does not divide the row, its last group is filled up with zeros.
    """
    rows = weight.reshape(weight.shape[0], -1)  # (N, K)
    if group is None:
        return rows.unsqueeze(1)  # (N, 1, K)
    if group < 1:
        raise InputError(f"group={group}: a group has 1 or more inputs; None means the whole row")
    groups = -(-rows.shape[1] // group)
    padded = nn.functional.pad(rows, (0, groups * group - rows.shape[1]))
    return padded.reshape(rows.shape[0], groups, group)


def ungrouped(parts: Tensor, like: Tensor) -> Tensor:
    """Undo ``grouped``: (N, groups, group) in the shape of ``like``, fillers dropped."""
    width = like[0].numel()
    return parts.reshape(parts.shape[0], -1)[:, :width].reshape(like.shape)


def absmax_scale(
    weight: Tensor, bits: int, group: int | None = None, per_tensor: bool = False
) -> Tensor:
    """Scales (N, groups) that put the largest magnitude of each group on the highest code.

    A group of zeros gets scale 1, so that its codes are zeros and nothing divides by zero.
    """
    top = _extent(grouped(weight, group), per_tensor)
    scale = (top / bounds(bits).high).clamp_min(SMALLEST)
    return torch.where(top > 0, scale, torch.ones_like(scale)).to(torch.float32)


def mse_scale(
    weight: Tensor, bits: int, group: int | None = None, per_tensor: bool = False
) -> Tensor:
    """Scales (N, groups) that minimise ``||W - s * nearest(W / s)||^2``, by a search.

    The candidates are fractions 1/80, ..., 80/80 of the scale by the largest magnitude; ties go to
    the larger scale. Never worse than ``absmax_scale``, which is the last candidate.
    """
    parts = grouped(weight.detach().to(torch.float32), group)  # (N, groups, group)
    top = absmax_scale(weight, bits, group, per_tensor)
    best, least = top, torch.full_like(top, torch.inf)
    for step in range(MSE_STEPS, 0, -1):
        scale = (top * (step / MSE_STEPS)).clamp_min(SMALLEST)
        error = _rounding_error(parts, scale, bits)  # (N, groups)
        if per_tensor:
            error = error.sum().expand_as(error)
        better = error < least
        best, least = torch.where(better, scale, best), torch.where(better, error, least)
    return best


def nearest(weight: Tensor, scales: Tensor, bits: int, group: int | None = None) -> Tensor:
    """Codes of the nearest grid points, int8, shaped like the weight (ties go to the even code)."""
    return _codes(weight, scales, bits, group, torch.round)


def floor(weight: Tensor, scales: Tensor, bits: int, group: int | None = None) -> Tensor:
    """Codes of the grid points below, int8, shaped like the weight."""
    return _codes(weight, scales, bits, group, torch.floor)


def ceil(weight: Tensor, scales: Tensor, bits: int, group: int | None = None) -> Tensor:
    """Codes of the grid points above, int8, shaped like the weight."""
    return _codes(weight, scales, bits, group, torch.ceil)


def stochastic(
    weight: Tensor,
    scales: Tensor,
    bits: int,
    group: int | None = None,
    *,
    generator: torch.Generator,
) -> Tensor:
    """Codes rounded up with probability equal to the fraction above the floor: right on average."""

    def up_or_down(position: Tensor) -> Tensor:
        below = torch.floor(position)
        chance = torch.rand(position.shape, generator=generator)
        return below + (chance < position - below)

    return _codes(weight, scales, bits, group, up_or_down)


def values(codes: Tensor, scales: Tensor, group: int | None = None) -> Tensor:
    """The float32 weight that codes and scales stand for, shaped like the codes."""
    parts = grouped(codes.to(torch.float32), group)
    return ungrouped(parts * scales.unsqueeze(2), codes)


def positions(weight: Tensor, scales: Tensor, group: int | None = None) -> Tensor:
    """Where each weight lies on its grid, ``W / s``, shaped like the weight (not rounded)."""
    parts = grouped(weight.detach().to(torch.float32), group)
    return ungrouped(parts / scales.unsqueeze(2), weight)


def expand(scales: Tensor, weight: Tensor, group: int | None = None) -> Tensor:
    """Scales (N, groups) repeated to the shape of the weight."""
    return ungrouped(scales.unsqueeze(2).expand_as(grouped(weight, group)), weight)


def longest_way(
    weight: Tensor, codes: Tensor, scales: Tensor, bits: int, group: int | None = None
) -> float:
    """The largest |quantized weight - weight| in steps, of weights inside the clipping range."""
    low, high = bounds(bits)
    position = positions(weight, scales, group)
    inside = (position >= low) & (position <= high)
    return float((codes - position)[inside].abs().max()) if bool(inside.any()) else 0.0


def _extent(parts: Tensor, per_tensor: bool) -> Tensor:
    """Largest magnitude of each group, (N, groups)."""
    if not bool(torch.isfinite(parts).all()):
        raise InputError("the weight holds nan or inf; only finite weights can be quantized")
    top = parts.detach().to(torch.float32).abs().amax(2)
    return top.max().expand_as(top).clone() if per_tensor else top


def _rounding_error(parts: Tensor, scale: Tensor, bits: int) -> Tensor:
    low, high = bounds(bits)
    unit = scale.unsqueeze(2)
    rounded = (parts / unit).round_().clamp_(low, high).mul_(unit)
    return rounded.sub_(parts).square_().sum(2)


def _codes(
    weight: Tensor,
    scales: Tensor,
    bits: int,
    group: int | None,
    rounding: Callable[[Tensor], Tensor],
) -> Tensor:
    low, high = bounds(bits)
    return rounding(positions(weight, scales, group)).clamp(low, high).to(torch.int8)
