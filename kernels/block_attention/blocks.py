"""Lists of kept blocks: one row of key blocks for each block of queries, in compressed rows.

`indices` holds the kept key blocks of row after row, ascending within each; `indptr` says where a
row starts and the next begins. One list serves all heads, or each head has its own, or each head of
each batch entry, as gates do that look at the input (MoBA, SeerAttention): then the lists follow
one another in `indices`. The packed form is this and a version; it is the same everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from octavo.errors import InputError
from octavo.kernels.runtime import door

VERSION = 1
LEAST, MOST = 16, 128  # queries and keys in a block


class PackedBlocks(NamedTuple):
    """Which blocks of keys each block of queries attends to."""

    indptr: Tensor  # (rows + 1,), (H, rows + 1) or (B, H, rows + 1) int32, into indices
    indices: Tensor  # (kept,) int32
    size: int  # queries and keys in a block

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and JSON-ready facts to save; `load` takes them back."""
        meta = {"format": "blocks", "version": VERSION, "size": self.size}
        return {"indptr": self.indptr, "indices": self.indices}, meta


def load(tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> PackedBlocks:
    """A list of blocks from its saved state."""
    door.check_state("block_attention", meta, VERSION, ("size",))
    return pack(tensors["indptr"], tensors["indices"], meta["size"])


def pack(indptr: Tensor, indices: Tensor, size: int) -> PackedBlocks:
    """A list of blocks from compressed rows, checked once.

    Raises:
        InputError: another dtype, a size out of range, rows that do not follow one another, or a
            row whose blocks do not ascend.

    >>> pack(torch.tensor([0, 1, 3]), torch.tensor([0, 0, 1]), 16).indices.tolist()
    [0, 0, 1]
    """
    if not LEAST <= size <= MOST:
        raise InputError(f"block_attention: blocks of {size}; the size must be {LEAST} to {MOST}")
    whole = (torch.int32, torch.int64)
    if indptr.dtype not in whole or indices.dtype not in whole or not 1 <= indptr.dim() <= 3:
        raise InputError(
            f"block_attention: indptr is {indptr.dtype} {tuple(indptr.shape)}, indices are "
            f"{indices.dtype}; both must be int32 or int64, indptr with up to 3 dimensions"
        )
    lists = indptr.reshape(-1, indptr.shape[-1])
    starts, ends = lists[:, :-1].flatten(), lists[:, 1:].flatten()  # of each row
    follows = torch.cat((starts, starts.new_tensor([indices.numel()])))
    expected = torch.cat((ends.new_tensor([0]), ends))
    if not torch.equal(follows, expected) or (ends < starts).any() or indices.dim() != 1:
        raise InputError(
            "block_attention: indptr must start at 0, never fall, and end at the length of "
            "indices; a head's list starts where the one before ends"
        )
    first = torch.zeros(indices.numel() + 1, dtype=torch.bool)
    first[starts.long()] = True
    rises = (indices[1:] > indices[:-1]) | first[1 : indices.numel()]
    if (indices < 0).any() or not rises.all():
        raise InputError("block_attention: the blocks of a row must ascend from 0 on")
    return PackedBlocks(indptr.int().contiguous(), indices.int().contiguous(), size)


def from_mask(mask: Tensor, size: int) -> PackedBlocks:
    """The blocks where mask (rows, blocks), (H, rows, blocks) or (B, H, rows, blocks) is true.

    Raises:
        InputError: another dtype or shape, or a size out of range.

    >>> from_mask(torch.eye(3, dtype=torch.bool), 64).indptr.tolist()
    [0, 1, 2, 3]
    """
    if mask.dtype != torch.bool or not 2 <= mask.dim() <= 4 or not mask.shape[-2]:
        raise InputError(
            f"block_attention: mask is {mask.dtype} {tuple(mask.shape)}; it must be bool "
            "(rows, blocks), with (H,) or (B, H) in front where heads differ"
        )
    rows = mask.shape[-2]
    ends = F.pad(mask.sum(-1).flatten().cumsum(0), (1, 0))  # (all rows + 1,)
    indptr = ends.unfold(0, rows + 1, rows).reshape(*mask.shape[:-2], rows + 1)
    return pack(indptr, mask.nonzero()[:, -1], size)


def to_mask(packed: PackedBlocks, blocks: int) -> Tensor:
    """The list as a mask over `blocks` blocks of keys: (..., rows, blocks) bool."""
    counts = packed.indptr.diff().long()  # (..., rows)
    rows = torch.arange(counts.numel()).repeat_interleave(counts.flatten())
    mask = torch.zeros(counts.numel(), blocks, dtype=torch.bool)
    mask[rows, packed.indices.long()] = True
    return mask.view(*counts.shape, blocks)


def kept_pairs(
    packed: PackedBlocks, queries: int, keys: int, causal: bool, lengths: Tensor | None
) -> Tensor:
    """Which key each query attends to: bool, that broadcasts to (B, H, queries, keys)."""
    size = packed.size
    keep = to_mask(packed, -(-keys // size)).repeat_interleave(size, -2)
    keep = keep.repeat_interleave(size, -1)[..., :queries, :keys]
    if causal:
        keep = keep & torch.ones(queries, keys, dtype=torch.bool).tril()
    if lengths is not None:
        keep = keep & (torch.arange(keys) < lengths[:, None, None, None])
    return keep


def local_global_blocks(blocks: int, size: int, *, window: int, ends: int) -> PackedBlocks:
    """Each block attends to its neighbours and to the first blocks, which attend to all.

    window: blocks on each side; ends: how many first blocks are global.
    Source: Longformer (arXiv 2004.05150), section 3.1.

    >>> to_mask(local_global_blocks(4, 16, window=0, ends=1), 4).int().tolist()
    [[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 1, 0], [1, 0, 0, 1]]
    """
    at = torch.arange(blocks)
    mask = (at[:, None] - at).abs() <= window
    return from_mask(mask | (at < ends) | (at[:, None] < ends), size)


def bigbird_blocks(
    blocks: int,
    size: int,
    *,
    generator: torch.Generator,
    heads: int = 1,
    window: int = 1,
    ends: int = 1,
    random: int = 3,
) -> PackedBlocks:
    """Neighbours on each side, `ends` global blocks at either end, `random` more for each row.

    Each head draws its own. Differs: the global blocks stand at both ends, as in the authors' code.
    Source: BigBird (arXiv 2007.14062), section 2 and appendix D.

    >>> packed = bigbird_blocks(16, 64, generator=torch.Generator().manual_seed(0), heads=12)
    >>> to_mask(packed, 16)[:, 5].sum(-1).tolist() == [3 + 2 + 3] * 12
    True
    """
    at = torch.arange(blocks)
    edge = (at < ends) | (at >= blocks - ends)
    fixed = ((at[:, None] - at).abs() <= window) | edge | edge[:, None]
    chance = torch.rand(heads, blocks, blocks, generator=generator).masked_fill(fixed, -1)
    drawn = chance.topk(min(random, blocks), -1).indices
    return from_mask(fixed.expand_as(chance).scatter(-1, drawn, True), size)
