"""The form that int8_2of4_matmul can give a dense layer."""

from __future__ import annotations

from torch import nn

from octavo.kernels.crossover import Candidate
from octavo.kernels.int8_2of4_matmul.module import Int8TwoOfFourLinear
from octavo.kernels.nm_spmm.candidates import two_of_four


def candidates() -> tuple[Candidate, ...]:
    """8-bit codes, two of each four inputs kept, one scale a row."""
    return (Candidate("int8-2:4", "int8_2of4_matmul", {nn.Linear: _two_of_four}),)


def _two_of_four(layer: nn.Linear, _: float) -> nn.Module:
    return Int8TwoOfFourLinear.from_dense(layer, two_of_four(layer.weight, 0.5))
