"""Round values to a grid and back, with gradients to the values and to the step of the grid.

    v = x / s,   y = s * (clip(round(v) + z, low, high) - z)
    dy/dx = 1 where low - z < v < high - z, else 0                       (straight through)
    dy/ds = round(v) - v inside, low - z below, high - z above

    symbol     in code     shape, type
    x          x           any shape, float32
    s          scale       () or, along `axis`, (C,) float32, positive
    z          zero        the code that stands for 0
    low, high  low, high   the least and the largest code, at most 2^22 from z

x / s is x times the float32 reciprocal of s, ties go to the even code: every instruction set and
thread count gives the same bits. A NaN stays NaN; its gradient to x is 0.
Source: Learned step size quantization (arXiv 1902.08153), eqs. (1)-(3) and (5). The paper's factor
on the gradient of s, 1 / sqrt(numel * high), is left to the caller.
"""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from torch import Tensor

from octavo.errors import InputError
from octavo.kernels import runtime
from octavo.kernels.runtime import door
from octavo.kernels.runtime.operation import define

WIDEST = 1 << 22
PLACES = ("cpu", "cuda", "meta")


def reference(
    x: Tensor, scale: Tensor, low: int, high: int, zero: int = 0, axis: int | None = None
) -> Tensor:
    """The oracle, in torch; its gradients come from torch, straight through `round`."""
    if axis is not None:
        scale = scale.view([-1 if d == axis % x.dim() else 1 for d in range(x.dim())])
    v, least, most = x * scale.detach().reciprocal(), low - zero, high - zero
    inside = (v > least) & (v < most)
    rest = torch.where(inside, v.round() - v, v.clamp(least, most).round()).detach()  # dy/ds
    kept = torch.where(inside, x, 0.0)  # dy/dx
    y = v.clamp(least, most).round() * scale.detach()
    through: Tensor = rest * scale + kept
    return y.detach() + (through - through.detach())


def fake_quant(
    x: Tensor, scale: Tensor, low: int = -128, high: int = 127, zero: int = 0,
    axis: int | None = None,
) -> Tensor:  # fmt: skip
    """Round x to the grid and back: a tensor like x. One scale, or one an index along `axis`.

    Raises:
        InputError: wrong dtype or device, a scale that does not fit x or is not positive, an
            empty or too wide range of codes.

    >>> fake_quant(torch.tensor([0.4, 0.6, 9.0]), torch.tensor(0.5), -8, 7).tolist()
    [0.5, 0.5, 3.5]
    """
    axis = _check(x, scale, low, high, zero, axis)
    if door.takes_short_way(x, scale):
        return _run(x, scale, low - zero, high - zero, axis)
    op: Tensor = torch.ops.octavo.fake_quant(x, scale, low - zero, high - zero, axis)
    return op


def _check(
    x: Tensor, scale: Tensor, low: int, high: int, zero: int, axis: int | None
) -> int | None:
    """The axis counted from the front, once everything fits."""
    for name, tensor in (("x", x), ("scale", scale)):
        if tensor.dtype != torch.float32 or tensor.device.type not in PLACES:
            raise InputError(
                f"fake_quant: {name} is {tensor.dtype} on {tensor.device}; it must be float32 on "
                f"the CPU or a GPU: use {name}.float().cpu()"
            )
    if not low < high or max(abs(low - zero), abs(high - zero)) > WIDEST:
        raise InputError(
            f"fake_quant: codes from {low} to {high} around {zero}; low must be under high, and "
            f"neither more than {WIDEST} from zero"
        )
    if axis is None:
        if scale.numel() != 1:
            raise InputError(
                f"fake_quant: scale has {scale.numel()} values and axis is None; give one value, "
                "or the axis they run along"
            )
        return None
    if not -x.dim() <= axis < x.dim() or scale.shape != (x.shape[axis],):
        raise InputError(
            f"fake_quant: scale has shape {tuple(scale.shape)} for axis {axis} of "
            f"{tuple(x.shape)}; it must be one value an index of that axis"
        )
    return axis % x.dim()


def _inner(x: Tensor, axis: int | None) -> int:
    """Consecutive elements of one scale."""
    return prod(x.shape if axis is None else x.shape[axis + 1 :])


def _run(x: Tensor, scale: Tensor, low: int, high: int, axis: int | None) -> Tensor:
    """One eager call on the backend in use; low and high less the zero code."""
    if not runtime.is_native():
        _require(bool((scale > 0).all()))
        return reference(x, scale, low, high, axis=axis)
    x, out = x.contiguous(), torch.empty_like(x, memory_format=torch.contiguous_format)
    if x.numel():
        _require(runtime.native.fake_quant(
            x, scale.contiguous(), out, _inner(x, axis), low, high, runtime.threads()
        ))  # fmt: skip
    return out


def _require(positive: bool) -> None:
    if not positive:
        raise InputError(
            "fake_quant: a scale is zero, negative or NaN; scales must be positive: clamp them, "
            "or learn their logarithm"
        )


def _run_backward(
    grad: Tensor, x: Tensor, scale: Tensor, low: int, high: int, axis: int | None
) -> tuple[Tensor, Tensor]:
    """Gradients of x and of scale."""
    if not runtime.is_native() or not x.numel():
        with torch.enable_grad():
            leaves = [t.detach().clone().requires_grad_() for t in (x, scale)]
            y = reference(leaves[0], leaves[1], low, high, axis=axis)
        to_x, to_scale = torch.autograd.grad(y, leaves, grad)
        return to_x, to_scale
    to_x = torch.empty_like(x, memory_format=torch.contiguous_format)
    to_scale = torch.empty_like(scale, memory_format=torch.contiguous_format)
    _require(runtime.native.fake_quant_backward(
        grad.contiguous(), x.contiguous(), scale.contiguous(), to_x, to_scale, _inner(x, axis),
        low, high, runtime.threads(),
    ))  # fmt: skip
    return to_x, to_scale


def _fake(x: Tensor, scale: Tensor, low: int, high: int, axis: int | None) -> Tensor:
    """The shape of the answer, for tracing."""
    return x.new_empty(x.shape)


def _fake_backward(
    grad: Tensor, x: Tensor, scale: Tensor, low: int, high: int, axis: int | None
) -> tuple[Tensor, Tensor]:
    """The shapes of the gradients, for tracing."""
    return x.new_empty(x.shape), scale.new_empty(scale.shape)


def _gradient(
    grad: Tensor, needs: Any, x: Tensor, scale: Tensor, low: int, high: int, axis: int | None
) -> tuple[Tensor | None, ...]:
    """To x and to scale, in one pass over both."""
    to_x, to_scale = torch.ops.octavo.fake_quant_backward(grad, x, scale, low, high, axis)
    return (to_x if needs[0] else None, to_scale if needs[1] else None, None, None, None)


define(
    "fake_quant(Tensor x, Tensor scale, int low, int high, int? axis) -> Tensor",
    _run,
    _fake,
    _gradient,
    on_gpu=f"{__name__}.gpu",
)
define(
    "fake_quant_backward(Tensor grad, Tensor x, Tensor scale, int low, int high, int? axis) "
    "-> (Tensor, Tensor)",
    _run_backward,
    _fake_backward,
    on_gpu=f"{__name__}.gpu",
)
