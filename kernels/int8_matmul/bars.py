"""int8_matmul against the quantized products of FBGEMM, oneDNN, XNNPACK and ONNX Runtime."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from octavo.kernels import roofline, runtime
from octavo.kernels.bars import Case, bytes_of, copies_that_stay_cold, in_turn, seeded
from octavo.kernels.curves import curve
from octavo.kernels.int8_matmul import PackedInt8, int8_matmul, pack
from octavo.kernels.int8_matmul.convolution import int8_conv2d
from octavo.kernels.peers import ggml, onnx_runtime, torch_quantized, xnnpack
from octavo.kernels.runtime.activations import calibrated_step
from octavo.kernels.timing import Call


def cases(quick: bool) -> Iterator[Case]:
    """One row to many of a square matrix; weights from memory; 3x3 convolutions."""
    for size in (1024,) if quick else (1024, 4096):
        for rows in (1, 64) if quick else (1, 8, 64, 512):
            yield _product(rows, size)
    yield _static(64, 1024)
    if not quick:
        yield from (_static(rows, 4096) for rows in (1, 64, 512))
        yield _cold(4096)
    if "avx2" in runtime.backends() and not quick:
        yield _product(64, 4096)._replace(on="avx2", bar_id="K29-int8", limit=(), peers={})
    for channels, side in ((128, 28),) if quick else ((64, 56), (128, 28), (256, 14)):
        yield _convolution(channels, side)


def crossovers(quick: bool) -> Iterator[dict[str, Any]]:
    """Rows from which the dense product is as fast."""
    size = 1024
    codes, _, packed = _weight(size)
    dense = codes * 0.01

    def calls(rows: float) -> dict[str, Call]:
        x = torch.randn(int(rows), size, generator=seeded(1))
        ours, theirs = partial(int8_matmul, x, packed), partial(F.linear, x, dense)
        return {"int8_matmul": ours, "linear float32": theirs}

    title = f"{size}x{size}, 8 bits, by rows of the input"
    yield curve(title, "rows", (1, 16, 256) if quick else (1, 4, 16, 64, 256), calls)


def _weight(size: int) -> tuple[Tensor, Tensor, PackedInt8]:
    """Codes, scales and the packed weight of a square matrix."""
    codes = torch.randint(-127, 128, (size, size), generator=seeded(), dtype=torch.int8)
    scales = torch.full((size,), 0.01)
    return codes, scales, pack(codes, scales)


def _bar(rows: int, size: int) -> str | None:
    if rows == 1:
        return "K2" if size == 4096 else None
    return {64: "K1", 512: "K1-512"}.get(rows)


def _product(rows: int, size: int) -> Case:
    codes, scales, packed = _weight(size)
    x = torch.randn(rows, size, generator=seeded(1))
    dense = codes * 0.01
    return Case(
        "int8_matmul",
        f"{rows}x{size}x{size}",
        2.0 * rows * size * size,
        partial(int8_matmul, x, packed),
        {
            **torch_quantized.int8(x, dense, scales),
            **xnnpack.product(x, size, 8),
            **onnx_runtime.dynamic(x, codes),
            **ggml.product(x, dense, "q8_0"),
            "linear float32": lambda: F.linear(x, dense),
        },
        moved=bytes_of(packed) + 8.0 * x.numel(),
        bar_id=_bar(rows, size),
        limit=("vnni", roofline.level(bytes_of(packed))),
    )


def _static(rows: int, size: int) -> Case:
    """A step of the activations that is known, beside one found for each row."""
    codes, scales, packed = _weight(size)
    x = torch.randn(rows, size, generator=seeded(1))
    step = calibrated_step(x)
    return Case(
        "int8_matmul",
        f"{rows}x{size}x{size} static",
        2.0 * rows * size * size,
        partial(int8_matmul, x, packed, step=step),
        {
            **torch_quantized.int8_static(x, codes * 0.01, scales, float(step)),
            "dynamic": partial(int8_matmul, x, packed),
        },
        moved=bytes_of(packed) + 8.0 * x.numel(),
        bar_id="K1-static",
        limit=("vnni", roofline.level(bytes_of(packed))),
    )


def _cold(size: int) -> Case:
    """One row by copies of a weight, each out of the caches when its turn comes."""
    codes, scales, packed = _weight(size)
    x, dense = torch.randn(1, size, generator=seeded(1)), codes * 0.01
    count = copies_that_stay_cold(bytes_of(packed))
    ours = [packed._replace(codes=runtime.place(packed.codes)) for _ in range(count)]
    theirs = [torch_quantized.int8(x, dense, scales) for _ in range(count)]
    return Case(
        "int8_matmul",
        f"1x{size}x{size}",
        2.0 * size * size,
        in_turn([partial(int8_matmul, x, copy) for copy in ours]),
        {
            **{name: in_turn([each[name] for each in theirs]) for name in theirs[0]},
            **xnnpack.product(x, size, 8, None, count),
            **onnx_runtime.dynamic(x, codes, count),
        },
        moved=bytes_of(packed) + 8.0 * size,
        bar_id="K2-cold",
        limit="dram",
        state="cold",
    )


def _convolution(channels: int, side: int) -> Case:
    k = channels * 9
    codes = torch.randint(-127, 128, (channels, k), generator=seeded(), dtype=torch.int8)
    x = torch.randn(1, channels, side, side, generator=seeded(1))
    packed = pack(codes, torch.full((channels,), 0.01))
    dense = (codes * 0.01).view(channels, channels, 3, 3)
    return Case(
        "int8_matmul",
        f"{channels}x{side}x{side} 3x3 convolution",
        2.0 * channels * k * side * side,
        lambda: int8_conv2d(x, packed, 3, padding=1),
        {"conv2d float32": lambda: F.conv2d(x, dense, padding=1)},
        moved=bytes_of(packed) + 8.0 * x.numel(),
        limit="vnni",
    )
