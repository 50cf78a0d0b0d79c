"""cluster_attention against torch: attention to all keys, and the same method in tensors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from octavo.kernels.bars import Case, seeded
from octavo.kernels.cluster_attention import cluster_attention, random_planes
from octavo.kernels.cluster_attention.module import ClusterAttention
from octavo.kernels.curves import curve
from octavo.kernels.timing import Call

HEADS, D, TOP = 12, 64, 32


def cases(quick: bool) -> Iterator[Case]:
    """12 heads of 64, 32 keys a cluster: 100 clusters as in the paper, and more."""
    if quick:
        yield _method(1024, 100)
        return
    for clusters in (25, 100, 256):
        yield _method(4096, clusters)


def crossovers(quick: bool) -> Iterator[dict[str, Any]]:
    """By length, at 100 clusters."""
    lengths = (256, 1024) if quick else (256, 512, 1024, 2048, 4096)
    title = f"100 clusters of {TOP} keys, {HEADS} heads of {D}"
    yield curve(title, "tokens", lengths, lambda length: _calls(int(length), 100))


def _inputs(length: int) -> list[Tensor]:
    """q, k and v: (1, H, L, D)."""
    return [torch.randn(1, HEADS, length, D, generator=seeded(i)) for i in range(3)]


def _calls(length: int, clusters: int) -> dict[str, Call]:
    """Ours, attention to all keys, and the same method in torch."""
    q, k, v = _inputs(length)
    planes = random_planes(63, D, seeded())
    module = ClusterAttention(D, clusters, generator=seeded(), top=TOP)
    return {
        "cluster_attention": lambda: cluster_attention(q, k, v, planes, clusters=clusters, top=TOP),
        "sdpa": lambda: F.scaled_dot_product_attention(q, k, v),
        "in torch": lambda: module.simulate(q, k, v),
    }


def _method(length: int, clusters: int) -> Case:
    calls = _calls(length, clusters)
    ours = calls.pop("cluster_attention")
    return Case(
        "cluster_attention",
        f"{length} tokens, {HEADS} heads of {D}, {clusters} clusters of {TOP} keys",
        4.0 * HEADS * D * length * (clusters + TOP),
        ours,
        calls,
        bar_id="cluster" if (length, clusters) == (4096, 100) else None,
        limit="fma",
        kept=(clusters + TOP) / length,
    )
