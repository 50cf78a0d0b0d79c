"""adder_conv2d on a GPU, and its gradient to x: tiles of distances, two additions an element.

    y[n, p] = - sum_k |x[k, p] - w[n, k]|   (+ bias[n]),      k = (c, i, j),  p = (b, row, col)
    to x[k, p] = sum_n g[n, p] * clip(w[n, k] - x[k, p], -1, 1),   then each patch is added in place

Tensor cores multiply, so the limit is that of plain additions. A tile (filters, pixels) stays in
registers while k goes by, tap after tap: one row of x, one of w a step, no patches are written
out. Sums run over 64 channels, then over those. x, w may be float32, float16 or bfloat16.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor

from octavo.kernels.runtime import geometry

RUN = tl.constexpr(64)  # additions before a sum is put away
HIGH, BROAD = 64, 128  # a tile: 128 threads, each of which owns 8 x 8: 16 loads, 64 distances
TILE = {"N_OWN": 8, "P_OWN": 8, "N_ACROSS": 8, "P_ACROSS": 16}
HALF = TILE | {"P_OWN": 4}  # of the gradient, which needs more registers a distance


@triton.jit
def _corner(p, TALL, BROAD, SH, SW, PH, PW):
    """Image, row and column of the input where the patches of pixels p begin."""
    y, x = p // BROAD % TALL, p % BROAD
    return p // (TALL * BROAD), y * SH - PH, x * SW - PW


@triton.jit
def _under(image, y0, x0, real, tap, C, H, W, DH, DW, KW: tl.constexpr):
    """Where the first channel under a tap of the kernel lies, and whether it is no border."""
    row, col = y0 + tap // KW * DH, x0 + tap % KW * DW
    inside = real & (row >= 0) & (row < H) & (col >= 0) & (col < W)
    return (image * C * H + row).to(tl.int64) * W + col, inside


@triton.jit
def _grid(start, OWN: tl.constexpr, ACROSS: tl.constexpr):
    """Indices (OWN, ACROSS) from start on: a thread owns a column, neighbours lie side by side."""
    return start + tl.arange(0, OWN)[:, None] * ACROSS + tl.arange(0, ACROSS)[None, :]


@triton.jit
def forward_kernel(
    x, w, bias, y, LINE, N, K, P, C, H, W, TALL, BROAD, SH, SW, PH, PW, DH, DW,
    TAPS: tl.constexpr, KW: tl.constexpr, BIAS: tl.constexpr,
    N_OWN: tl.constexpr, P_OWN: tl.constexpr, N_ACROSS: tl.constexpr, P_ACROSS: tl.constexpr,
):  # fmt: skip
    """One program a tile of y; w lies as (taps, C, LINE >= N)."""
    p = _grid(tl.program_id(0) * P_OWN * P_ACROSS, P_OWN, P_ACROSS)
    n = _grid(tl.program_id(1) * N_OWN * N_ACROSS, N_OWN, N_ACROSS)
    image, y0, x0 = _corner(p, TALL, BROAD, SH, SW, PH, PW)
    whole = tl.zeros((N_OWN, P_OWN, N_ACROSS, P_ACROSS), tl.float32)
    for tap in range(TAPS):
        at, inside = _under(image, y0, x0, p < P, tap, C, H, W, DH, DW, KW)
        for first in range(0, C, RUN):
            part = tl.zeros((N_OWN, P_OWN, N_ACROSS, P_ACROSS), tl.float32)
            for c in range(first, min(first + RUN, C)):
                a = tl.load(x + at + c * H * W, mask=inside, other=0.0).to(tl.float32)
                b = tl.load(w + (tap * C + c) * LINE + n).to(tl.float32)
                part += tl.abs(a[None, :, None, :] - b[:, None, :, None])
            whole -= part
    if BIAS:
        whole += tl.load(bias + n, mask=n < N, other=0.0).to(tl.float32)[:, None, :, None]
    area = TALL * BROAD
    first = image.to(tl.int64) * N * area + p % area
    real = (n < N)[:, None, :, None] & (p < P)[None, :, None, :]
    to = y + first[None, :, None, :] + (n * area)[:, None, :, None]
    tl.store(to, whole.to(y.dtype.element_ty), mask=real)


@triton.jit
def to_patches_kernel(
    grad, x, w, out, LINE, N, K, P, C, H, W, TALL, BROAD, SH, SW, PH, PW, DH, DW,
    TAPS: tl.constexpr, KW: tl.constexpr,
    N_OWN: tl.constexpr, P_OWN: tl.constexpr, N_ACROSS: tl.constexpr, P_ACROSS: tl.constexpr,
):  # fmt: skip
    """One program a tile of the patches' gradients (K, pixels); w lies as (N, LINE >= K)."""
    p = _grid(tl.program_id(0) * P_OWN * P_ACROSS, P_OWN, P_ACROSS)
    k = _grid(tl.program_id(1) * N_OWN * N_ACROSS, N_OWN, N_ACROSS)
    image, y0, x0 = _corner(p, TALL, BROAD, SH, SW, PH, PW)
    real = (k < K)[:, None, :, None] & (p < P)[None, :, None, :]
    at, inside = _under(
        image[None, :, None, :], y0[None, :, None, :], x0[None, :, None, :], real,
        (k % TAPS)[:, None, :, None], C, H, W, DH, DW, KW,
    )  # fmt: skip
    channel = (k // TAPS)[:, None, :, None]
    a = tl.load(x + at + channel * H * W, mask=inside, other=0.0).to(tl.float32)
    area = TALL * BROAD
    from_grad = grad + image.to(tl.int64) * N * area + p % area
    whole = tl.zeros((N_OWN, P_OWN, N_ACROSS, P_ACROSS), tl.float32)
    for n in range(0, N):
        g = tl.load(from_grad + n * area, mask=p < P, other=0.0).to(tl.float32)
        b = tl.load(w + n * LINE + k).to(tl.float32)
        apart = tl.minimum(tl.maximum(b[:, None, :, None] - a, -1.0), 1.0)
        whole += g[None, :, None, :] * apart
    first = image.to(tl.int64) * K * area + p % area
    to = out + first[None, :, None, :] + (k * area)[:, None, :, None]
    tl.store(to, whole, mask=real)


def _shape(x: Tensor, weight: Tensor, sizes: Sequence[int]) -> tuple[int, ...]:
    """N, K, P, C, H, W, height and width of y, then stride, padding, dilation."""
    tall, broad = geometry.extent(x, sizes)
    n, k = len(weight), weight[0].numel()
    return (n, k, len(x) * tall * broad, *x.shape[1:], tall, broad, *sizes[2:])


def _padded(weight: Tensor) -> Tensor:
    """The last axis brought to whole tiles, so that no load of the inner loop asks whether."""
    return F.pad(weight, (0, -weight.shape[-1] % HIGH)).contiguous()


def adder_conv2d(x: Tensor, weight: Tensor, bias: Tensor | None, sizes: Sequence[int]) -> Tensor:
    """Negated distances of x (B, C, H, W) to the filters, plus bias: (B, N, H', W'), like x."""
    shape = _shape(x, weight, sizes)
    n, _, pixels, *_ = shape
    y = x.new_empty((len(x), n, *shape[6:8]))
    if pixels:
        w = _padded(weight.permute(2, 3, 1, 0))
        forward_kernel[(triton.cdiv(pixels, BROAD), w.shape[-1] // HIGH)](
            x.contiguous(), w, bias, y, w.shape[-1], *shape,
            TAPS=sizes[0] * sizes[1], KW=sizes[1], BIAS=bias is not None, **TILE,
            num_warps=4, enable_fp_fusion=False,
        )  # fmt: skip
    return y


def adder_conv2d_to_x(grad: Tensor, x: Tensor, weight: Tensor, sizes: Sequence[int]) -> Tensor:
    """The gradient to x (B, C, H, W) from that of y (B, N, H', W')."""
    shape = _shape(x, weight, sizes)
    k, pixels = shape[1:3]
    patches = torch.empty(len(x), k, pixels // max(1, len(x)), device=x.device)
    if pixels:
        w = _padded(weight.flatten(1))
        to_patches_kernel[(triton.cdiv(pixels, BROAD // 2), w.shape[-1] // HIGH)](
            grad.contiguous(), x.contiguous(), w, patches, w.shape[-1], *shape,
            TAPS=sizes[0] * sizes[1], KW=sizes[1], **HALF, num_warps=4, enable_fp_fusion=True,
        )  # fmt: skip
    kernel, stride, padding, dilation = (tuple(sizes[i : i + 2]) for i in (0, 2, 4, 6))
    return F.fold(patches, x.shape[2:], kernel, dilation, padding, stride).to(x.dtype)
