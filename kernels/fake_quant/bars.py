"""fake_quant against torch.fake_quantize_per_tensor_affine, forward and with its gradients."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch

from octavo.kernels import roofline
from octavo.kernels.bars import Case
from octavo.kernels.curves import curve
from octavo.kernels.fake_quant import fake_quant
from octavo.kernels.timing import Call


def cases(quick: bool) -> Iterator[Case]:
    """Arrays that lie in the second-level cache, in the third, and in memory."""
    for size in (1 << 18, 1 << 20) if quick else (1 << 18, 1 << 20, 1 << 22):
        yield _forward(size)
    yield _backward(1 << 20)


def crossovers(quick: bool) -> Iterator[dict[str, Any]]:
    """From a call's own cost to the rate of memory."""
    scale = torch.tensor(0.02)

    def calls(size: float) -> dict[str, Call]:
        x = torch.randn(int(size), generator=torch.Generator().manual_seed(0))
        theirs = partial(torch.fake_quantize_per_tensor_affine, x, 0.02, 0, -128, 127)
        return {"fake_quant": partial(fake_quant, x, scale), "fake_quantize": theirs}

    sizes = (64, 4096, 1 << 18) if quick else (16, 256, 4096, 1 << 14, 1 << 16, 1 << 18, 1 << 20)
    yield curve("8 bits, by values", "values", sizes, calls)


def _forward(size: int) -> Case:
    x, scale = torch.randn(size, generator=torch.Generator().manual_seed(0)), torch.tensor(0.02)
    return Case(
        "fake_quant",
        f"{size} 8 bit",
        5.0 * size,
        lambda: fake_quant(x, scale),
        {
            "fake_quantize": lambda: torch.fake_quantize_per_tensor_affine(x, 0.02, 0, -128, 127),
            "mul round clamp mul": lambda: (x * 50.0).round().clamp(-128, 127) * 0.02,
        },
        moved=8.0 * size,
        bar_id="K20-fake",
        limit=roofline.level(8 * size),
    )


def _backward(size: int) -> Case:
    """The gradients alone: the forward pass is in the other rows."""
    x, grad = torch.randn(2, size, generator=torch.Generator().manual_seed(0))
    scale, zero = torch.tensor(0.02), torch.zeros(1)
    theirs = torch.ops.aten._fake_quantize_learnable_per_tensor_affine_backward
    return Case(
        "fake_quant",
        f"{size} 8 bit, gradients",
        10.0 * size,
        lambda: torch.ops.octavo.fake_quant_backward(grad, x, scale, -128, 127, None),
        {"learnable fake_quantize": lambda: theirs(grad, x, scale.view(1), zero, -128, 127)},
        moved=12.0 * size,
        limit=roofline.level(12 * size),
    )
