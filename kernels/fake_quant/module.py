"""Rounding to a grid whose step is learned, as a module; see `fake_quant`."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn

from octavo.errors import InputError
from octavo.kernels.fake_quant import fake_quant, reference
from octavo.kernels.runtime.packed import Packed

LEAST = torch.finfo(torch.float32).tiny


class FakeQuant(Packed):
    """Round to `bits`-bit codes and back, gradients straight through; `scale` is a parameter.

    Args:
        scale: () for one step, or (C,) for one an index of `axis`.
        bits: of a code, 2 to 16.
        axis: the axis that the steps run along.
        signed: codes around 0, else from 0.
    """

    def __init__(
        self, scale: Tensor, bits: int = 8, axis: int | None = None, signed: bool = True
    ) -> None:
        super().__init__()
        if not 2 <= bits <= 16:
            raise InputError(f"FakeQuant: bits={bits}; use 2 to 16")
        self._hold(None)
        self.scale = nn.Parameter(scale.detach().clone())
        self.axis = axis
        half = 1 << (bits - 1)
        self.low, self.high = (-half, half - 1) if signed else (0, 2 * half - 1)

    @classmethod
    def from_data(
        cls, x: Tensor, bits: int = 8, axis: int | None = None, signed: bool = True
    ) -> Self:
        """Start from 2 E|x| / sqrt(high), as LSQ (arXiv 1902.08153), section 2.1, does."""
        others = [d for d in range(x.dim()) if axis is None or d != axis % x.dim()]
        mean = x.detach().abs().mean(others) if others else x.detach().abs()
        high = (1 << (bits - signed)) - 1
        return cls((2 * mean / high**0.5).clamp(min=LEAST), bits, axis, signed)

    def forward(self, x: Tensor) -> Tensor:
        """A tensor like x."""
        return fake_quant(x, self.scale, self.low, self.high, axis=self.axis)

    def simulate(self, x: Tensor) -> Tensor:
        """The same arithmetic in plain torch."""
        return reference(x, self.scale, self.low, self.high, axis=self.axis)
