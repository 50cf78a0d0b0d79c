"""Attention by clusters of queries, as a module; see `cluster_attention`."""

from __future__ import annotations

import torch
from torch import Tensor

from octavo.kernels.cluster_attention import (
    check,
    cluster_attention,
    compose,
    random_planes,
    reference,
    reference_kmeans,
)
from octavo.kernels.runtime.packed import Packed


class ClusterAttention(Packed):
    """Attention of q (B, H, L, D) to k and v (B, H, M, D) through clusters of the queries."""

    planes: Tensor

    def __init__(
        self,
        d: int,
        clusters: int,
        *,
        generator: torch.Generator,
        top: int = 32,
        bits: int = 63,
        iterations: int = 10,
        scale: float | None = None,
    ) -> None:
        super().__init__()
        self._hold(None, planes=random_planes(bits, d, generator))
        self.clusters, self.top, self.iterations = clusters, top, iterations
        self.scale = d**-0.5 if scale is None else scale

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """(B, H, L, D) and twice (B, H, M, D) -> (B, H, L, D)."""
        return cluster_attention(
            q, k, v, self.planes, clusters=self.clusters, top=self.top,
            iterations=self.iterations, scale=self.scale,
        )  # fmt: skip

    def simulate(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """The same arithmetic in plain torch."""
        check(q, k, v, self.planes, self.clusters, self.top)
        sizes = (self.clusters, self.top, self.iterations, self.scale)
        return compose(q, k, v, self.planes, *sizes, reference_kmeans, reference)
