"""binary_matmul and xnor_matmul against torch's dense product and the 8-bit one of ours."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from octavo.kernels import int8_matmul
from octavo.kernels.bars import Case, seeded
from octavo.kernels.binary_matmul import binary_matmul, pack
from octavo.kernels.binary_matmul.xnor import binarize, xnor_matmul
from octavo.kernels.peers import faiss


def cases(quick: bool) -> Iterator[Case]:
    """One row, some rows, many rows of a square matrix: 8-bit activations, signs, packed signs."""
    for size in (1024,) if quick else (1024, 4096):
        for rows in (1, 64) if quick else (1, 8, 64, 512):
            yield _product(rows, size)
            yield _signs(rows, size)


def _weight(size: int) -> tuple[Tensor, Tensor]:
    """Codes and scales of a square matrix."""
    codes = torch.randint(0, 2, (size, size), generator=seeded(), dtype=torch.int8) * 2 - 1
    return codes, torch.full((size,), 0.01)


def _product(rows: int, size: int) -> Case:
    codes, scales = _weight(size)
    packed, x = pack(codes, scales), torch.randn(rows, size, generator=seeded(1))
    dense = codes * 0.01
    return Case(
        "binary_matmul",
        f"{rows}x{size}x{size} 8-bit activations",
        2.0 * rows * size * size,
        lambda: binary_matmul(x, packed),
        {"linear float32": lambda: F.linear(x, dense)},
        moved=packed.codes.nbytes + 8.0 * rows * size,
        bar_id="K10" if size == 4096 and rows >= 8 else None,
        limit="vnni" if rows >= 8 else ("vnni", "l3"),
    )


def _signs(rows: int, size: int) -> Case:
    codes, scales = _weight(size)
    packed, x = pack(codes, scales), torch.randn(rows, size, generator=seeded(1))
    eight, signs = int8_matmul.pack(codes, scales), binarize(x)
    return Case(
        "binary_matmul",
        f"{rows}x{size}x{size} packed signs",
        2.0 * rows * size * size,
        lambda: xnor_matmul(signs, packed),
        {"int8_matmul": lambda: int8_matmul.int8_matmul(x, eight), **faiss.hamming(x, codes)},
        moved=packed.codes.nbytes + 4.0 * rows * size,
        bar_id={1: "K9-row", 64: "K9"}.get(rows) if size == 4096 else None,
        limit="popcount" if rows >= 8 else ("popcount", "l3"),
    )
