"""csr_spmm against the sparse products of torch, scipy and DeepSparse, and torch's dense one."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from scipy.sparse import csr_matrix
from torch import Tensor

from octavo.kernels import roofline
from octavo.kernels.bars import Case, bytes_of, copies_that_stay_cold, in_turn, seeded
from octavo.kernels.csr_spmm import csr_spmm, load, pack
from octavo.kernels.csr_spmm.convolution import csr_conv2d
from octavo.kernels.curves import curve
from octavo.kernels.peers import deepsparse
from octavo.kernels.timing import Call


def cases(quick: bool) -> Iterator[Case]:
    """Half to a twentieth kept: one row to many of a square matrix; 3x3 convolutions."""
    for size in (1024,) if quick else (1024, 4096):
        for density in (0.5, 0.1) if quick else (0.5, 0.25, 0.1, 0.05):
            for rows in (1, 64) if quick else (1, 8, 64):
                yield _product(rows, size, density)
    if not quick:
        yield _cold(4096, 0.25)
    for density in (0.1,) if quick else (0.1, 0.05):
        for channels, side in ((128, 28),) if quick else ((64, 56), (128, 28), (256, 14)):
            yield _convolution(channels, side, density)


def crossovers(quick: bool) -> Iterator[dict[str, Any]]:
    """The share kept below which the sparse product is the faster one."""
    size = 512 if quick else 1024
    for rows in (1, 64):
        x = torch.randn(rows, size, generator=seeded(2))

        def calls(kept: float, x: Tensor = x) -> dict[str, Call]:
            weight = _weight(size, size, kept)
            ours, theirs = partial(csr_spmm, x, pack(weight)), partial(F.linear, x, weight)
            return {"csr_spmm": ours, "linear float32": theirs}

        title = f"{size}x{size}, {rows} row{'s' * (rows > 1)}, by the share kept"
        shares = (0.1, 0.5, 0.9) if quick else (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9)
        yield curve(title, "share kept", shares, calls, x_scale="linear")


def _weight(n: int, k: int, density: float) -> Tensor:
    """A random matrix of which a share is kept."""
    keep = torch.rand(n, k, generator=seeded(1)) < density
    return torch.randn(n, k, generator=seeded()) * keep


def _bar(rows: int, size: int, density: float) -> str | None:
    if rows == 64:
        return f"K11-{density * 100:.0f}" if size == 1024 else None
    return {8: "K12", 1: "K12-row"}[rows] if density == 0.1 else None


def _product(rows: int, size: int, density: float) -> Case:
    weight = _weight(size, size, density)
    x = torch.randn(rows, size, generator=seeded(2))
    packed, sparse = pack(weight), weight.to_sparse_csr()
    theirs, across = csr_matrix(weight.numpy()), x.T.numpy()
    return Case(
        "csr_spmm",
        f"{rows}x{size}x{size} {density:.0%} kept",
        2.0 * rows * packed.values.numel(),
        lambda: csr_spmm(x, packed),
        {
            "sparse csr": lambda: sparse @ x.T,
            "scipy": lambda: theirs @ across,
            **deepsparse.product(x, weight),
            "linear float32": lambda: F.linear(x, weight),
        },
        moved=bytes_of(packed) + 8.0 * x.numel(),
        bar_id=_bar(rows, size, density),
        limit=("fma", roofline.level(bytes_of(packed))),
    )


def _cold(size: int, density: float) -> Case:
    """One row by copies of a weight, each out of the caches when its turn comes."""
    weight = _weight(size, size, density)
    packed, x = pack(weight), torch.randn(1, size, generator=seeded(2))
    ours = [load(*packed.state()) for _ in range(copies_that_stay_cold(bytes_of(packed)))]
    dense = [weight.clone() for _ in range(copies_that_stay_cold(weight.nbytes))]
    return Case(
        "csr_spmm",
        f"1x{size}x{size} {density:.0%} kept",
        2.0 * packed.values.numel(),
        in_turn([partial(csr_spmm, x, copy) for copy in ours]),
        {"linear float32": in_turn([partial(F.linear, x, copy) for copy in dense])},
        moved=bytes_of(packed) + 8.0 * size,
        bar_id="K12-cold",
        limit="dram",
        state="cold",
    )


def _convolution(channels: int, side: int, density: float) -> Case:
    weight = _weight(channels, channels * 9, density)
    x = torch.randn(1, channels, side, side, generator=seeded(2))
    packed, dense = pack(weight), weight.view(channels, channels, 3, 3)
    return Case(
        "csr_spmm",
        f"{channels}x{side}x{side} 3x3 convolution {density:.0%} kept",
        2.0 * packed.values.numel() * side * side,
        lambda: csr_conv2d(x, packed, 3, padding=1),
        {"conv2d float32": lambda: F.conv2d(x, dense, padding=1)},
        moved=bytes_of(packed) + 8.0 * x.numel(),
        limit="fma",
    )
