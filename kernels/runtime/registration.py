"""Give an operation to torch: schema, CPU implementation, shapes for tracing, gradient.

A registered operation passes through `torch.compile`, `torch.export` and autograd as torch's own
do. Packed weights are constants: the gradient goes to x and to the bias.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Run = Callable[..., Tensor]
Gradient = Callable[..., Tensor]  # (grad of y, *inputs of the operation) -> grad of x


def register(schema: str, run: Run, fake: Run, gradient: Gradient, bias_axis: int) -> None:
    """Define octavo::<name> from `name(Tensor x, ..., Tensor? bias, ...) -> Tensor`.

    bias_axis is the axis of y that the bias runs along.
    """
    name = "octavo::" + schema.partition("(")[0]
    torch.library.define(name, schema[schema.index("(") :])
    torch.library.impl(name, "CPU", run)
    torch.library.register_fake(name, fake)

    def setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(*(i for i in inputs if isinstance(i, Tensor)))
        ctx.others = [None if isinstance(i, Tensor) else (i,) for i in inputs]

    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        saved = iter(ctx.saved_tensors)
        inputs = [next(saved) if other is None else other[0] for other in ctx.others]
        grads: list[Tensor | None] = [None] * len(inputs)
        if ctx.needs_input_grad[0]:
            grads[0] = gradient(grad, *inputs)
        for at in range(1, len(inputs)):
            if ctx.needs_input_grad[at]:
                axis = bias_axis % grad.dim()
                grads[at] = grad.sum([d for d in range(grad.dim()) if d != axis])
        return tuple(grads)

    torch.library.register_autograd(name, backward, setup_context=setup)
