"""The forms that nm_spmm can give a dense layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from octavo.kernels.crossover import Candidate, Make, random_keep
from octavo.kernels.nm_spmm.layout import PANEL, Pattern
from octavo.kernels.nm_spmm.module import TWO_OF_FOUR, NmConv2d, NmLinear

FREE = Pattern(None, None, PANEL)


def candidates() -> tuple[Candidate, ...]:
    """2:4, and inputs pruned for 16 outputs at once at four sparsities."""
    own: dict[type[nn.Module], Make] = {nn.Linear: _linear_2_of_4, nn.Conv2d: _conv2d_2_of_4}
    shared: dict[type[nn.Module], Make] = {
        nn.Linear: lambda layer, zeros: NmLinear.from_dense(layer, FREE, _shared(layer, zeros)),
        nn.Conv2d: lambda layer, zeros: NmConv2d.from_dense(layer, FREE, _shared(layer, zeros)),
    }
    return (
        Candidate("2:4", "nm_spmm", own),
        Candidate("16x1", "nm_spmm", shared, (0.5, 0.75, 0.9, 0.95)),
    )


def _linear_2_of_4(layer: nn.Linear, zeros: float) -> nn.Module:
    return NmLinear.from_dense(layer, TWO_OF_FOUR, _two_of_four(layer.weight))


def _conv2d_2_of_4(layer: nn.Conv2d, zeros: float) -> nn.Module:
    last = layer.weight.permute(0, 2, 3, 1)  # (N, Kh, Kw, C)
    keep = _two_of_four(last.flatten(1)).view(last.shape).permute(0, 3, 1, 2)
    return NmConv2d.from_dense(layer, TWO_OF_FOUR, keep)


def _two_of_four(weight: Tensor) -> Tensor:
    """The first and the third of every four inputs: keep (N, K)."""
    return (torch.arange(weight.shape[1]) % 2 == 0).expand(weight.shape)


def _shared(layer: nn.Module, zeros: float) -> Tensor:
    """A random pattern like the weight, the same for each 16 outputs."""
    weight = layer.get_parameter("weight")
    each = random_keep(weight[::PANEL], zeros)
    return each.repeat_interleave(PANEL, 0)[: len(weight)]
