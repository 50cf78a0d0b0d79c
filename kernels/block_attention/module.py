"""Attention over a fixed list of blocks, as a module; see `block_attention`."""

from __future__ import annotations

from torch import Tensor

from octavo.kernels.block_attention import PackedBlocks, block_attention, kept_pairs, reference
from octavo.kernels.runtime.packed import Packed


class BlockAttention(Packed):
    """Attention of q (B, H, L, D) to the kept blocks of k and v (B, H, M, D)."""

    indptr: Tensor
    indices: Tensor

    def __init__(
        self, packed: PackedBlocks, scale: float | None = None, causal: bool = False
    ) -> None:
        super().__init__()
        self._hold(None, indptr=packed.indptr, indices=packed.indices)
        self.size, self.scale, self.causal = packed.size, scale, causal

    @property
    def packed(self) -> PackedBlocks:
        """The list of blocks as the kernel takes it."""
        return PackedBlocks(self.indptr, self.indices, self.size)

    def forward(self, q: Tensor, k: Tensor, v: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, H, L, D) and twice (B, H, M, D) -> (B, H, L, D); lengths (B,) int32 of the keys."""
        scale, causal = self.scale, self.causal
        return block_attention(q, k, v, self.packed, scale=scale, causal=causal, lengths=lengths)

    def simulate(self, q: Tensor, k: Tensor, v: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The same arithmetic in plain torch."""
        keep = kept_pairs(self.packed, q.shape[2], k.shape[2], self.causal, lengths)
        scale = q.shape[-1] ** -0.5 if self.scale is None else self.scale
        return reference(q, k, v, keep, scale)
