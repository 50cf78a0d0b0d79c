"""kmeans_assign against torch, scipy and faiss: numbers by bucketize, vectors by products."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from scipy.cluster.vq import vq

from octavo.kernels.bars import Case
from octavo.kernels.curves import curve
from octavo.kernels.kmeans_assign import kmeans_assign, kmeans_sums
from octavo.kernels.peers import faiss
from octavo.kernels.timing import Call

NUMBERS, VECTORS = 1 << 20, 1 << 18


def cases(quick: bool) -> Iterator[Case]:
    """A million numbers; a quarter of a million vectors of 8."""
    yield _numbers(16)
    yield _numbers(256)
    yield _vectors(VECTORS >> 3 if quick else VECTORS, 8, 256)
    yield _sums(NUMBERS >> 3 if quick else NUMBERS, 16)


def crossovers(quick: bool) -> Iterator[dict[str, Any]]:
    """Numbers by their centroids: a step more each time that they double."""
    x = torch.randn(1 << 14 if quick else 1 << 17, generator=torch.Generator().manual_seed(0))

    def calls(centroids: float) -> dict[str, Call]:
        c = torch.randn(int(centroids), generator=torch.Generator().manual_seed(1)).sort().values
        middles = (c[1:] + c[:-1]) * 0.5
        theirs = partial(torch.bucketize, x, middles, out_int32=True)
        return {"kmeans_assign": partial(kmeans_assign, x, c), "bucketize": theirs}

    counts = (4, 64, 1024) if quick else (2, 4, 16, 64, 256, 1024, 4096)
    yield curve(f"{len(x)} numbers, by centroids", "centroids", counts, calls)


def _numbers(k: int) -> Case:
    x = torch.randn(NUMBERS, generator=torch.Generator().manual_seed(0))
    centroids = torch.randn(k, generator=torch.Generator().manual_seed(1)).sort().values
    middles = (centroids[1:] + centroids[:-1]) * 0.5
    return Case(
        "kmeans_assign",
        f"{NUMBERS} numbers, {k} centroids",
        float(NUMBERS),
        lambda: kmeans_assign(x, centroids),
        {"bucketize": lambda: torch.bucketize(x, middles, out_int32=True)},
        moved=5.0 * NUMBERS,
        bar_id=f"K19-{k}",
        limit="l3",
    )


def _vectors(n: int, d: int, k: int) -> Case:
    x = torch.randn(n, d, generator=torch.Generator().manual_seed(0))
    centroids = torch.randn(k, d, generator=torch.Generator().manual_seed(1))
    halves = centroids.square().sum(1) / 2
    peers: dict[str, Call] = {
        "addmm argmin": lambda: torch.addmm(halves, x, centroids.T, alpha=-1).argmin(1),
        "cdist argmin": lambda: torch.cdist(x, centroids).argmin(1),
        "scipy vq": lambda: vq(x.numpy(), centroids.numpy()),
        **faiss.nearest(x, centroids),
    }
    shape = f"{n} vectors of {d}, {k} centroids"
    operations = 2.0 * n * k * d
    return Case(
        "kmeans_assign",
        shape,
        operations,
        lambda: kmeans_assign(x, centroids),
        peers,
        moved=4.0 * n * d + n,
        bar_id="K19-vectors",
        limit="fma",
    )


def _sums(n: int, k: int) -> Case:
    """The weighted half of a step, on numbers."""
    x, weights = torch.randn(2, n, generator=torch.Generator().manual_seed(0))
    codes = torch.randint(0, k, (n,), generator=torch.Generator().manual_seed(1))
    bytes_, weights = codes.to(torch.uint8), weights.abs()
    return Case(
        "kmeans_assign",
        f"weighted sums of {n} numbers, {k} centroids",
        2.0 * n,
        lambda: kmeans_sums(x, bytes_, k, weights),
        {
            "bincount": lambda: (
                torch.bincount(codes, weights * x, k),
                torch.bincount(codes, weights, k),
            )
        },
        moved=9.0 * n,
    )
