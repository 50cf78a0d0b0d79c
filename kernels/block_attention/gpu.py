"""block_attention on a GPU: a program a block of queries, over the list of its kept blocks.

    o[i] = sum over kept j of  w[i, j] v[j],   w[i, :] = softmax over kept j of  c q[i] . k[j]

The list is the processor's: compressed rows of key blocks. Scores and sums are float32; products
are those of the tensor cores, for float32 with 10 bits of mantissa. Differs: a block past the last
of k counts as nothing and is no error, for an error would make every call wait for the GPU. The
gradient is the processor's, a row of the list at a time, in torch.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from octavo.kernels.block_attention.gradient import gradient

LOG2_E = 1.4426950408889634
LOWEST = tl.constexpr(-1e30)  # of scores: where nothing was seen yet
block_attention_backward = gradient


@triton.jit
def forward_kernel(
    q, k, v, indptr, indices, lengths, o, H, L, M, ROWS, LISTS, scale,
    SIZE: tl.constexpr, D: tl.constexpr, CAUSAL: tl.constexpr, LENGTHS: tl.constexpr,
    BLOCK: tl.constexpr, WIDE: tl.constexpr, STEP: tl.constexpr,
):  # fmt: skip
    """One program a block of queries, STEP keys at a time; BLOCK, WIDE: powers of two."""
    row, head = tl.program_id(0), tl.program_id(1)  # head counts through the batch
    i, d = tl.arange(0, BLOCK), tl.arange(0, WIDE)
    query = row * SIZE + i
    real = ((i < SIZE) & (query < L))[:, None] & (d < D)[None, :]
    at = (head.to(tl.int64) * L + query)[:, None] * D + d[None, :]
    a = tl.load(q + at, mask=real, other=0.0)
    from_k, from_v = k + head.to(tl.int64) * M * D, v + head.to(tl.int64) * M * D
    most = M
    if LENGTHS:
        most = tl.minimum(M, tl.load(lengths + head // H))
    top = tl.full((BLOCK,), LOWEST, tl.float32)
    total = tl.zeros((BLOCK,), tl.float32)
    sums = tl.zeros((BLOCK, WIDE), tl.float32)
    starts = indptr + (head % LISTS) * (ROWS + 1) + row
    steps = BLOCK // STEP  # of a block of keys
    for n in range(tl.load(starts) * steps, tl.load(starts + 1) * steps):
        j = n % steps * STEP + tl.arange(0, STEP)
        key = tl.load(indices + n // steps) * SIZE + j
        counts = (j < SIZE) & (key < most)
        held = counts[:, None] & (d < D)[None, :]
        b = tl.load(from_k + key.to(tl.int64)[:, None] * D + d[None, :], mask=held, other=0.0)
        c = tl.load(from_v + key.to(tl.int64)[:, None] * D + d[None, :], mask=held, other=0.0)
        keep = counts[None, :]
        if CAUSAL:
            keep = keep & (key[None, :] <= query[:, None])
        score = tl.where(keep, tl.dot(a, tl.trans(b)) * scale, LOWEST)
        higher = tl.maximum(top, tl.max(score, 1))
        weight = tl.where(keep, tl.exp2(score - higher[:, None]), 0.0)
        fade = tl.exp2(top - higher)
        total = total * fade + tl.sum(weight, 1)
        sums = tl.dot(weight.to(c.dtype), c, sums * fade[:, None])
        top = higher
    y = sums / tl.where(total > 0, total, 1.0)[:, None]
    tl.store(o + at, y.to(o.dtype.element_ty), mask=real)


def block_attention(
    q: Tensor, k: Tensor, v: Tensor, indptr: Tensor, indices: Tensor, lengths: Tensor | None,
    size: int, scale: float, causal: bool,
) -> Tensor:  # fmt: skip
    """Attention of q (B, H, L, D) to the kept blocks of k and v (B, H, M, D): (B, H, L, D)."""
    q, k, v = q.contiguous(), k.contiguous(), v.contiguous()
    b, h, n, d = q.shape
    out, rows = torch.empty_like(q), indptr.shape[-1] - 1
    if not out.numel():
        return out
    block, wide = (max(16, triton.next_power_of_2(x)) for x in (size, d))
    step = max(16, min(block, (1 << 14) // (wide * q.element_size())))  # 16 KiB of keys and values
    forward_kernel[(rows, b * h)](
        q, k, v, indptr.contiguous(), indices, lengths, out, h, n, k.shape[2], rows,
        indptr.numel() // (rows + 1), scale * LOG2_E,
        SIZE=size, D=d, CAUSAL=causal, LENGTHS=lengths is not None, BLOCK=block, WIDE=wide,
        STEP=step, num_warps=8 if block > 64 else 4, num_stages=3, enable_fp_fusion=True,
    )  # fmt: skip
    return out
