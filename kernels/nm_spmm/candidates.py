"""The forms that nm_spmm can give a dense layer."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from octavo.kernels.crossover import Candidate, Make, random_keep
from octavo.kernels.nm_spmm.layout import PANEL, Pattern
from octavo.kernels.nm_spmm.module import TWO_OF_FOUR, NmConv2d, NmLinear

SHARED = Pattern(None, None, PANEL)
Keep = Callable[[Tensor, float], Tensor]  # (weight (N, K), sparsity) to bool


def candidates() -> tuple[Candidate, ...]:
    """Two of each four inputs; and any pattern that 16 outputs share, at three sparsities."""
    return (
        Candidate("2:4", "nm_spmm", _makes(two_of_four, TWO_OF_FOUR)),
        Candidate("16x1", "nm_spmm", _makes(_shared, SHARED), (0.5, 0.75, 0.9)),
    )


def _makes(keep: Keep, pattern: Pattern) -> dict[type[nn.Module], Make]:
    return {
        nn.Linear: lambda layer, zeros: NmLinear.from_dense(_pruned(layer, keep, zeros), pattern),
        nn.Conv2d: lambda layer, zeros: NmConv2d.from_dense(_pruned(layer, keep, zeros), pattern),
    }


def _pruned(layer: Any, keep: Keep, zeros: float) -> Any:
    """A copy of a layer with the pattern's zeros; groups run along the last axis, (N, ..., C)."""
    pruned = copy.deepcopy(layer)
    last = pruned.weight.data.movedim(1, -1)  # (N, Kh, Kw, C), or (N, K)
    last *= keep(last.flatten(1), zeros).view(last.shape)
    return pruned


def two_of_four(weight: Tensor, _: float) -> Tensor:
    """A random two of each four inputs, bool like weight (N, K)."""
    n, k = weight.shape
    scores = torch.rand(n, -(-k // 4), 4, generator=torch.Generator().manual_seed(2))
    return (scores.argsort(-1).argsort(-1) < 2).view(n, -1)[:, :k]


def _shared(weight: Tensor, zeros: float) -> Tensor:
    panels = random_keep(torch.empty(-(-len(weight) // PANEL), weight.shape[1]), zeros)
    return panels.repeat_interleave(PANEL, 0)[: len(weight)]
