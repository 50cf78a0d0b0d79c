"""Symmetric quantization of activations: in torch, what kernels do inside a call."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

LEVELS = 127.0
TINY = 1e-30  # a group of zeros gets this magnitude: code 0, no division by zero


class Quantized(NamedTuple):
    """Activations as integers: x ~= codes * steps."""

    codes: Tensor  # (M, G, group) float32 holding integers in [-127, 127]
    steps: Tensor  # (M, G) float32


def quantize_rows(x: Tensor, group: int) -> Quantized:
    """Quantize each row of x (M, K) by groups: code = round(x * (127 / max|x|)).

    Ties go to the even code. A group that holds a NaN or an infinity makes its row NaN.

    >>> quantize_rows(torch.tensor([[127.0, -3.5, 0.0, 0.0]]), 2).codes.tolist()
    [[[127.0, -4.0], [0.0, 0.0]]]
    """
    groups = x.reshape(x.shape[0], x.shape[1] // group, group)  # (M, G, group)
    top = groups.abs().amax(-1).clamp(min=TINY)  # (M, G)
    top = torch.where(top.isfinite(), top, torch.nan)
    codes = (groups * (torch.full_like(top, LEVELS) / top).unsqueeze(-1)).round()
    return Quantized(codes, top / LEVELS)


def quantize_by(x: Tensor, step: Tensor) -> Quantized:
    """Quantize x (M, K) by one step, known before: code = round(x * (1 / step)), held to 127.

    Ties go to the even code. A row that holds a NaN or an infinity is NaN.

    >>> quantize_by(torch.tensor([[1.0, -0.75, 99.0]]), torch.tensor([0.5])).codes.tolist()
    [[[2.0, -2.0, 127.0]]]
    """
    codes = (x * (torch.ones_like(step) / step)).clamp(-LEVELS, LEVELS).round()
    steps = torch.where(x.isfinite().all(-1, keepdim=True), step.view(1, 1), torch.nan)
    return Quantized(codes.unsqueeze(1), steps)


def calibrated_step(x: Tensor) -> Tensor:
    """The step (1,) float32 that holds all of x, for activations like these.

    >>> calibrated_step(torch.tensor([[127.0, -254.0]])).tolist()
    [2.0]
    """
    return (x.detach().abs().amax().clamp(min=TINY) / LEVELS).view(1).float()


def integer_product(q: Quantized, codes: Tensor, scales: Tensor) -> Tensor:
    """Multiply quantized rows by integer weights (N, K) with steps (N, G): (M, N) float32.

    The sums over a group are exact integers (float64 holds them); each is scaled in float32 and
    added in the order of the groups, as the native kernels do.
    """
    weight = codes.reshape(codes.shape[0], scales.shape[1], -1).double()  # (N, G, group)
    y = q.codes.new_zeros(q.codes.shape[0], codes.shape[0])
    for g in range(scales.shape[1]):
        sums = (q.codes[:, g].double() @ weight[:, g].T).float()  # (M, N)
        y += sums * (q.steps[:, g, None] * scales[:, g])
    return y
