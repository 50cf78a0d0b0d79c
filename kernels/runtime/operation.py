"""Give an operation to torch: schema, implementations, shapes for tracing, gradient.

A defined operation passes through `torch.compile`, `torch.export` and autograd as torch's own do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from octavo.kernels import runtime
from octavo.kernels.runtime import gpu

Run = Callable[..., Any]
# (grad of y, which inputs want a gradient, *inputs) -> a gradient or None for each input
Backward = Callable[..., tuple[Tensor | None, ...]]


def define(
    schema: str, run: Run, fake: Run, backward: Backward | None = None, on_gpu: str | None = None
) -> None:
    """Define octavo::<name> from `name(...) -> ...`: CPU, shapes for tracing, gradient.

    on_gpu names the module whose <name> takes tensors on a GPU; it is imported when one comes.
    """
    op, signature = schema.partition("(")[0], schema[schema.index("(") :]
    in_c = backward is not None and runtime.give_to_torch(op)
    names = [f"octavo::{op}{way}" for way in (("", "_forward", "_autograd") if in_c else ("",))]
    for name in names:
        torch.library.define(name, signature)
        torch.library.register_fake(name, fake)
        if not in_c:
            torch.library.impl(name, "CPU", run)
        if on_gpu is not None:
            torch.library.impl(name, "CUDA", gpu.lazily(on_gpu, op))
    if backward is not None:
        _differentiate(names[-1], backward)
    if in_c:
        torch.library.impl(names[1], "Autograd", torch.library.fallthrough_kernel)


def _differentiate(name: str, backward: Backward) -> None:
    """Give an operation its gradient."""

    def setup(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.save_for_backward(*(i for i in inputs if isinstance(i, Tensor)))
        ctx.others = [None if isinstance(i, Tensor) else (i,) for i in inputs]

    def call_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        saved = iter(ctx.saved_tensors)
        inputs = [next(saved) if other is None else other[0] for other in ctx.others]
        return backward(grad, tuple(ctx.needs_input_grad), *inputs)

    torch.library.register_autograd(name, call_backward, setup_context=setup)


def to_x_and_bias(to_x: Callable[..., Tensor], bias_axis: int) -> Backward:
    """The gradient of an operation on a packed weight, which is a constant: to x and to the bias.

    to_x takes (grad of y, *inputs); bias_axis is the axis of y that the bias runs along.
    """

    def backward(grad: Tensor, needs: Any, *inputs: Any) -> tuple[Tensor | None, ...]:
        others = [d for d in range(grad.dim()) if d != bias_axis % grad.dim()]
        summed = grad.sum(others) if others and any(needs[1:]) else grad
        to_bias = (summed if asks else None for asks in needs[1:])
        return to_x(grad, *inputs) if needs[0] else None, *to_bias

    return backward
