"""int4_matmul against torch's 4-bit product and dense one; as a convolution, against dense."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from octavo.kernels.bars import Case, seeded
from octavo.kernels.int4_matmul import int4_matmul, pack
from octavo.kernels.int4_matmul.convolution import int4_conv2d
from octavo.kernels.timing import Call

GROUP = 128


def cases(quick: bool) -> Iterator[Case]:
    """One row, some rows, many rows of a square matrix; 3x3 convolutions."""
    for size in (1024,) if quick else (1024, 4096):
        for rows in (1, 64) if quick else (1, 8, 64, 512):
            yield _product(rows, size)
    for channels, side in ((128, 28),) if quick else ((64, 56), (128, 28), (256, 14)):
        yield _convolution(channels, side)


def _product(rows: int, size: int) -> Case:
    codes = torch.randint(-8, 8, (size, size), generator=seeded(), dtype=torch.int8)
    scales = torch.full((size, size // GROUP), 0.01)
    x = torch.randn(rows, size, generator=seeded(1))
    packed = pack(codes, scales, GROUP)
    dense = codes * scales.repeat_interleave(GROUP, 1)
    return Case(
        "int4_matmul",
        f"{rows}x{size}x{size} g{GROUP}",
        2.0 * rows * size * size,
        lambda: int4_matmul(x, packed),
        {**_torch_int4(x, codes, scales), "linear float32": lambda: F.linear(x, dense)},
    )


def _torch_int4(x: Tensor, codes: Tensor, scales: Tensor) -> dict[str, Call]:
    """The 4-bit product of torch, in bfloat16, where this torch has it."""
    convert = getattr(torch.ops.aten, "_convert_weight_to_int4pack_for_cpu", None)
    multiply = getattr(torch.ops.aten, "_weight_int4pack_mm_for_cpu", None)
    if convert is None or multiply is None:
        return {}
    table = convert(codes.int() + 8, 1)
    zeros = torch.zeros_like(scales)
    steps = torch.stack((scales, zeros), -1).transpose(0, 1).contiguous().bfloat16()  # (G, N, 2)
    half = x.bfloat16()
    return {"int4pack bfloat16": lambda: multiply(half, table, GROUP, steps)}


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
    )
