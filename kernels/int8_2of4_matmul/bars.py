"""int8_2of4_matmul against the dense 8-bit products: of torch, of ONNX Runtime, and ours."""

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
from octavo.kernels.int8_2of4_matmul import PackedInt8TwoOfFour, int8_2of4_matmul, pack
from octavo.kernels.int8_matmul import int8_matmul
from octavo.kernels.int8_matmul import pack as pack_dense
from octavo.kernels.peers import onnx_runtime, torch_quantized
from octavo.kernels.timing import Call


def cases(quick: bool) -> Iterator[Case]:
    """One row to many of a square matrix."""
    for size in (1024,) if quick else (1024, 4096):
        for rows in (1, 64) if quick else (1, 8, 64, 512):
            yield _product(rows, size)


def crossovers(quick: bool) -> Iterator[dict[str, Any]]:
    """Rows from which half the multiplications are worth their shuffles."""
    size = 1024
    codes, scales, packed = _weight(size)
    dense = pack_dense(codes, scales)

    def calls(rows: float) -> dict[str, Call]:
        x = torch.randn(int(rows), size, generator=seeded(2))
        ours, theirs = partial(int8_2of4_matmul, x, packed), partial(int8_matmul, x, dense)
        return {"int8_2of4_matmul": ours, "int8_matmul": theirs}

    title = f"{size}x{size}, 8 bits, 2:4, by rows of the input"
    yield curve(title, "rows", (1, 16, 256) if quick else (1, 4, 16, 64, 256), calls)


def _weight(size: int) -> tuple[Tensor, Tensor, PackedInt8TwoOfFour]:
    """Codes with a random two of each four inputs, scales, and the packed weight."""
    codes = torch.randint(-127, 128, (size, size), generator=seeded(), dtype=torch.int8)
    order = torch.rand(size, size // 4, 4, generator=seeded(1)).argsort(-1)
    codes = codes * (order < 2).flatten(1)
    scales = torch.full((size,), 0.01)
    return codes, scales, pack(codes, scales)


def _product(rows: int, size: int) -> Case:
    codes, scales, packed = _weight(size)
    x = torch.randn(rows, size, generator=seeded(2))
    dense, whole = codes * 0.01, pack_dense(codes, scales)
    return Case(
        "int8_2of4_matmul",
        f"{rows}x{size}x{size} 2:4",
        1.0 * rows * size * size,
        partial(int8_2of4_matmul, x, packed),
        {
            **torch_quantized.int8(x, dense, scales),
            **onnx_runtime.dynamic(x, codes),
            "int8_matmul": partial(int8_matmul, x, whole),
            "linear float32": partial(F.linear, x, dense),
        },
        moved=bytes_of(packed) + 8.0 * x.numel(),
        bar_id="K14-int8" if rows >= 60 else None,
        limit=("vnni", roofline.level(bytes_of(packed))),
    )
