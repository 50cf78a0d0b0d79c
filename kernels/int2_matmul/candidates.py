"""The form that int2_matmul can give a dense layer."""

from __future__ import annotations

from torch import nn

from octavo.kernels.crossover import Candidate
from octavo.kernels.int2_matmul.module import Int2Linear

GROUP = 128


def candidates() -> tuple[Candidate, ...]:
    """Ternary codes, a scale for each group of 128 weights where that divides the row."""
    return (Candidate("int2", "int2_matmul", {nn.Linear: _ternary}),)


def _ternary(layer: nn.Linear, _: float) -> nn.Module:
    return Int2Linear.from_dense(layer, None if layer.in_features % GROUP else GROUP)
