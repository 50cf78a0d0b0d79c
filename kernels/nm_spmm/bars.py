"""nm_spmm against torch's dense product and its sparse ones, in shared and own patterns."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from octavo.kernels import roofline
from octavo.kernels.bars import Case, bytes_of, seeded
from octavo.kernels.curves import curve
from octavo.kernels.nm_spmm import nm_spmm, pack
from octavo.kernels.nm_spmm.convolution import nm_conv2d
from octavo.kernels.nm_spmm.layout import PANEL
from octavo.kernels.timing import Call


def cases(quick: bool) -> Iterator[Case]:
    """2:4 and 16x1 of square matrices for one, some and many rows; 3x3 convolutions."""
    for size in (1024,) if quick else (1024, 4096):
        for rows in (1, 64) if quick else (1, 8, 64, 512):
            yield _two_of_four(rows, size)
        for density in (0.5, 0.1) if quick else (0.5, 0.25, 0.1):
            for rows in (64,) if quick else (1, 16, 64, 512):
                yield _shared(rows, size, density)
    for channels, side in ((128, 28),) if quick else ((64, 56), (128, 28), (256, 14)):
        yield _convolution(channels, side)


def crossovers(quick: bool) -> Iterator[dict[str, Any]]:
    """The share kept below which patterns shared by 16 outputs are faster; 2:4 by rows."""
    size = 512 if quick else 1024
    x = torch.randn(64, size, generator=seeded(2))

    def by_share(kept: float) -> dict[str, Call]:
        weight = shared_by_16(size, size, kept)
        ours = partial(nm_spmm, x, pack(weight, vector=PANEL))
        return {"nm_spmm": ours, "linear float32": partial(F.linear, x, weight)}

    weight = two_of_four(size, size)
    packed = pack(weight, 2, 4)

    def by_rows(rows: float) -> dict[str, Call]:
        some = torch.randn(int(rows), size, generator=seeded(2))
        ours = partial(nm_spmm, some, packed)
        return {"nm_spmm": ours, "linear float32": partial(F.linear, some, weight)}

    shares = (0.1, 0.5, 1.0) if quick else (0.1, 0.25, 0.5, 0.75, 1.0)
    title = f"{size}x{size}, 64 rows, patterns shared by 16, by the share kept"
    yield curve(title, "share kept", shares, by_share, x_scale="linear")
    rows = (1, 16, 256) if quick else (1, 4, 16, 64, 256)
    yield curve(f"{size}x{size}, 2:4, by rows of the input", "rows", rows, by_rows)


def two_of_four(n: int, k: int) -> Tensor:
    """A random weight (n, k) of which a random two of every four inputs are kept."""
    order = torch.rand(n, k // 4, 4, generator=seeded(1)).argsort(-1)
    return torch.randn(n, k, generator=seeded()) * (order < 2).flatten(1)


def shared_by_16(n: int, k: int, density: float) -> Tensor:
    """A random weight (n, k) whose 16 outputs keep the same share of the inputs."""
    keep = torch.rand(n // PANEL, k, generator=seeded(1)) < density
    return torch.randn(n, k, generator=seeded()) * keep.repeat_interleave(PANEL, 0)


def _two_of_four(rows: int, size: int) -> Case:
    weight = two_of_four(size, size)
    x = torch.randn(rows, size, generator=seeded(2))
    packed = pack(weight, 2, 4)
    return Case(
        "nm_spmm",
        f"{rows}x{size}x{size} 2:4",
        float(rows) * size * size,
        lambda: nm_spmm(x, packed),
        {"linear float32": lambda: F.linear(x, weight)},
        moved=bytes_of(packed) + 8.0 * x.numel(),
        bar_id={1: "K14-row", 64: "K14"}.get(rows),
        limit=("fma", roofline.level(bytes_of(packed))),
    )


def _blocks_of_16(n: int, k: int, density: float) -> Tensor:
    """A random weight (n, k) that keeps the same share in blocks of 16x16, as BSR does."""
    keep = torch.rand(n // PANEL, k // PANEL, generator=seeded(1)) < density
    whole = keep.repeat_interleave(PANEL, 0).repeat_interleave(PANEL, 1)
    return torch.randn(n, k, generator=seeded()) * whole


def _shared(rows: int, size: int, density: float) -> Case:
    weight = shared_by_16(size, size, density)
    x = torch.randn(rows, size, generator=seeded(2))
    packed = pack(weight, vector=PANEL)
    sparse = _blocks_of_16(size, size, density).to_sparse_bsr((PANEL, PANEL))
    return Case(
        "nm_spmm",
        f"{rows}x{size}x{size} 16x1 {density:.0%} kept",
        2.0 * rows * packed.values.numel(),
        lambda: nm_spmm(x, packed),
        {"linear float32": lambda: F.linear(x, weight), "sparse bsr": lambda: sparse @ x.T},
        moved=bytes_of(packed) + 8.0 * x.numel(),
        bar_id="K13" if rows >= 16 else None,
        limit=("fma", roofline.level(bytes_of(packed))),
    )


def _convolution(channels: int, side: int) -> Case:
    weight = two_of_four(channels, channels * 9)
    dense = weight.view(channels, 3, 3, channels).permute(0, 3, 1, 2).contiguous()
    x = torch.randn(1, channels, side, side, generator=seeded(2))
    packed = pack(weight, 2, 4)
    return Case(
        "nm_spmm",
        f"{channels}x{side}x{side} 3x3 convolution 2:4",
        float(weight.numel()) * side * side,
        lambda: nm_conv2d(x, packed, 3, padding=1),
        {"conv2d float32": lambda: F.conv2d(x, dense, padding=1)},
        moved=bytes_of(packed) + 8.0 * x.numel(),
        limit="fma",
    )
