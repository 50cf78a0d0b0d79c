"""int2_matmul against torch, which has no 2-bit product: its dense one, in float32 and bfloat16."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F

from octavo.kernels import roofline, runtime
from octavo.kernels.bars import Case, in_turn, seeded
from octavo.kernels.curves import curve
from octavo.kernels.int2_matmul import int2_matmul, pack
from octavo.kernels.peers import ggml, onnx_runtime
from octavo.kernels.timing import Call

GROUP = 128


def cases(quick: bool) -> Iterator[Case]:
    """One row, some rows, many rows of a square matrix, of 2-bit codes and of ternary ones."""
    for size in (1024,) if quick else (1024, 4096):
        for rows in (1, 64) if quick else (1, 8, 64, 512):
            yield _product(rows, size, -2)
    for rows in () if quick else (1, 8, 64, 512):
        yield _product(rows, 4096, -1)
    if not quick:
        yield _cold(4096)


def crossovers(quick: bool) -> Iterator[dict[str, Any]]:
    """Rows from which the dense product is as fast."""
    size = 1024
    codes = torch.randint(-2, 2, (size, size), generator=seeded(), dtype=torch.int8)
    packed, dense = pack(codes, torch.full((size, size // GROUP), 0.01), GROUP), codes * 0.01

    def calls(rows: float) -> dict[str, Call]:
        x = torch.randn(int(rows), size, generator=seeded(1))
        ours, theirs = partial(int2_matmul, x, packed), partial(F.linear, x, dense)
        return {"int2_matmul": ours, "linear float32": theirs}

    title = f"{size}x{size}, 2 bits in groups of {GROUP}, by rows of the input"
    yield curve(title, "rows", (1, 16, 256) if quick else (1, 4, 16, 64, 256), calls)


def _product(rows: int, size: int, lowest: int) -> Case:
    codes = torch.randint(lowest, 2, (size, size), generator=seeded(), dtype=torch.int8)
    x = torch.randn(rows, size, generator=seeded(1))
    packed = pack(codes, torch.full((size, size // GROUP), 0.01), GROUP)
    dense = codes * 0.01
    half, dense_half = x.bfloat16(), dense.bfloat16()
    kind = " ternary" if lowest == -1 else ""
    return Case(
        "int2_matmul",
        f"{rows}x{size}x{size} g{GROUP}{kind}",
        2.0 * rows * size * size,
        lambda: int2_matmul(x, packed),
        {
            **onnx_runtime.grouped(x, size, 2, GROUP),
            **ggml.product(x, codes.clamp(min=-1) * 0.01, "tq2_0"),
            "linear float32": lambda: F.linear(x, dense),
            "linear bfloat16": lambda: F.linear(half, dense_half),
        },
        moved=packed.codes.nbytes + packed.scales.nbytes + 4.0 * rows * 2 * size,
        bar_id=None if size < 4096 else "K8" if rows == 1 else "K8-rows",
        limit=("vnni", "l3"),
    )


def _cold(size: int) -> Case:
    """One row by copies of a weight, so many that each is out of the caches when its turn comes."""
    codes = torch.randint(-2, 2, (size, size), generator=seeded(), dtype=torch.int8)
    packed = pack(codes, torch.full((size, size // GROUP), 0.01), GROUP)
    x, bytes_read = torch.randn(1, size, generator=seeded(1)), packed.codes.nbytes
    bytes_read += packed.scales.nbytes
    copies = [
        packed._replace(codes=runtime.place(packed.codes), scales=runtime.place(packed.scales))
        for _ in range(-(-roofline.cold_bytes() // bytes_read))
    ]
    return Case(
        "int2_matmul",
        f"1x{size}x{size} g{GROUP}",
        2.0 * size * size,
        in_turn([partial(int2_matmul, x, copy) for copy in copies]),
        {},
        moved=bytes_read + 8.0 * size,
        bar_id="K8-cold",
        limit="dram",
        state="cold",
    )
