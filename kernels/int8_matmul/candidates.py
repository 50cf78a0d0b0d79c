"""The form that int8_matmul can give a dense layer."""

from __future__ import annotations

from torch import nn

from octavo.kernels.crossover import Candidate, Make
from octavo.kernels.int8_matmul.module import Int8Conv2d, Int8Linear


def candidates() -> tuple[Candidate, ...]:
    """8-bit codes, one scale a row."""
    makes: dict[type[nn.Module], Make] = {
        nn.Linear: lambda layer, _: Int8Linear.from_dense(layer),
        nn.Conv2d: lambda layer, _: Int8Conv2d.from_dense(layer),
    }
    return (Candidate("int8", "int8_matmul", makes),)
