"""The form that int4_matmul can give a dense layer."""

from __future__ import annotations

from torch import Tensor, nn

from octavo.kernels.crossover import Candidate
from octavo.kernels.int4_matmul.module import Int4Conv2d, Int4Linear

GROUP = 128


def candidates() -> tuple[Candidate, ...]:
    """4-bit codes, a scale for each group of 128 weights where that divides the row."""
    makes = {
        nn.Linear: lambda layer, _: Int4Linear.from_dense(layer, _group(layer.weight)),
        nn.Conv2d: lambda layer, _: Int4Conv2d.from_dense(layer, _group(layer.weight)),
    }
    return (Candidate("int4", "int4_matmul", makes),)


def _group(weight: Tensor) -> int | None:
    return None if weight[0].numel() % GROUP else GROUP
