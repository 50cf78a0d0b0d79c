"""csr_spmm against torch's sparse product and its dense one; as a convolution, against dense."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from octavo.kernels.bars import Case, seeded
from octavo.kernels.csr_spmm import csr_spmm, pack
from octavo.kernels.csr_spmm.convolution import csr_conv2d


def cases(quick: bool) -> Iterator[Case]:
    """10 % and 5 % kept: one row, some rows, many rows of a square matrix; 3x3 convolutions."""
    for density in (0.1, 0.05):
        for size in (1024,) if quick else (1024, 4096):
            for rows in (1, 64) if quick else (1, 8, 64):
                yield _product(rows, size, density)
        for channels, side in ((128, 28),) if quick else ((64, 56), (128, 28), (256, 14)):
            yield _convolution(channels, side, density)


def _weight(n: int, k: int, density: float) -> Tensor:
    """A random matrix of which a share is kept."""
    keep = torch.rand(n, k, generator=seeded(1)) < density
    return torch.randn(n, k, generator=seeded()) * keep


def _product(rows: int, size: int, density: float) -> Case:
    weight = _weight(size, size, density)
    x = torch.randn(rows, size, generator=seeded(2))
    packed, sparse = pack(weight), weight.to_sparse_csr()
    return Case(
        "csr_spmm",
        f"{rows}x{size}x{size} {density:.0%} kept",
        2.0 * rows * packed.values.numel(),
        lambda: csr_spmm(x, packed),
        {"sparse csr": lambda: sparse @ x.T, "linear float32": lambda: F.linear(x, weight)},
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
    )
