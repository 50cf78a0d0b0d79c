"""The gradient of cluster_attention, to all but the clusters and the choice of their keys.

    o = base + m a,  a = p v,  p = softmax(x),  x = s q k^T over the keys of the query's cluster
    da = m do                dp = da v^T            dx = p * (dp - rowsum(p * dp))
    dbase, dm sum do and do . a over the cluster;   dq, dk, dv as in any attention

A head at a time, so that memory is L T D numbers. Any floating dtype.
"""

from __future__ import annotations

import torch
from torch import Tensor

Five = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]


def gradient(
    grad: Tensor, q: Tensor, k: Tensor, v: Tensor, member: Tensor, top: Tensor, mass: Tensor,
    base: Tensor, scale: float,
) -> Five:  # fmt: skip
    """To q, k, v, mass and base, for the gradient (B, H, L, D) of the answer."""
    g, q_, k_, v_, own, keys, m = (
        x.flatten(0, 1) for x in (grad, q, k, v, member.long(), top.long(), mass)
    )
    found = [
        _of_head(g[i], q_[i], k_[i], v_[i], own[i], keys[i], m[i], scale) for i in range(len(g))
    ]
    shapes = [x.shape for x in (q, k, v, mass, base)]
    if not found:
        to = [q.new_zeros(shape) for shape in shapes]
    else:
        to = [torch.stack(x).view(s) for x, s in zip(zip(*found, strict=True), shapes, strict=True)]
    return to[0], to[1], to[2], to[3], to[4]


def _of_head(
    g: Tensor, q: Tensor, k: Tensor, v: Tensor, member: Tensor, top: Tensor, mass: Tensor,
    scale: float,
) -> Five:  # fmt: skip
    """The same of one head: g and q (L, D), k and v (M, D), member (L,), top (C, T), mass (C,)."""
    keys = top[member]  # (L, T)
    near, values = k[keys], v[keys]  # (L, T, D)
    p = ((near @ q.unsqueeze(-1)).squeeze(-1) * scale).softmax(-1)  # (L, T)
    answer = (p.unsqueeze(1) @ values).squeeze(1)  # (L, D)
    to_answer = g * mass[member].unsqueeze(-1)
    to_p = (values @ to_answer.unsqueeze(-1)).squeeze(-1)
    to_x = p * (to_p - (p * to_p).sum(-1, keepdim=True)) * scale
    rows, flat = keys.flatten(), (keys.numel(), q.shape[-1])
    to_k = torch.zeros_like(k).index_add(0, rows, (to_x.unsqueeze(-1) * q.unsqueeze(1)).view(flat))
    by_value = (p.unsqueeze(-1) * to_answer.unsqueeze(1)).view(flat)
    return (
        (to_x.unsqueeze(1) @ near).squeeze(1),
        to_k,
        torch.zeros_like(v).index_add(0, rows, by_value),
        torch.zeros_like(mass).index_add(0, member, (g * answer).sum(-1)),
        g.new_zeros(len(mass), g.shape[-1]).index_add(0, member, g),
    )
