"""A linear layer with a product-quantized weight, as a module; see `pq_matmul`."""

from __future__ import annotations

from typing import Self

from torch import Tensor, nn

from octavo.kernels.pq_embedding import encode
from octavo.kernels.pq_matmul import PackedPqWeight, pack, pq_matmul, reference, unpack
from octavo.kernels.runtime.packed import Packed


class PqLinear(Packed):
    """A linear layer with codes (N, G) uint8 into books (G, size, piece)."""

    codes: Tensor
    books: Tensor

    def __init__(self, codes: Tensor, books: Tensor, bias: Tensor | None = None) -> None:
        super().__init__()
        packed = pack(codes, books)
        self._hold(bias, codes=packed.codes, books=packed.books)
        self.out_features, self.in_features = packed.n, packed.k

    @classmethod
    def from_dense(cls, layer: nn.Linear, books: Tensor) -> Self:
        """Give each piece of a dense weight the nearest entry of its book (G, size, piece)."""
        return cls(encode(layer.weight.detach(), books), books, layer.bias)

    @property
    def packed(self) -> PackedPqWeight:
        """The weight as the kernel takes it."""
        return PackedPqWeight(self.codes, self.books, self.out_features, self.in_features)

    def forward(self, x: Tensor) -> Tensor:
        """(..., K) -> (..., N)."""
        return pq_matmul(x, self.packed, self.bias)

    def simulate(self, x: Tensor) -> Tensor:
        """The same arithmetic in plain torch."""
        y = reference(x, *unpack(self.packed))
        return y if self.bias is None else y + self.bias
