"""The form that csr_spmm can give a dense layer."""

from __future__ import annotations

from torch import nn

from octavo.kernels.crossover import Candidate, random_keep
from octavo.kernels.csr_spmm.module import CsrConv2d, CsrLinear


def candidates() -> tuple[Candidate, ...]:
    """Single weights pruned anywhere, at four sparsities."""
    makes = {
        nn.Linear: lambda layer, zeros: CsrLinear.from_dense(
            layer, random_keep(layer.weight, zeros)
        ),
        nn.Conv2d: lambda layer, zeros: CsrConv2d.from_dense(
            layer, random_keep(layer.weight, zeros)
        ),
    }
    return (Candidate("CSR", "csr_spmm", makes, (0.5, 0.75, 0.9, 0.95)),)
