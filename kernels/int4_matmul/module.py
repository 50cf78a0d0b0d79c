"""A linear layer and a convolution with 4-bit codes, as modules; see `int4_matmul`."""

from __future__ import annotations

from typing import Self

from torch import Tensor, nn

from octavo.kernels.int4_matmul import PackedInt4, int4_matmul, pack, reference, unpack
from octavo.kernels.int4_matmul.convolution import int4_conv2d, reference_conv2d
from octavo.kernels.runtime import geometry
from octavo.kernels.runtime.geometry import Pair
from octavo.kernels.runtime.packed import Packed, PackedConv2d, nearest


class Int4Linear(Packed):
    """A linear layer with 4-bit codes (N, K) and scales (N, K / group)."""

    codes: Tensor
    scales: Tensor

    def __init__(
        self, codes: Tensor, scales: Tensor, group: int | None = None, bias: Tensor | None = None
    ) -> None:
        super().__init__()
        packed = pack(codes.flatten(1), scales, group)
        self._hold(bias, codes=packed.codes, scales=packed.scales)
        self.out_features, self.in_features, self.group = packed.n, packed.k, packed.group

    @classmethod
    def from_dense(cls, layer: nn.Linear, group: int | None = None) -> Self:
        """Round a dense layer to the nearest codes in [-7, 7]."""
        return cls(*nearest(layer.weight, 4, group), group, layer.bias)

    @property
    def packed(self) -> PackedInt4:
        """The weight as the kernel takes it."""
        return PackedInt4(self.codes, self.scales, self.out_features, self.in_features, self.group)

    def forward(self, x: Tensor) -> Tensor:
        """(..., K) -> (..., N)."""
        return int4_matmul(x, self.packed, self.bias)

    def simulate(self, x: Tensor) -> Tensor:
        """The same arithmetic in plain torch."""
        y = reference(x, *unpack(self.packed), self.group)
        return y if self.bias is None else y + self.bias


class Int4Conv2d(PackedConv2d):
    """A convolution with 4-bit codes (N, C, Kh, Kw); scales (N, groups) run over C * Kh * Kw."""

    codes: Tensor
    scales: Tensor

    def __init__(
        self,
        codes: Tensor,
        scales: Tensor,
        group: int | None = None,
        bias: Tensor | None = None,
        stride: Pair = 1,
        padding: Pair = 0,
        dilation: Pair = 1,
    ) -> None:
        super().__init__()
        packed = pack(codes.flatten(1), scales, group)
        self._hold(bias, codes=packed.codes, scales=packed.scales)
        self._put(codes.shape[2:], stride, padding, dilation)
        self.n, self.k, self.group = packed.n, packed.k, packed.group

    @classmethod
    def from_dense(cls, layer: nn.Conv2d, group: int | None = None) -> Self:
        """Round a dense convolution to the nearest codes in [-7, 7]."""
        codes, scales = nearest(layer.weight, 4, group)
        return cls(codes, scales, group, layer.bias, **geometry.of_layer(layer))

    @property
    def packed(self) -> PackedInt4:
        """The weight as the kernel takes it."""
        return PackedInt4(self.codes, self.scales, self.n, self.k, self.group)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, N, H', W')."""
        return int4_conv2d(x, self.packed, self.kernel, self.bias, *self.place)

    def simulate(self, x: Tensor) -> Tensor:
        """The same arithmetic in plain torch."""
        sizes = geometry.sizes("Int4Conv2d", self.kernel, *self.place)
        y = reference_conv2d(x, *unpack(self.packed), self.group, sizes)
        return y if self.bias is None else y + self.bias[:, None, None]
