"""The gradient of block_attention: its kept blocks are computed again, a row of the list at a time.

    p = softmax(s),  s = c q k^T over the kept keys        dv += p^T g
    ds = p * (g v^T - rowsum(p * g v^T))                   dq = c ds k,   dk += c ds^T q

Any floating dtype; memory is one block of queries by its kept keys.
"""

from __future__ import annotations

import torch
from torch import Tensor

Heads = tuple[slice, slice]  # of the batch and of the heads


def gradient(
    grad: Tensor, q: Tensor, k: Tensor, v: Tensor, indptr: Tensor, indices: Tensor,
    lengths: Tensor | None, size: int, scale: float, causal: bool,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """To q (B, H, L, D) and to k and v (B, H, M, D), for the gradient of the answer."""
    exact = torch.float32 if q.dtype == torch.bfloat16 else q.dtype
    wide = [x.to(exact) for x in (grad, q, k, v)]
    to = [torch.zeros_like(x) for x in wide[1:]]
    rows = indptr.shape[-1] - 1
    for at, starts in enumerate(indptr.reshape(-1, rows + 1).tolist()):
        own = _heads_of(at, indptr.shape[:-1])
        g_, q_, k_, v_ = (x[own] for x in wide)
        to_q, to_k, to_v = (x[own] for x in to)
        counted = None if lengths is None else lengths[own[0]]
        for row in range(rows):
            queries = torch.arange(row * size, min((row + 1) * size, q.shape[2]), device=q.device)
            blocks = indices[starts[row] : starts[row + 1]].long()
            keys = (blocks.unsqueeze(1) * size + torch.arange(size, device=q.device)).flatten()
            keys = keys[keys < k.shape[2]]
            keep = _keep(queries, keys, counted, causal)
            part = (g_[:, :, queries], q_[:, :, queries], k_[:, :, keys], v_[:, :, keys])
            to_q[:, :, queries], dk, dv = _of_row(*part, keep, scale)
            to_k.index_add_(2, keys, dk)
            to_v.index_add_(2, keys, dv)
    return to[0].to(q.dtype), to[1].to(q.dtype), to[2].to(q.dtype)


def _heads_of(at: int, lists: torch.Size) -> Heads:
    """Batch entries and heads that the list at this place serves; lists is (), (H,) or (B, H)."""
    if not lists:
        return slice(None), slice(None)
    batch, head = divmod(at, lists[-1])
    return slice(None) if len(lists) == 1 else slice(batch, batch + 1), slice(head, head + 1)


def _keep(queries: Tensor, keys: Tensor, lengths: Tensor | None, causal: bool) -> Tensor:
    """Which of the keys count for each query: bool, that broadcasts to (B, H, queries, keys)."""
    keep = keys >= 0 if not causal else keys <= queries.unsqueeze(1)
    return keep if lengths is None else keep & (keys < lengths[:, None, None, None])


def _of_row(
    g: Tensor, q: Tensor, k: Tensor, v: Tensor, keep: Tensor, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of one block of queries and its kept keys."""
    scores = (q @ k.transpose(-1, -2) * scale).masked_fill(~keep, torch.finfo(q.dtype).min)
    p = scores.softmax(-1) * keep  # (B, H, queries, keys)
    to_p = g @ v.transpose(-1, -2)
    to_scores = p * (to_p - (p * to_p).sum(-1, keepdim=True)) * scale
    return to_scores @ k, to_scores.transpose(-1, -2) @ q, p.transpose(-1, -2) @ g
