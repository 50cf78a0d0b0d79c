"""int4_matmul on a GPU: weights of 4 bits, activations of 16 (or 32, as tensor floats).

    y[m, n] = sum_k x[m, k] * w[n, k]   (+ bias[n]),   w[n, k] = x.dtype(s[n, k / group] * c[n, k])

Differs from the processor's kernels: they round activations to 8 bits, because integer products
are what they have; here the weight is widened in registers and goes to the tensor cores with x as
it is. The weight is read from the same panels: a 32-bit word holds 8 inputs of a column (input j
in byte j % 4, the high half for j >= 4) and 64 columns lie side by side. Few rows do not fill the
GPU, so K is split; the parts are added in a fixed order: the same bits every time.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

COLUMNS = tl.constexpr(64)
WIDE = tl.constexpr(0x4B000000)  # the bits of 2^23 as a float: with q in the low bits, 2^23 + q
ZERO = tl.constexpr(8388616.0)  # 2^23 + 8
BLOCKS = 264  # blocks that fill a GPU: two for each of 132 processors


class Tile(NamedTuple):
    """How a product is cut up."""

    m: int
    n: int
    k: int
    warps: int
    stages: int


@triton.jit
def matmul_kernel(
    x, words, scales, bias, out, M, N, K, GROUPS, SPAN,
    GROUP: tl.constexpr, BIAS: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """One program a tile of y (BLOCK_M, BLOCK_N), over SPAN of the inputs from part * SPAN on."""
    part = tl.program_id(2)
    rows = tl.program_id(1) * BLOCK_M + tl.arange(0, BLOCK_M)
    cols = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    deep = tl.cdiv(K, 8)  # words of a column
    inner, depth = tl.arange(0, BLOCK_K), tl.arange(0, BLOCK_K // 8)
    inside = (cols < tl.cdiv(N, COLUMNS) * COLUMNS)[None, :]  # the last panel is padded
    panel, place = (cols // COLUMNS).to(tl.int64), cols % COLUMNS
    from_x = x + rows.to(tl.int64)[:, None] * K
    from_words = words + (panel * deep * COLUMNS + place)[None, :]
    from_scales = scales + (panel * GROUPS * COLUMNS + place)[None, :]
    nibble = tl.arange(0, 8)
    shift = ((nibble % 4) * 8 + (nibble // 4) * 4)[None, :, None]
    sums = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for k in range(part * SPAN, min(K, part * SPAN + SPAN), BLOCK_K):
        within = (rows < M)[:, None] & (k + inner < K)[None, :]
        a = tl.load(from_x + (k + inner)[None, :], mask=within, other=0.0)
        w = k // 8 + depth
        held = (w < deep)[:, None] & inside
        word = tl.load(from_words + (w * COLUMNS)[:, None], mask=held, other=0)
        if GROUP % BLOCK_K == 0:  # a group an iteration, or less
            s = tl.load(from_scales + k // GROUP * COLUMNS, mask=inside, other=0.0)
        else:
            s = tl.load(from_scales + (w * 8 // GROUP * COLUMNS)[:, None], mask=held, other=0.0)
        code = ((word[:, None, :] >> shift) & 15) | WIDE
        value = (code.to(tl.float32, bitcast=True) - ZERO) * s[:, None, :]
        b = tl.reshape(value.to(a.dtype), (BLOCK_K, BLOCK_N))
        sums = tl.dot(a, b, sums)
    if BIAS:
        sums += tl.load(bias + cols, mask=cols < N, other=0.0).to(tl.float32)[None, :]
    to = out + (part * M + rows).to(tl.int64)[:, None] * N + cols[None, :]
    tl.store(to, sums.to(out.dtype.element_ty), mask=(rows < M)[:, None] & (cols < N)[None, :])


def tile(m: int, dtype: torch.dtype) -> Tile:
    """How to cut up a product of m rows."""
    if m <= 16:
        return Tile(16, 64, 128, 4, 4)
    wide = dtype == torch.float32  # twice the shared memory an element
    return (
        Tile(64, 64, 64, 4, 3 if wide else 4)
        if m <= 64
        else Tile(128, 128, 32 if wide else 64, 8, 3)
    )


def parts(m: int, n: int, k: int, cut: Tile) -> tuple[int, int]:
    """In how many parts to take K, and the inputs of a part."""
    blocks, steps = triton.cdiv(m, cut.m) * triton.cdiv(n, cut.n), triton.cdiv(k, cut.k)
    span = cut.k * triton.cdiv(steps, max(1, min(BLOCKS // blocks, steps // 4)))
    return triton.cdiv(k, span), span


def reference(x: Tensor, codes: Tensor, scales: Tensor) -> Tensor:
    """The oracle, in torch: x (M, K), codes (N, K), scales (N, G) -> (M, N) float32."""
    weight = codes * scales.repeat_interleave(codes.shape[1] // scales.shape[1], 1)  # (N, K)
    return x.float() @ weight.to(x.dtype).float().T


def int4_matmul(
    x: Tensor, codes: Tensor, scales: Tensor, bias: Tensor | None, n: int, k: int, group: int
) -> Tensor:
    """Multiply x (..., K) by packed codes and scales, add bias (N,): (..., N), like x."""
    rows = x.reshape(-1, k).contiguous()  # (M, K)
    m = len(rows)
    out = x.new_empty((*x.shape[:-1], n))
    if not out.numel():
        return out
    cut = tile(m, x.dtype)
    count, span = parts(m, n, k, cut)
    whole = count == 1
    to = out if whole else torch.empty(count, m, n, dtype=torch.float32, device=x.device)
    grid = (triton.cdiv(n, cut.n), triton.cdiv(m, cut.m), count)
    matmul_kernel[grid](
        rows, codes.view(torch.int32), scales, bias, to, m, n, k, k // group, span,
        GROUP=group, BIAS=whole and bias is not None, BLOCK_M=cut.m, BLOCK_N=cut.n, BLOCK_K=cut.k,
        num_warps=cut.warps, num_stages=cut.stages, enable_fp_fusion=True,
    )  # fmt: skip
    if not whole:
        y = to.sum(0)
        out.copy_((y if bias is None else y + bias).view(out.shape))
    return out
