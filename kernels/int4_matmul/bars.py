"""int4_matmul against the 4-bit products of XNNPACK, ONNX Runtime and torch, and the dense one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from octavo.kernels import roofline, runtime
from octavo.kernels.bars import (
    Case,
    bytes_of,
    copies_that_stay_cold,
    cores,
    in_turn,
    on_threads,
    seeded,
    spinning,
)
from octavo.kernels.curves import curve
from octavo.kernels.int4_matmul import PackedInt4, int4_matmul, pack
from octavo.kernels.int4_matmul.convolution import int4_conv2d
from octavo.kernels.peers import ggml, onnx_runtime, torch_quantized, xnnpack
from octavo.kernels.timing import Call

GROUP = 128
BARRED = {1: "K3", 8: "K5", 64: "K6", 512: "K6-512"}  # rows at 4096 square


def cases(quick: bool) -> Iterator[Case]:
    """One row to many of a square matrix; weights from memory; 3x3 convolutions; the call."""
    for size in (1024,) if quick else (1024, 4096):
        for rows in (1, 64) if quick else (1, 8, 64, 512):
            yield _product(rows, size)
    if not quick:
        yield from (_product(rows, 4096, 32) for rows in (1, 8, 64, 512))
        yield _cold(4096)
    for channels, side in ((128, 28),) if quick else ((64, 56), (128, 28), (256, 14)):
        yield _convolution(channels, side)
    if runtime.is_native():
        yield from _calls()
    if "avx2" in runtime.backends() and not quick:
        yield _product(64, 4096)._replace(on="avx2", bar_id="K29-int4", limit=(), peers={})
    if cores() > 1:
        for rows in (8,) if quick else (8, 512):
            yield _threads(rows, 4096, loaded=False)
            yield _threads(rows, 4096, loaded=True)


def crossovers(quick: bool) -> Iterator[dict[str, Any]]:
    """Rows from which the dense product is as fast."""
    size = 1024
    codes, _, packed = _weight(size, GROUP)
    dense = codes * 0.01

    def calls(rows: float) -> dict[str, Call]:
        x = torch.randn(int(rows), size, generator=seeded(1))
        ours, theirs = partial(int4_matmul, x, packed), partial(F.linear, x, dense)
        return {"int4_matmul": ours, "linear float32": theirs}

    title = f"{size}x{size}, 4 bits in groups of {GROUP}, by rows of the input"
    yield curve(title, "rows", (1, 16, 256) if quick else (1, 4, 16, 64, 256), calls)


def _weight(size: int, group: int) -> tuple[Tensor, Tensor, PackedInt4]:
    """Codes, scales and the packed weight of a square matrix."""
    codes = torch.randint(-8, 8, (size, size), generator=seeded(), dtype=torch.int8)
    scales = torch.full((size, size // group), 0.01)
    return codes, scales, pack(codes, scales, group)


def _product(rows: int, size: int, group: int = GROUP) -> Case:
    codes, scales, packed = _weight(size, group)
    x = torch.randn(rows, size, generator=seeded(1))
    dense = codes * 0.01
    barred = "K7" if group == 32 else BARRED.get(rows) if size == 4096 else None
    return Case(
        "int4_matmul",
        f"{rows}x{size}x{size} g{group}",
        2.0 * rows * size * size,
        partial(int4_matmul, x, packed),
        {
            **xnnpack.product(x, size, 4, group),
            **onnx_runtime.grouped(x, size, 4, group),
            **(ggml.product(x, dense, "q4_K") if group == GROUP else {}),
            **torch_quantized.int4(x, codes, scales, group),
            "linear float32": lambda: F.linear(x, dense),
        },
        moved=bytes_of(packed) + 8.0 * x.numel(),
        bar_id=barred,
        limit=("vnni", roofline.level(bytes_of(packed))),
    )


def _cold(size: int) -> Case:
    """One row by copies of a weight, each out of the caches when its turn comes."""
    codes, scales, packed = _weight(size, GROUP)
    x = torch.randn(1, size, generator=seeded(1))
    count = copies_that_stay_cold(bytes_of(packed))
    place = runtime.place
    copies = [
        packed._replace(codes=place(packed.codes), scales=place(packed.scales))
        for _ in range(count)
    ]
    theirs = [torch_quantized.int4(x, codes, scales, GROUP) for _ in range(count)]
    return Case(
        "int4_matmul",
        f"1x{size}x{size} g{GROUP}",
        2.0 * size * size,
        in_turn([partial(int4_matmul, x, copy) for copy in copies]),
        {
            **xnnpack.product(x, size, 4, GROUP, count),
            **onnx_runtime.grouped(x, size, 4, GROUP, count),
            **ggml.product(x, codes * 0.01, "q4_K", count),
            **{name: in_turn([each[name] for each in theirs]) for name in theirs[0]},
        },
        moved=bytes_of(packed) + 8.0 * size,
        bar_id="K4",
        limit="dram",
        state="cold",
    )


def _convolution(channels: int, side: int) -> Case:
    k = channels * 9
    codes = torch.randint(-8, 8, (channels, k), generator=seeded(), dtype=torch.int8)
    x = torch.randn(1, channels, side, side, generator=seeded(1))
    packed = pack(codes, torch.full((channels, 1), 0.01))
    dense = (codes * 0.01).view(channels, channels, 3, 3)
    return Case(
        "int4_matmul",
        f"{channels}x{side}x{side} 3x3 convolution",
        2.0 * channels * k * side * side,
        lambda: int4_conv2d(x, packed, 3, padding=1),
        {"conv2d float32": lambda: F.conv2d(x, dense, padding=1)},
        moved=bytes_of(packed) + 8.0 * x.numel(),
        limit="vnni",
    )


def _calls() -> Iterator[Case]:
    """What a call costs beside its work: four tensors, of the smallest sizes."""
    packed = pack(torch.ones(1, 8, dtype=torch.int8), torch.ones(1, 1))
    x, out, bias = torch.ones(1, 8), torch.empty(1, 1), torch.zeros(1)
    ways: dict[str, tuple[str, Call]] = {
        "K28-eager": (
            "binding, into a tensor that is there",
            partial(runtime.native.int4_matmul, x, *packed[:2], bias, out, 8, 1),
        ),
        "K28-operator": (
            "registered operator",
            partial(torch.ops.octavo.int4_matmul.default, x, *packed[:2], bias, *packed[2:]),
        ),
        "K28-function": ("function", partial(int4_matmul, x, packed, bias)),
    }
    small = torch.ones(1, 8)
    for bar_id, (name, call) in ways.items():
        peers: dict[str, Call] = {"linear float32": partial(F.linear, x, small, bias)}
        yield Case("int4_matmul", f"1x8x1, {name}", 16.0, call, peers, bar_id=bar_id)


def _threads(rows: int, size: int, loaded: bool) -> Case:
    """Two threads beside one; with one core kept busy by another process, or not."""
    packed = _weight(size, GROUP)[2]
    x = torch.randn(rows, size, generator=seeded(1))
    call = partial(int4_matmul, x, packed)
    return Case(
        "int4_matmul",
        f"{rows}x{size}x{size} g{GROUP}" + (", one core busy" if loaded else ""),
        2.0 * rows * size * size,
        on_threads(2, call),
        {"one thread": on_threads(1, call)},
        moved=bytes_of(packed) + 8.0 * x.numel(),
        bar_id="K30-loaded" if loaded else "K30",
        threads=2,
        beside=spinning if loaded else nullcontext,
    )
