"""A linear layer and a convolution that keep only their non-zeros, as modules; see `csr_spmm`."""

from __future__ import annotations

from typing import Self

import torch.nn.functional as F
from torch import Tensor, nn

from octavo.kernels.csr_spmm import PackedCsr, csr_spmm, pack, unpack
from octavo.kernels.csr_spmm.convolution import csr_conv2d
from octavo.kernels.runtime import geometry
from octavo.kernels.runtime.geometry import Pair
from octavo.kernels.runtime.packed import Packed, PackedConv2d


class CsrLinear(Packed):
    """A linear layer that keeps only the non-zeros of weight (N, K)."""

    values: Tensor
    columns: Tensor
    starts: Tensor

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        super().__init__()
        packed = pack(weight.detach().flatten(1))
        self._hold(bias, values=packed.values, columns=packed.columns, starts=packed.starts)
        self.out_features, self.in_features, self.block = packed.n, packed.k, packed.block

    @classmethod
    def from_dense(cls, layer: nn.Linear, keep: Tensor | None = None) -> Self:
        """Keep the weights of a dense layer where keep (N, K) is true, or its non-zeros."""
        return cls(layer.weight if keep is None else layer.weight * keep, layer.bias)

    @property
    def packed(self) -> PackedCsr:
        """The weight as the kernel takes it."""
        tables = (self.values, self.columns, self.starts)
        return PackedCsr(*tables, self.out_features, self.in_features, self.block)

    def forward(self, x: Tensor) -> Tensor:
        """(..., K) -> (..., N)."""
        return csr_spmm(x, self.packed, self.bias)

    def simulate(self, x: Tensor) -> Tensor:
        """The same arithmetic in plain torch."""
        return F.linear(x, unpack(self.packed), self.bias)


class CsrConv2d(PackedConv2d):
    """A convolution that keeps only the non-zeros of weight (N, C, Kh, Kw)."""

    values: Tensor
    columns: Tensor
    starts: Tensor

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Pair = 1,
        padding: Pair = 0,
        dilation: Pair = 1,
    ) -> None:
        super().__init__()
        packed = pack(weight.detach().flatten(1))
        self._hold(bias, values=packed.values, columns=packed.columns, starts=packed.starts)
        self._put(weight.shape[2:], stride, padding, dilation)
        self.n, self.k, self.block = packed.n, packed.k, packed.block

    @classmethod
    def from_dense(cls, layer: nn.Conv2d, keep: Tensor | None = None) -> Self:
        """Keep the weights of a dense convolution where keep is true, or its non-zeros."""
        weight = layer.weight if keep is None else layer.weight * keep
        return cls(weight, layer.bias, **geometry.of_layer(layer))

    @property
    def packed(self) -> PackedCsr:
        """The weight as the kernel takes it."""
        tables = (self.values, self.columns, self.starts)
        return PackedCsr(*tables, self.n, self.k, self.block)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, N, H', W')."""
        return csr_conv2d(x, self.packed, self.kernel, self.bias, *self.place)

    def simulate(self, x: Tensor) -> Tensor:
        """The same arithmetic in plain torch."""
        weight = unpack(self.packed).view(self.n, -1, *self.kernel)
        return F.conv2d(x, weight, self.bias, *self.place)
