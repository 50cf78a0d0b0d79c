"""block_attention on a GPU against dense attention, and FlexAttention with the same blocks."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from octavo.kernels.bars import Case, seeded
from octavo.kernels.block_attention import bigbird_blocks, gpu, to_mask
from octavo.kernels.timing import Call

SHAPES = [(4, 12, 4096, 64, 64), (4, 12, 16384, 64, 64)]
QUICK = SHAPES[:1]
TINY = (1, 1, 64, 16, 16)


def case(device: str, batch: int, heads: int, length: int, d: int, size: int) -> Case:
    """BigBird's list of blocks, float16."""
    shape = (batch, heads, length, d)
    q, k, v = (torch.randn(shape, generator=seeded(s)).to(device, torch.float16) for s in range(3))
    packed = bigbird_blocks(length // size, size, generator=seeded(3))
    indptr, indices = packed.indptr.to(device), packed.indices.to(device)
    kept = int(indices.numel()) * size * size
    peers: dict[str, Call] = {"sdpa": lambda: F.scaled_dot_product_attention(q, k, v)}
    if device == "cuda":
        peers["flex_attention"] = _flex(q, k, v, to_mask(packed, length // size), size)
    return Case(
        "block_attention",
        f"{batch}x{heads}x{length}x{d} blocks of {size}, {kept / length**2:.0%} kept",
        4.0 * batch * heads * kept * d,
        lambda: gpu.block_attention(q, k, v, indptr, indices, None, size, d**-0.5, False),
        peers,
        bar_id="G6",
        limit="bf16 dense",
    )


def _flex(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor, size: int) -> Call:
    """The compiled FlexAttention of torch over the same blocks."""
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    kept, length = mask.to(q.device), q.shape[2]

    def keep(b: torch.Tensor, h: torch.Tensor, i: torch.Tensor, j: torch.Tensor) -> torch.Tensor:
        return kept[i // size, j // size]

    blocks = create_block_mask(keep, None, None, length, length, device="cuda", BLOCK_SIZE=size)
    compiled = torch.compile(flex_attention, dynamic=False)
    return lambda: compiled(q, k, v, block_mask=blocks)
