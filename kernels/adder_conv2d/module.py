"""Layers of an adder network, as modules; see `adder_conv2d` and its `codes`."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn

from octavo.errors import InputError
from octavo.kernels.adder_conv2d import adder_conv2d, reference
from octavo.kernels.adder_conv2d import codes as in_codes
from octavo.kernels.runtime import geometry
from octavo.kernels.runtime.geometry import Pair
from octavo.kernels.runtime.packed import PackedConv2d


class AdderConv2d(PackedConv2d):
    """Distances to filters (N, C, Kh, Kw), negated; it trains with the gradients of AdderNet."""

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Pair = 1,
        padding: Pair = 0,
        dilation: Pair = 1,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.detach().clone())
        self.bias = None if bias is None else nn.Parameter(bias.detach().clone())
        self._put(weight.shape[2:], stride, padding, dilation)

    @classmethod
    def from_dense(cls, layer: nn.Conv2d) -> Self:
        """Start from the filters of a convolution; its answers are others until it is trained."""
        return cls(layer.weight, layer.bias, **geometry.of_layer(layer))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, N, H', W')."""
        return adder_conv2d(x, self.weight, self.bias, *self.place)

    def simulate(self, x: Tensor) -> Tensor:
        """The same arithmetic in plain torch; its own gradients are signs."""
        sizes = geometry.sizes("AdderConv2d", self.kernel, *self.place)
        y = reference(x, self.weight, sizes)
        return y if self.bias is None else y + self.bias[:, None, None]


class AdderConv2dU8(PackedConv2d):
    """An adder layer whose inputs and filters (N, C, Kh, Kw) are 8-bit codes of one grid.

    A number v has the code v / scale + zero, rounded; the answer is a scale times an integer.
    """

    codes: Tensor

    def __init__(
        self,
        filters: Tensor,
        scale: float,
        zero: int,
        bias: Tensor | None = None,
        stride: Pair = 1,
        padding: Pair = 0,
        dilation: Pair = 1,
    ) -> None:
        super().__init__()
        packed = in_codes.pack(filters)
        self._hold(bias, codes=packed.codes)
        self._put(filters.shape[2:], stride, padding, dilation)
        self.shape, self.scale, self.zero = packed.shape, scale, zero

    @classmethod
    def from_adder(cls, layer: AdderConv2d, low: float, high: float) -> Self:
        """Round a trained adder layer; its inputs lie between low and high.

        Raises:
            InputError: no range.
        """
        if not low < high:
            raise InputError(f"AdderConv2dU8: inputs from {low} to {high}; low must be under high")
        weight = layer.weight.detach()
        least, most = min(low, 0.0, float(weight.min())), max(high, 0.0, float(weight.max()))
        scale = (most - least) / 255
        zero = round(-least / scale)
        return cls(_codes_of(weight, scale, zero), scale, zero, layer.bias, *layer.place)

    @property
    def packed(self) -> in_codes.PackedAdder:
        """The filters as the kernel takes them."""
        return in_codes.PackedAdder(self.codes, self.shape)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, N, H', W')."""
        q = _codes_of(x, self.scale, self.zero)
        return self._real(in_codes.adder_conv2d_u8(q, self.packed, *self.place, self.zero))

    def simulate(self, x: Tensor) -> Tensor:
        """The same arithmetic in plain torch."""
        q = _codes_of(x, self.scale, self.zero)
        sizes = geometry.sizes("AdderConv2dU8", self.kernel, *self.place)
        return self._real(in_codes.reference(q, in_codes.unpack(self.packed), self.zero, sizes))

    def _real(self, y: Tensor) -> Tensor:
        """Distances from sums of codes."""
        real = y * self.scale
        return real if self.bias is None else real + self.bias[:, None, None]


def _codes_of(x: Tensor, scale: float, zero: int) -> Tensor:
    """The nearest codes."""
    return (x / scale + zero).round().clamp(0, 255).to(torch.uint8)
