"""A linear layer with 8-bit codes, as a module; see `int8_matmul`."""

from __future__ import annotations

from typing import Self

from torch import Tensor, nn

from octavo.kernels.int8_matmul import PackedInt8, int8_matmul, pack, reference, unpack
from octavo.kernels.runtime.packed import Packed, nearest


class Int8Linear(Packed):
    """A linear layer with 8-bit codes (N, K) and scales (N,)."""

    codes: Tensor
    scales: Tensor

    def __init__(self, codes: Tensor, scales: Tensor, bias: Tensor | None = None) -> None:
        super().__init__()
        packed = pack(codes.flatten(1), scales)
        self._hold(bias, codes=packed.codes, scales=packed.scales)
        self.out_features, self.in_features = packed.n, packed.k

    @classmethod
    def from_dense(cls, layer: nn.Linear) -> Self:
        """Round a dense layer to the nearest codes in [-127, 127]."""
        return cls(*nearest(layer.weight, 8, None), layer.bias)

    @property
    def packed(self) -> PackedInt8:
        """The weight as the kernel takes it."""
        return PackedInt8(self.codes, self.scales, self.out_features, self.in_features)

    def forward(self, x: Tensor) -> Tensor:
        """(..., K) -> (..., N)."""
        return int8_matmul(x, self.packed, self.bias)

    def simulate(self, x: Tensor) -> Tensor:
        """The same arithmetic in plain torch."""
        y = reference(x, *unpack(self.packed))
        return y if self.bias is None else y + self.bias
