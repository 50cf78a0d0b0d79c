"""A linear layer and a convolution with 8-bit codes, as modules; see `int8_matmul`."""

from __future__ import annotations

from typing import Self

from torch import Tensor, nn

from octavo.kernels.int8_matmul import PackedInt8, int8_matmul, pack, reference, unpack
from octavo.kernels.int8_matmul.convolution import int8_conv2d, reference_conv2d
from octavo.kernels.runtime import geometry
from octavo.kernels.runtime.geometry import Pair
from octavo.kernels.runtime.packed import Packed, PackedConv2d, nearest


class Int8Linear(Packed):
    """A linear layer with 8-bit codes (N, K) and scales (N,).

    `step` (1,) is that of all activations (static); without it each row finds its own (dynamic).
    """

    codes: Tensor
    scales: Tensor
    step: Tensor | None

    def __init__(
        self,
        codes: Tensor,
        scales: Tensor,
        bias: Tensor | None = None,
        step: Tensor | None = None,
    ) -> None:
        super().__init__()
        packed = pack(codes.flatten(1), scales)
        self._hold(bias, codes=packed.codes, scales=packed.scales)
        self._hold_step(step)
        self.out_features, self.in_features = packed.n, packed.k

    @classmethod
    def from_dense(cls, layer: nn.Linear, step: Tensor | None = None) -> Self:
        """Round a dense layer to the nearest codes in [-127, 127]."""
        return cls(*nearest(layer.weight, 8, None), layer.bias, step)

    @property
    def packed(self) -> PackedInt8:
        """The weight as the kernel takes it."""
        return PackedInt8(self.codes, self.scales, self.out_features, self.in_features)

    def forward(self, x: Tensor) -> Tensor:
        """(..., K) -> (..., N)."""
        return int8_matmul(x, self.packed, self.bias, self.step)

    def simulate(self, x: Tensor) -> Tensor:
        """The same arithmetic in plain torch."""
        y = reference(x, *unpack(self.packed), self.step)
        return y if self.bias is None else y + self.bias


class Int8Conv2d(PackedConv2d):
    """A convolution with 8-bit codes (N, C, Kh, Kw) and scales (N,); `step` as in Int8Linear."""

    codes: Tensor
    scales: Tensor
    step: Tensor | None

    def __init__(
        self,
        codes: Tensor,
        scales: Tensor,
        bias: Tensor | None = None,
        stride: Pair = 1,
        padding: Pair = 0,
        dilation: Pair = 1,
        step: Tensor | None = None,
    ) -> None:
        super().__init__()
        packed = pack(codes.flatten(1), scales)
        self._hold(bias, codes=packed.codes, scales=packed.scales)
        self._hold_step(step)
        self._put(codes.shape[2:], stride, padding, dilation)
        self.n, self.k = packed.n, packed.k

    @classmethod
    def from_dense(cls, layer: nn.Conv2d, step: Tensor | None = None) -> Self:
        """Round a dense convolution to the nearest codes in [-127, 127]."""
        codes, scales = nearest(layer.weight, 8, None)
        return cls(codes, scales, layer.bias, **geometry.of_layer(layer), step=step)

    @property
    def packed(self) -> PackedInt8:
        """The weight as the kernel takes it."""
        return PackedInt8(self.codes, self.scales, self.n, self.k)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, N, H', W')."""
        return int8_conv2d(x, self.packed, self.kernel, self.bias, *self.place, self.step)

    def simulate(self, x: Tensor) -> Tensor:
        """The same arithmetic in plain torch."""
        sizes = geometry.sizes("Int8Conv2d", self.kernel, *self.place)
        y = reference_conv2d(x, *unpack(self.packed), sizes, self.step)
        return y if self.bias is None else y + self.bias[:, None, None]
