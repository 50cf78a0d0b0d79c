"""The forms that binary_matmul can give a dense layer."""

from __future__ import annotations

from torch import nn

from octavo.kernels.binary_matmul.module import BinaryLinear
from octavo.kernels.crossover import Candidate


def candidates() -> tuple[Candidate, ...]:
    """Weights of one bit: by 8-bit activations, and by the signs of activations alone."""
    return (
        Candidate("binary", "binary_matmul", {nn.Linear: lambda layer, _: _binary(layer, False)}),
        Candidate("xnor", "binary_matmul", {nn.Linear: lambda layer, _: _binary(layer, True)}),
    )


def _binary(layer: nn.Linear, signs: bool) -> nn.Module:
    return BinaryLinear.from_dense(layer, signs)
