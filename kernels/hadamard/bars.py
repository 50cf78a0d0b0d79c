"""hadamard against torch: the product with the matrix, and the butterflies in tensors."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from math import log2
from typing import Any

import torch

from octavo.kernels.bars import Case
from octavo.kernels.curves import curve
from octavo.kernels.hadamard import hadamard, reference
from octavo.kernels.timing import Call

ELEMENTS = 1 << 19


def cases(quick: bool) -> Iterator[Case]:
    """Two MiB of rows of each length."""
    for d in (128, 1024) if quick else (128, 256, 512, 1024, 2048, 4096):
        yield _rows(d)


def crossovers(quick: bool) -> Iterator[dict[str, Any]]:
    """The length of a row from which additions beat the product with the matrix."""

    def calls(length: float) -> dict[str, Call]:
        d = int(length)
        x = torch.randn((1 << 16) // d, d, generator=torch.Generator().manual_seed(0))
        return {
            "hadamard": partial(hadamard, x),
            "matmul float32": partial(torch.matmul, x, hadamard(torch.eye(d))),
        }

    lengths = (8, 64, 512) if quick else (2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
    yield curve("65536 values, by the length of a row", "length", lengths, calls)


def _rows(d: int) -> Case:
    x = torch.randn(ELEMENTS // d, d, generator=torch.Generator().manual_seed(0))
    matrix = hadamard(torch.eye(d))
    return Case(
        "hadamard",
        f"{ELEMENTS // d}x{d}",
        ELEMENTS * log2(d),
        lambda: hadamard(x),
        {"matmul float32": lambda: x @ matrix, "butterflies": lambda: reference(x, d**-0.5)},
        moved=8.0 * ELEMENTS,
        bar_id="K21" if d == 128 else "K21-long",
        limit=("fadd", "l3"),
    )
