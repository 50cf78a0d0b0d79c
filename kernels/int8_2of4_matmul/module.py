"""A linear layer of 8-bit codes, two of four kept, as a module; see `int8_2of4_matmul`."""

from __future__ import annotations

from typing import Self

from torch import Tensor, nn

from octavo.kernels.int8_2of4_matmul import (
    PackedInt8TwoOfFour,
    int8_2of4_matmul,
    pack,
    reference,
    unpack,
)
from octavo.kernels.runtime.packed import Packed, nearest


class Int8TwoOfFourLinear(Packed):
    """A linear layer with 8-bit codes (N, K), two of each four inputs, and scales (N,)."""

    codes: Tensor
    scales: Tensor

    def __init__(self, codes: Tensor, scales: Tensor, bias: Tensor | None = None) -> None:
        super().__init__()
        packed = pack(codes, scales)
        self._hold(bias, codes=packed.codes, scales=packed.scales)
        self.out_features, self.in_features = packed.n, packed.k

    @classmethod
    def from_dense(cls, layer: nn.Linear, keep: Tensor | None = None) -> Self:
        """Round a dense layer, where keep (N, K) is true or all of it, to codes in [-127, 127]."""
        weight = layer.weight if keep is None else layer.weight * keep
        return cls(*nearest(weight, 8, None), layer.bias)

    @property
    def packed(self) -> PackedInt8TwoOfFour:
        """The weight as the kernel takes it."""
        return PackedInt8TwoOfFour(self.codes, self.scales, self.out_features, self.in_features)

    def forward(self, x: Tensor) -> Tensor:
        """(..., K) -> (..., N)."""
        return int8_2of4_matmul(x, self.packed, self.bias)

    def simulate(self, x: Tensor) -> Tensor:
        """The same arithmetic in plain torch."""
        y = reference(x, *unpack(self.packed))
        return y if self.bias is None else y + self.bias
