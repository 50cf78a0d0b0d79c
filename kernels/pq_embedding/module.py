"""An embedding with a product-quantized table, as a module; see `pq_embedding`."""

from __future__ import annotations

from typing import Self

from torch import Tensor, nn

from octavo.errors import InputError
from octavo.kernels.pq_embedding import PackedPq, encode, pack, pq_embedding, reference
from octavo.kernels.runtime.packed import Packed


class PqEmbedding(Packed):
    """A stand-in for nn.Embedding: codes (V, G) uint8 into books (G, size, piece).

    The codes stay; the books are a parameter, and train.
    """

    codes: Tensor

    def __init__(self, codes: Tensor, books: Tensor) -> None:
        super().__init__()
        packed = pack(codes, books)
        self._hold(None, codes=packed.codes)
        self.books = nn.Parameter(packed.books)
        self.num_embeddings = codes.shape[0]
        self.embedding_dim = books.shape[0] * books.shape[2]

    @classmethod
    def from_dense(cls, layer: nn.Embedding, books: Tensor) -> Self:
        """Give each piece of a dense table the nearest entry of its book (G, size, piece).

        Raises:
            InputError: an embedding with max_norm, which changes its table when called.
        """
        if layer.max_norm is not None:
            raise InputError("embedding with max_norm; its rows change when looked up: keep it")
        return cls(encode(layer.weight.detach(), books), books)

    @property
    def packed(self) -> PackedPq:
        """The table as the kernel takes it."""
        return PackedPq(self.codes, self.books)

    def forward(self, ids: Tensor) -> Tensor:
        """(...) -> (..., d)."""
        return pq_embedding(ids, self.packed)

    def simulate(self, ids: Tensor) -> Tensor:
        """The same in plain torch."""
        return reference(ids, self.codes, self.books)
