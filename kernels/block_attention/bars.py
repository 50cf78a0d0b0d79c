"""block_attention against torch: attention to all keys, the same with a mask, FlexAttention."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from octavo.kernels.bars import Case, seeded
from octavo.kernels.block_attention import (
    PackedBlocks,
    bigbird_blocks,
    block_attention,
    from_mask,
    to_mask,
)
from octavo.kernels.curves import curve
from octavo.kernels.timing import Call

HEADS, D = 12, 64
SHARE = 0.8  # of what leaving blocks out can give at most, 1 / density


def cases(quick: bool) -> Iterator[Case]:
    """12 heads of 64: a share of the blocks of 64, drawn at random; other sizes of a block."""
    if quick:
        yield _dense(1024, 64, 0.15)
        return
    yield _flex(4096, 64, 0.15, torch.float32, "K26")
    yield _flex(4096, 64, 0.15, torch.bfloat16, "K26-bfloat16")
    for size, density in ((16, 0.15), (32, 0.15), (128, 0.15), (64, 0.05), (64, 0.5)):
        yield _dense(4096, size, density)


def crossovers(quick: bool) -> Iterator[dict[str, Any]]:
    """By the share of kept blocks, and by length at BigBird's own list."""
    length = 1024 if quick else 4096
    shares = (0.125, 0.5, 1.0) if quick else (0.03125, 0.0625, 0.125, 0.25, 0.5, 0.75, 1.0)
    place = f"{length} positions, {HEADS} heads of {D}, blocks of 64"
    yield curve(
        place, "share of the blocks that is kept", shares, lambda share: _at(length, float(share))
    )
    lengths = (512, 1024) if quick else (512, 1024, 2048, 4096)
    yield curve(
        "BigBird, blocks of 64: 3 near, 2 at the ends, 3 random", "positions", lengths, _bird
    )


def _at(length: int, share: float) -> dict[str, Call]:
    """Ours and all of the keys, at this share of kept blocks."""
    packed, (q, k, v) = _list(length, 64, share), _inputs(length)
    return {
        "block_attention": lambda: block_attention(q, k, v, packed),
        "sdpa": lambda: F.scaled_dot_product_attention(q, k, v),
    }


def _bird(length: float) -> dict[str, Call]:
    """Ours and all of the keys, at this length."""
    q, k, v = _inputs(int(length))
    packed = bigbird_blocks(int(length) // 64, 64, generator=seeded(), heads=HEADS)
    return {
        "block_attention": lambda: block_attention(q, k, v, packed),
        "sdpa": lambda: F.scaled_dot_product_attention(q, k, v),
    }


def _inputs(length: int, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """q, k and v: (1, H, L, D)."""
    return [torch.randn(1, HEADS, length, D, generator=seeded(i)).to(dtype) for i in range(3)]


def _list(length: int, size: int, density: float) -> PackedBlocks:
    """The same number of blocks in every row, drawn at random."""
    blocks = length // size
    drawn = torch.rand(blocks, blocks, generator=seeded()).topk(max(1, round(density * blocks)))
    mask = torch.zeros(blocks, blocks, dtype=torch.bool).scatter(-1, drawn.indices, True)
    return from_mask(mask, size)


def _case(
    packed: PackedBlocks, inputs: list[Tensor], peers: dict[str, Call], bar_id: str | None = None
) -> Case:
    """A case of ours against attention to all keys, and against these peers.

    Without a bar of its own it must give SHARE of what leaving blocks out can.
    """
    q, k, v = inputs
    length, kept = q.shape[2], packed.indices.numel() * packed.size**2
    share, kind = kept / length**2, "float32" if q.dtype == torch.float32 else "bfloat16"
    return Case(
        "block_attention",
        f"{length} tokens, {HEADS} heads of {D}, blocks of {packed.size}, {share:.0%} kept, {kind}",
        4.0 * kept * HEADS * D,
        lambda: block_attention(q, k, v, packed),
        {"sdpa": lambda: F.scaled_dot_product_attention(q, k, v), **peers},
        bar=SHARE / share,
        bar_id=bar_id,
        limit="fma",
        kept=share,
    )


def _dense(length: int, size: int, density: float) -> Case:
    packed, (q, k, v) = _list(length, size, density), _inputs(length)
    kept = to_mask(packed, length // size)
    mask = kept.repeat_interleave(size, 0).repeat_interleave(size, 1)
    masked: dict[str, Call] = {"sdpa, mask": lambda: F.scaled_dot_product_attention(q, k, v, mask)}
    return _case(packed, [q, k, v], masked)


def _flex(length: int, size: int, density: float, dtype: torch.dtype, bar_id: str) -> Case:
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
    peers: dict[str, Call] = {"flex_attention": lambda: compiled(q, k, v, block_mask=mask)}
    return _case(packed, [q, k, v], peers, bar_id)
