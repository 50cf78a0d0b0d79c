"""pq_embedding on a GPU: a block puts rows together from pieces, and writes them once.

    y[i] = concat over groups g of  b[g, c[id[i], g]]

Codes are a byte a piece and books stay in the second-level cache, so writing y is the limit. It
copies floats: the same bits as on the processor. Differs: an id outside the table gives a row of
NaN and no error, for an error would make every call wait for the GPU.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

HELD = 4096  # floats of a block: 32 a thread


@triton.jit
def look_up_kernel(
    ids, codes, books, out, M, V, G, K, PIECE: tl.constexpr,
    ROWS: tl.constexpr, GROUPS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """One program ROWS rows of y, GROUPS pieces of each; WIDTH is PIECE up to a power of two."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    group, j = tl.program_id(1) * GROUPS + tl.arange(0, GROUPS), tl.arange(0, WIDTH)
    which = tl.load(ids + row, mask=row < M, other=0).to(tl.int64)
    inside = ((which >= 0) & (which < V))[:, None] & (group < G)[None, :]
    code = tl.load(codes + which[:, None] * G + group[None, :], mask=inside, other=0)  # (R, G)
    start = (group[None, :] * K + code.to(tl.int32)) * PIECE
    piece = (j < PIECE)[None, None, :]
    held = tl.load(
        books + start[:, :, None] + j[None, None, :],
        mask=inside[:, :, None] & piece, other=float("nan"),
    )  # fmt: skip
    to = row[:, None] * G * PIECE + group[None, :] * PIECE
    written = ((row < M)[:, None] & (group < G)[None, :])[:, :, None] & piece
    tl.store(out + to[:, :, None] + j[None, None, :], held, mask=written)


def pq_embedding(ids: Tensor, codes: Tensor, books: Tensor) -> Tensor:
    """Rows of the packed table for ids (...): (..., G * piece)."""
    groups, size, piece = books.shape
    m, width = ids.numel(), triton.next_power_of_2(piece)
    out = books.new_empty((*ids.shape, groups * piece))
    many = min(triton.next_power_of_2(groups), max(1, HELD // width))
    rows = max(1, HELD // (many * width))
    if m:
        grid = (triton.cdiv(m, rows), triton.cdiv(groups, many))
        look_up_kernel[grid](
            ids.contiguous(), codes, books.contiguous(), out, m, len(codes), groups, size,
            PIECE=piece, ROWS=rows, GROUPS=many, WIDTH=width, num_warps=4, enable_fp_fusion=False,
        )  # fmt: skip
    return out
