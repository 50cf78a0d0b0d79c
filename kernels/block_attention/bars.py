"""block_attention against torch: attention to all keys, the same with a mask, FlexAttention."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from octavo.kernels.bars import Case, seeded
from octavo.kernels.block_attention import PackedBlocks, block_attention, from_mask, to_mask
from octavo.kernels.timing import Call

HEADS, D = 12, 64
SHARE = 0.8  # of what leaving blocks out can give at most, 1 / density


def cases(quick: bool) -> Iterator[Case]:
    """12 heads of 64: a share of the blocks of 64, drawn at random; other sizes of a block."""
    yield _dense(1024 if quick else 4096, 64, 0.15)
    if quick:
        return
    for size in (16, 32, 128):
        yield _dense(4096, size, 0.15)
    for density in (0.05, 0.5):
        yield _dense(4096, 64, density)
    for dtype, bar in ((torch.float32, 1.4), (torch.bfloat16, 3.0)):
        yield _flex(4096, 64, 0.15, dtype, bar)


def _inputs(length: int, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """q, k and v: (1, H, L, D)."""
    return [torch.randn(1, HEADS, length, D, generator=seeded(i)).to(dtype) for i in range(3)]


def _list(length: int, size: int, density: float) -> PackedBlocks:
    """The same number of blocks in every row, drawn at random."""
    blocks = length // size
    drawn = torch.rand(blocks, blocks, generator=seeded()).topk(max(1, round(density * blocks)))
    mask = torch.zeros(blocks, blocks, dtype=torch.bool).scatter(-1, drawn.indices, True)
    return from_mask(mask, size)


def _case(packed: PackedBlocks, inputs: list[Tensor], peers: dict[str, Call], bar: float) -> Case:
    """A case of ours against these peers."""
    q, k, v = inputs
    length, kept = q.shape[2], packed.indices.numel() * packed.size**2
    kind = "float32" if q.dtype == torch.float32 else "bfloat16"
    return Case(
        "block_attention",
        f"{length} positions, {HEADS} heads of {D}, blocks of {packed.size}, "
        f"{kept / length**2:.1%} kept, {kind}",
        4.0 * kept * HEADS * D,
        lambda: block_attention(q, k, v, packed),
        peers,
        bar=bar,
    )


def _dense(length: int, size: int, density: float) -> Case:
    packed, (q, k, v) = _list(length, size, density), _inputs(length)
    kept = to_mask(packed, length // size)
    mask = kept.repeat_interleave(size, 0).repeat_interleave(size, 1)
    peers: dict[str, Call] = {
        "sdpa": lambda: F.scaled_dot_product_attention(q, k, v),
        "sdpa, mask": lambda: F.scaled_dot_product_attention(q, k, v, mask),
    }
    return _case(packed, [q, k, v], peers, SHARE / float(kept.float().mean()))


def _flex(length: int, size: int, density: float, dtype: torch.dtype, bar: float) -> Case:
    """FlexAttention, compiled, told the same list: full blocks, nothing masked inside them."""
    packed, (q, k, v) = _list(length, size, density), _inputs(length, dtype)
    blocks = length // size
    listed = packed.indices.view(1, 1, blocks, -1)  # every row keeps as many
    columns = F.pad(listed, (0, blocks - listed.shape[-1]))
    counts = torch.full((1, 1, blocks), listed.shape[-1], dtype=torch.int32)
    nothing = torch.zeros_like(counts)  # no block is kept in part
    mask = BlockMask.from_kv_blocks(
        nothing, torch.zeros_like(columns), counts, columns, BLOCK_SIZE=size
    )
    compiled = torch.compile(flex_attention)
    peers: dict[str, Call] = {"flex attention": lambda: compiled(q, k, v, block_mask=mask)}
    return _case(packed, [q, k, v], peers, bar)
