"""A convolution that keeps only some stripes of its filters, as a module; see `stripe_conv2d`."""

from __future__ import annotations

from typing import Self

import torch.nn.functional as F
from torch import Tensor, nn

from octavo.kernels.runtime import geometry
from octavo.kernels.runtime.geometry import Pair
from octavo.kernels.runtime.packed import PackedConv2d
from octavo.kernels.stripe_conv2d import PackedStripes, pack, stripe_conv2d, unpack


class StripeConv2d(PackedConv2d):
    """A convolution with weight (N, C, Kh, Kw), of which keep (N, Kh, Kw) stays."""

    values: Tensor
    filters: Tensor
    starts: Tensor

    def __init__(
        self,
        weight: Tensor,
        keep: Tensor,
        bias: Tensor | None = None,
        stride: Pair = 1,
        padding: Pair = 0,
        dilation: Pair = 1,
    ) -> None:
        super().__init__()
        packed = pack(weight, keep)
        self._hold(bias, values=packed.values, filters=packed.filters, starts=packed.starts)
        self._put(weight.shape[2:], stride, padding, dilation)
        self.shape = packed.shape

    @classmethod
    def from_dense(cls, layer: nn.Conv2d, keep: Tensor) -> Self:
        """Keep the stripes of a dense convolution where keep (N, Kh, Kw) is true."""
        return cls(layer.weight, keep, layer.bias, **geometry.of_layer(layer))

    @property
    def packed(self) -> PackedStripes:
        """The weight as the kernel takes it."""
        return PackedStripes(self.values, self.filters, self.starts, self.shape)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, N, H', W')."""
        return stripe_conv2d(x, self.packed, self.bias, *self.place)

    def simulate(self, x: Tensor) -> Tensor:
        """The same arithmetic in plain torch."""
        weight, _ = unpack(self.packed)
        return F.conv2d(x, weight, self.bias, *self.place)
