"""hadamard on a GPU: a block holds whole rows in registers from the first butterfly to the last.

    y = c * x H_d;   for s = 1, 2, 4 ... d / 2:  (a, b) -> (a + b, a - b),  a and b s apart

Read once, written once: memory is the limit. The sums are those of the reference in its order, so
float32 answers are the same to the last bit. Rows over 8192 take two passes: H_d is the Kronecker
product of H_(d / 8192) and H_8192. x may be float32, float16 or bfloat16; sums are float32.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

HELD = 4096  # floats of a block: 16 a thread
LONGEST = 8192


@triton.jit
def rows_kernel(x, out, scale, M, D: tl.constexpr, LOG: tl.constexpr, ROWS: tl.constexpr):
    """One program ROWS rows of D."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    at = row.to(tl.int64)[:, None] * D + tl.arange(0, D)[None, :]
    inside = (row < M)[:, None]
    v = tl.load(x + at, mask=inside, other=0.0).to(tl.float32) * scale
    for i in tl.static_range(LOG):
        pairs = tl.reshape(v, (ROWS, (D // 2) >> i, 2, 1 << i))
        a, b = tl.split(tl.permute(pairs, (0, 1, 3, 2)))
        v = tl.reshape(tl.permute(tl.join(a + b, a - b), (0, 1, 3, 2)), (ROWS, D))
    tl.store(out + at, v.to(out.dtype.element_ty), mask=inside)


def hadamard(x: Tensor, scale: float) -> Tensor:
    """Transform each row of x (..., d) and multiply it by scale: (..., d), like x."""
    d = x.shape[-1]
    if d > LONGEST:
        inner = hadamard(x.reshape(*x.shape[:-1], d // LONGEST, LONGEST), scale)
        return hadamard(inner.transpose(-1, -2), 1.0).transpose(-1, -2).reshape(x.shape)
    x = x.contiguous()
    out = torch.empty_like(x)
    m, rows = x.numel() // d, max(1, HELD // d)
    if m:
        rows_kernel[(triton.cdiv(m, rows),)](
            x, out, scale, m, D=d, LOG=d.bit_length() - 1, ROWS=rows,
            num_warps=8, enable_fp_fusion=False,
        )  # fmt: skip
    return out
