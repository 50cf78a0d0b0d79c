"""A linear layer with weights of one bit, as a module; see `binary_matmul` and its `xnor`."""

from __future__ import annotations

from typing import Self

from torch import Tensor, nn

from octavo.kernels.binary_matmul import PackedBinary, binary_matmul, pack, reference, unpack, xnor
from octavo.kernels.runtime.packed import Packed


class BinaryLinear(Packed):
    """A linear layer with weights of one bit (N, K) and scales (N,).

    Activations are quantized to 8 bits, or taken by their signs alone where `signs` is true.
    """

    codes: Tensor
    scales: Tensor

    def __init__(
        self, codes: Tensor, scales: Tensor, bias: Tensor | None = None, signs: bool = False
    ) -> None:
        super().__init__()
        packed = pack(codes.flatten(1), scales)
        self._hold(bias, codes=packed.codes, scales=packed.scales)
        self.out_features, self.in_features, self.signs = packed.n, packed.k, signs

    @classmethod
    def from_dense(cls, layer: nn.Linear, signs: bool = False) -> Self:
        """Take the signs of a dense layer, and the mean magnitude of each row as its scale."""
        weight = layer.weight.detach()
        codes = (weight >= 0).char() * 2 - 1
        return cls(codes, weight.abs().mean(1), layer.bias, signs)

    @property
    def packed(self) -> PackedBinary:
        """The weight as the kernels take it."""
        return PackedBinary(self.codes, self.scales, self.out_features, self.in_features)

    def forward(self, x: Tensor) -> Tensor:
        """(..., K) -> (..., N)."""
        call = xnor.xnor_matmul if self.signs else binary_matmul
        return call(x, self.packed, self.bias)

    def simulate(self, x: Tensor) -> Tensor:
        """The same arithmetic in plain torch."""
        weight = unpack(self.packed)
        if self.signs:
            y = xnor.reference(xnor.reference_binarize(x), *weight)
        else:
            y = reference(x, *weight)
        return y if self.bias is None else y + self.bias
