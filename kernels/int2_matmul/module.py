"""A linear layer with 2-bit or ternary codes, as a module; see `int2_matmul`."""

from __future__ import annotations

from typing import Self

from torch import Tensor, nn

from octavo.kernels.int2_matmul import PackedInt2, int2_matmul, pack, reference, unpack
from octavo.kernels.runtime.packed import Packed, nearest


class Int2Linear(Packed):
    """A linear layer with 2-bit codes (N, K) and scales (N, K / group)."""

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
        """Make the weights of a dense layer ternary: codes in {-1, 0, 1}.

        Each group takes its largest magnitude for the scale, so what is under half of it is 0.
        """
        return cls(*nearest(layer.weight, 2, group), group, layer.bias)

    @property
    def packed(self) -> PackedInt2:
        """The weight as the kernel takes it."""
        return PackedInt2(self.codes, self.scales, self.out_features, self.in_features, self.group)

    def forward(self, x: Tensor) -> Tensor:
        """(..., K) -> (..., N)."""
        return int2_matmul(x, self.packed, self.bias)

    def simulate(self, x: Tensor) -> Tensor:
        """The same arithmetic in plain torch."""
        y = reference(x, *unpack(self.packed), self.group)
        return y if self.bias is None else y + self.bias
