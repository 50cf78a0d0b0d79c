"""Rotate rows by the Walsh-Hadamard matrix: what spreads outliers before quantization.

    y = c * x H_d,   H_1 = [1],   H_2d = [[H_d, H_d], [H_d, -H_d]]

    symbol  in code  shape, type
    x       x        (..., d) float32, d a power of two
    c       scale    a number; 1 / sqrt(d) where not given, so that H is its own inverse

log2(d) additions an element instead of d products. Each sum is a tree: the error is at most
log2(d) + 1 roundings of the largest partial sum. The gradient is the same transform.
Source: Fino and Algazi, Unified matrix treatment of the fast Walsh-Hadamard transform (1976); its
use before quantization, QuaRot (arXiv 2404.00456).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from octavo.errors import InputError
from octavo.kernels import runtime
from octavo.kernels.runtime import door
from octavo.kernels.runtime.operation import define


def reference(x: Tensor, scale: float) -> Tensor:
    """The oracle, in torch: (..., d) -> (..., d)."""
    y, d, step = x * scale, x.shape[-1], 1
    while step < d:
        a, b = y.reshape(*x.shape[:-1], d // step // 2, 2, step).unbind(-2)
        y = torch.stack((a + b, a - b), -2).reshape(x.shape)
        step *= 2
    return y


def hadamard(x: Tensor, scale: float | None = None) -> Tensor:
    """Transform each row of x (..., d) float32 and multiply it by scale: (..., d) float32.

    Raises:
        InputError: wrong dtype or device, or d is not a power of two.

    >>> hadamard(torch.tensor([1.0, 2.0, 3.0, 4.0]), scale=1.0).tolist()
    [10.0, -2.0, -4.0, 0.0]
    """
    d = x.shape[-1] if x.dim() else 0
    door.check_input("hadamard", x, None, inner=d, axis=-1, n=d)
    if d < 1 or d & (d - 1):
        raise InputError(
            f"hadamard: x has shape {tuple(x.shape)}; its last dimension must be a power of two: "
            "pad it, or cut it in blocks that are"
        )
    factor = d**-0.5 if scale is None else float(scale)
    if door.takes_short_way(x, None):
        return _run(x, factor)
    op: Tensor = torch.ops.octavo.hadamard(x, factor)
    return op


def _run(x: Tensor, scale: float) -> Tensor:
    """One eager call on the backend in use."""
    if not runtime.is_native():
        return reference(x, scale)
    x, out = x.contiguous(), torch.empty_like(x, memory_format=torch.contiguous_format)
    runtime.native.hadamard(x, out, scale, runtime.threads())
    return out


def _fake(x: Tensor, scale: float) -> Tensor:
    """The shape of the answer, for tracing."""
    return x.new_empty(x.shape)


def _gradient(grad: Tensor, needs: Any, x: Tensor, scale: float) -> tuple[Tensor | None, ...]:
    """H is symmetric: the gradient is the transform of the gradient."""
    return torch.ops.octavo.hadamard(grad, scale), None


define(
    "hadamard(Tensor x, float scale) -> Tensor", _run, _fake, _gradient, on_gpu=f"{__name__}.gpu"
)
