"""A linear layer and a convolution of an N:M or 16x1 pattern, as modules; see `nm_spmm`."""

from __future__ import annotations

from typing import Self

import torch.nn.functional as F
from torch import Tensor, nn

from octavo.kernels.nm_spmm import PackedNm, nm_spmm, pack, unpack
from octavo.kernels.nm_spmm.convolution import channels_last, nm_conv2d, reference_conv2d
from octavo.kernels.nm_spmm.layout import Pattern
from octavo.kernels.runtime import geometry
from octavo.kernels.runtime.geometry import Pair
from octavo.kernels.runtime.packed import Packed, PackedConv2d

TWO_OF_FOUR = Pattern(2, 4, 1)


class NmLinear(Packed):
    """A linear layer whose weight (N, K) has the pattern."""

    values: Tensor
    places: Tensor
    starts: Tensor

    def __init__(
        self, weight: Tensor, pattern: Pattern = TWO_OF_FOUR, bias: Tensor | None = None
    ) -> None:
        super().__init__()
        packed = pack(weight.detach(), *pattern)
        self._hold(bias, values=packed.values, places=packed.places, starts=packed.starts)
        self.out_features, self.in_features = packed.n, packed.k
        self.kept, self.group = packed.kept, packed.group

    @classmethod
    def from_dense(
        cls, layer: nn.Linear, pattern: Pattern = TWO_OF_FOUR, keep: Tensor | None = None
    ) -> Self:
        """The weights of a dense layer where keep (N, K) is true, or its non-zeros."""
        return cls(layer.weight if keep is None else layer.weight * keep, pattern, layer.bias)

    @property
    def packed(self) -> PackedNm:
        """The weight as the kernel takes it."""
        tables = (self.values, self.places, self.starts)
        return PackedNm(*tables, self.out_features, self.in_features, self.kept, self.group)

    def forward(self, x: Tensor) -> Tensor:
        """(..., K) -> (..., N)."""
        return nm_spmm(x, self.packed, self.bias)

    def simulate(self, x: Tensor) -> Tensor:
        """The same arithmetic in plain torch."""
        return F.linear(x, unpack(self.packed), self.bias)


class NmConv2d(PackedConv2d):
    """A convolution whose weight (N, C, Kh, Kw) has the pattern, groups along C."""

    values: Tensor
    places: Tensor
    starts: Tensor

    def __init__(
        self,
        weight: Tensor,
        pattern: Pattern = TWO_OF_FOUR,
        bias: Tensor | None = None,
        stride: Pair = 1,
        padding: Pair = 0,
        dilation: Pair = 1,
    ) -> None:
        super().__init__()
        packed = pack(channels_last(weight.detach()), *pattern)
        self._hold(bias, values=packed.values, places=packed.places, starts=packed.starts)
        self._put(weight.shape[2:], stride, padding, dilation)
        self.n, self.k, self.kept, self.group = packed[3:]

    @classmethod
    def from_dense(
        cls, layer: nn.Conv2d, pattern: Pattern = TWO_OF_FOUR, keep: Tensor | None = None
    ) -> Self:
        """The weights of a dense convolution where keep is true, or its non-zeros."""
        weight = layer.weight if keep is None else layer.weight * keep
        return cls(weight, pattern, layer.bias, **geometry.of_layer(layer))

    @property
    def packed(self) -> PackedNm:
        """The weight as the kernel takes it."""
        tables = (self.values, self.places, self.starts)
        return PackedNm(*tables, self.n, self.k, self.kept, self.group)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, N, H', W')."""
        return nm_conv2d(x, self.packed, self.kernel, self.bias, *self.place)

    def simulate(self, x: Tensor) -> Tensor:
        """The same arithmetic in plain torch."""
        sizes = geometry.sizes("NmConv2d", self.kernel, *self.place)
        y = reference_conv2d(x, unpack(self.packed), sizes)
        return y if self.bias is None else y + self.bias[:, None, None]
