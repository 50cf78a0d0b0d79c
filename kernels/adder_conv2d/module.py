"""A layer of an adder network, as a module; see `adder_conv2d`."""

from __future__ import annotations

from typing import Self

from torch import Tensor, nn

from octavo.kernels.adder_conv2d import adder_conv2d, reference
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
