"""int8_matmul on a GPU: rows quantized by one kernel, multiplied by another on the tensor cores.

    q, a = quantize(x),   y[m, n] = float(sum_k q[m, k] * c[n, k]) * (a[m] * s[n])   (+ bias[n])

The 32-bit sums are those of the processor's kernels, and so are the roundings: for float32 x the
answer is the same to the last bit. The weight is read from the same panels: a 32-bit word holds 4
inputs of a column, 64 columns lie side by side, and 128 is taken off the codes by flipping the
high bit of each byte. x may be float32, float16 or bfloat16; y is like x.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from octavo.kernels.runtime.activations import LEVELS, TINY

EVEN = tl.constexpr(12582912.0)  # 1.5 * 2^23: adding it rounds to an integer, ties to even
LEAST = tl.constexpr(TINY)
MOST = tl.constexpr(LEVELS)
COLUMNS = tl.constexpr(64)
FLIP = tl.constexpr(-2139062144)  # 0x80808080


@triton.jit
def quantize_rows_kernel(x, known, codes, steps, K, HELD: tl.constexpr, BLOCK: tl.constexpr):
    """One program a row: its largest magnitude, then its codes. A row that is not finite: NaN.

    HELD: codes are by the known step, held to 127.
    """
    row = tl.program_id(0).to(tl.int64)
    span = tl.arange(0, BLOCK)
    top = tl.zeros((BLOCK,), tl.float32)
    for k in range(0, K, BLOCK):
        v = tl.abs(tl.load(x + row * K + k + span, mask=k + span < K, other=0.0).to(tl.float32))
        top = tl.maximum(top, tl.where(v < float("inf"), v, float("inf")))
    most = tl.maximum(tl.max(top, 0), LEAST)
    step = tl.load(known) if HELD else tl.div_rn(most, MOST)
    inverse = tl.div_rn(1.0, step) if HELD else tl.div_rn(MOST, most)
    for k in range(0, K, BLOCK):
        v = tl.load(x + row * K + k + span, mask=k + span < K, other=0.0).to(tl.float32)
        v = v * inverse
        if HELD:
            v = tl.minimum(tl.maximum(v, -MOST), MOST)
        code = (v + EVEN) - EVEN
        tl.store(codes + row * K + k + span, code.to(tl.int8), mask=k + span < K)
    tl.store(steps + row, tl.where(most < float("inf"), step, float("nan")))


@triton.jit
def matmul_kernel(
    q, steps, words, scales, bias, out, M, N, K,
    BIAS: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """One program a tile of y (BLOCK_M, BLOCK_N)."""
    rows = tl.program_id(1) * BLOCK_M + tl.arange(0, BLOCK_M)
    cols = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    deep = tl.cdiv(K, 4)  # words of a column
    inner, depth = tl.arange(0, BLOCK_K), tl.arange(0, BLOCK_K // 4)
    last = tl.cdiv(N, COLUMNS) * COLUMNS  # columns with the padding of the last panel
    at = (cols // COLUMNS).to(tl.int64) * deep * COLUMNS + cols % COLUMNS
    from_q = q + rows.to(tl.int64)[:, None] * K
    sums = tl.zeros((BLOCK_M, BLOCK_N), tl.int32)
    for k in range(0, K, BLOCK_K):
        a = tl.load(
            from_q + (k + inner)[None, :],
            mask=(rows < M)[:, None] & (k + inner < K)[None, :], other=0,
        )  # fmt: skip
        word = tl.load(
            words + at[None, :] + ((k // 4 + depth) * COLUMNS)[:, None],
            mask=(k // 4 + depth < deep)[:, None] & (cols < last)[None, :], other=0,
        )  # fmt: skip
        four = (word ^ FLIP)[:, None, :] >> (tl.arange(0, 4) * 8)[None, :, None]
        b = tl.reshape(four.to(tl.int8), (BLOCK_K, BLOCK_N))
        sums = tl.dot(a, b, sums, out_dtype=tl.int32)
    step = tl.load(steps + rows, mask=rows < M, other=0.0)
    scale = tl.load(scales + cols, mask=cols < last, other=0.0)
    y = sums.to(tl.float32) * (step[:, None] * scale[None, :])
    if BIAS:
        y += tl.load(bias + cols, mask=cols < N, other=0.0).to(tl.float32)[None, :]
    place = out + rows.to(tl.int64)[:, None] * N + cols[None, :]
    tl.store(place, y.to(out.dtype.element_ty), mask=(rows < M)[:, None] & (cols < N)[None, :])


def quantize_rows(x: Tensor, known: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Codes (M, K) int8 and steps (M,) float32 of the rows of x (M, K), by a known step (1,)."""
    m, k = x.shape
    codes = torch.empty(m, k, dtype=torch.int8, device=x.device)
    steps = torch.empty(m, dtype=torch.float32, device=x.device)
    block = min(triton.next_power_of_2(k), 4096)
    quantize_rows_kernel[(m,)](
        x, known, codes, steps, k, HELD=known is not None, BLOCK=block,
        num_warps=8 if block > 1024 else 4, enable_fp_fusion=False,
    )  # fmt: skip
    return codes, steps


def int8_matmul(
    x: Tensor, codes: Tensor, scales: Tensor, bias: Tensor | None, n: int, k: int,
    step: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Multiply x (..., K) by packed codes and scales, add bias (N,): (..., N)."""
    rows = x.reshape(-1, k).contiguous()  # (M, K)
    m = len(rows)
    out = x.new_empty((*x.shape[:-1], n))
    if not out.numel():
        return out
    q, steps = quantize_rows(rows, step)
    block_m, block_n, warps = (128, 128, 8) if m > 64 else (64, 64, 4) if m > 16 else (16, 64, 4)
    grid = (triton.cdiv(n, block_n), triton.cdiv(m, block_m))
    matmul_kernel[grid](
        q, steps, codes.view(torch.int32), scales, bias, out, m, n, k,
        BIAS=bias is not None, BLOCK_M=block_m, BLOCK_N=block_n, BLOCK_K=128,
        num_warps=warps, num_stages=4 if m <= 64 else 3, enable_fp_fusion=False,
    )  # fmt: skip
    return out
