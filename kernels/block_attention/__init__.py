"""Attend only to some blocks of keys: any list of blocks, the softmax taken online.

    o[i] = sum over kept j of  w[i, j] v[j],   w[i, :] = softmax over kept j of  c q[i] . k[j]

    symbol  in code    shape, type
    q       q          (B, H, L, D) float32 or bfloat16
    k, v    k, v       (B, H, M, D), as q
    c       scale      a number; 1 / sqrt(D) where not given
    kept    packed     blocks of `size` queries by `size` keys; see `blocks.pack`, `from_mask`
            causal     keys after the query, position by position, do not count
            lengths    (B,) int32: keys from here on are padding and do not count

A query without a key gives zeros. Sums are in float32, and so is the softmax, for bfloat16 too;
2^x is a polynomial of degree 6, at most 1.2 units in the last place off. c q . k must stay below
1e30. The answer does not depend on the number of threads. The gradient recomputes the kept blocks.
Source: BigBird (arXiv 2007.14062), MoBA (2502.13189), SeerAttention (2410.13276) for lists of
blocks; FlashAttention (2205.14135), algorithm 1, for the softmax a block at a time.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from octavo.errors import InputError
from octavo.kernels import runtime
from octavo.kernels.block_attention.blocks import (
    PackedBlocks,
    bigbird_blocks,
    from_mask,
    kept_pairs,
    load,
    local_global_blocks,
    pack,
    to_mask,
)
from octavo.kernels.block_attention.gradient import gradient
from octavo.kernels.runtime import door
from octavo.kernels.runtime.gpu import DTYPES
from octavo.kernels.runtime.operation import define

__all__ = [
    "PackedBlocks",
    "bigbird_blocks",
    "block_attention",
    "from_mask",
    "kept_pairs",
    "load",
    "local_global_blocks",
    "pack",
    "reference",
    "to_mask",
]


def reference(q: Tensor, k: Tensor, v: Tensor, keep: Tensor, scale: float) -> Tensor:
    """The oracle, in torch: attention where keep, that broadcasts to (B, H, L, M), is true."""
    scores = (q @ k.transpose(-1, -2) * scale).masked_fill(~keep, torch.finfo(q.dtype).min)
    return (scores.softmax(-1) * keep) @ v  # a row without a key: zeros


def block_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    packed: PackedBlocks,
    *,
    scale: float | None = None,
    causal: bool = False,
    lengths: Tensor | None = None,
) -> Tensor:
    """Attention of q (B, H, L, D) to the kept blocks of k and v (B, H, M, D): (B, H, L, D).

    Raises:
        InputError: wrong dtype, device or shape; a list of blocks made for other sizes; a scale
            that is not above zero.

    >>> q = torch.zeros(1, 1, 32, 1)
    >>> v = torch.arange(32.0).view(1, 1, 32, 1)
    >>> diagonal = from_mask(torch.eye(2, dtype=torch.bool), size=16)
    >>> block_attention(q, q, v, diagonal)[0, 0, ::16, 0].tolist()
    [7.5, 23.5]
    """
    _check(q, k, v, packed, lengths)
    factor = q.shape[-1] ** -0.5 if scale is None else float(scale)
    if not 0 < factor < float("inf"):
        raise InputError(f"block_attention: scale={factor}; it must be a number above zero")
    short = all(door.takes_short_way(x, None) for x in (q, k, v))
    call = _run if short else torch.ops.octavo.block_attention
    y: Tensor = call(q, k, v, packed.indptr, packed.indices, lengths, packed.size, factor, causal)
    return y


def _check(q: Tensor, k: Tensor, v: Tensor, packed: PackedBlocks, lengths: Tensor | None) -> None:
    """What a call is given fits together.

    Raises:
        InputError: it does not.
    """
    op = "block_attention"
    types = DTYPES if q.device.type == "cuda" else (torch.float32, torch.bfloat16)
    door.check_attention(op, q, k, v, types)
    b, h, n, _ = q.shape
    rows, heads = -(-n // packed.size), tuple(packed.indptr.shape[:-1])
    if packed.indptr.shape[-1] != rows + 1 or heads not in ((), (h,), (b, h)):
        raise InputError(
            f"{op}: the list has {packed.indptr.shape[-1] - 1} rows for heads {heads}; q "
            f"{tuple(q.shape)} in blocks of {packed.size} needs {rows} for (), ({h},) or ({b}, {h})"
        )
    if lengths is not None and (lengths.dtype != torch.int32 or lengths.shape != (b,)):
        raise InputError(
            f"{op}: lengths is {lengths.dtype} {tuple(lengths.shape)}; it must be int32 ({b},)"
        )


def _run(
    q: Tensor, k: Tensor, v: Tensor, indptr: Tensor, indices: Tensor, lengths: Tensor | None,
    size: int, scale: float, causal: bool,
) -> Tensor:  # fmt: skip
    """One eager call on the backend in use."""
    if not runtime.is_native():
        packed = PackedBlocks(indptr, indices, size)
        keep = kept_pairs(packed, q.shape[2], k.shape[2], causal, lengths)
        return reference(q.float(), k.float(), v.float(), keep, scale).to(q.dtype)
    out, half = _fake(q), q.dtype == torch.bfloat16
    tensors = [x.detach().contiguous() for x in (q, k, v)] + [out]
    q, k, v, to = (x.view(torch.int16) for x in tensors) if half else tensors
    indptr, indices = indptr.contiguous(), indices.contiguous()
    lengths = None if lengths is None else lengths.contiguous()
    if not runtime.native.block_attention(
        q, k, v, indptr, indices, lengths, to, size, scale, causal, half, runtime.threads()
    ):
        raise InputError(
            f"block_attention: the list names a block past the last of k {tuple(k.shape)} in "
            f"blocks of {size}; make it for {-(-k.shape[2] // size)} blocks of keys"
        )
    return out


def _fake(q: Tensor, *others: Any) -> Tensor:
    """The shape of the answer, for tracing."""
    return q.new_empty(q.shape)


def _fake_gradient(grad: Tensor, q: Tensor, k: Tensor, v: Tensor, *others: Any) -> Any:
    """The shapes of the gradients, for tracing."""
    return q.new_empty(q.shape), k.new_empty(k.shape), v.new_empty(v.shape)


def _backward(grad: Tensor, needs: Any, *inputs: Any) -> tuple[Tensor | None, ...]:
    """To q, k and v; the list and the options have none."""
    to = torch.ops.octavo.block_attention_backward(grad, *inputs)
    return *to, *(None for _ in inputs[3:])


_OTHERS = "Tensor indptr, Tensor indices, Tensor? lengths, int size, float scale, bool causal"
define(
    f"block_attention(Tensor q, Tensor k, Tensor v, {_OTHERS}) -> Tensor",
    _run,
    _fake,
    _backward,
    on_gpu=f"{__name__}.gpu",
)
define(
    f"block_attention_backward(Tensor grad, Tensor q, Tensor k, Tensor v, {_OTHERS}) "
    "-> (Tensor, Tensor, Tensor)",
    gradient,
    _fake_gradient,
    on_gpu=f"{__name__}.gpu",
)
