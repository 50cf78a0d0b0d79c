"""The form that stripe_conv2d can give a dense convolution."""

from __future__ import annotations

import torch
from torch import nn

from octavo.kernels.crossover import Candidate, random_keep
from octavo.kernels.stripe_conv2d.module import StripeConv2d


def candidates() -> tuple[Candidate, ...]:
    """Whole stripes pruned, one position of one filter at a time, at two sparsities."""
    return (Candidate("stripes", "stripe_conv2d", {nn.Conv2d: _striped}, (0.5, 0.75)),)


def _striped(layer: nn.Conv2d, zeros: float) -> nn.Module:
    n, _, height, width = layer.weight.shape
    return StripeConv2d.from_dense(layer, random_keep(torch.empty(n, height, width), zeros))
