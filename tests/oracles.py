"""The two-oracle rule: how far an answer in float32 may lie from the one in float64."""

from __future__ import annotations

import torch
from torch import Tensor

EPSILON = torch.finfo(torch.float32).eps


def allowed(single: Tensor, exact: Tensor, size: Tensor | None = None) -> Tensor:
    """Twice the error of the same maths in float32, and the luck of one order of summation.

    Sums of a few outputs may come out exact in one order and not in another. What any order may
    cost grows with the sum of the terms' magnitudes, so one rounding of the largest such sum is
    allowed beside it. ``size`` (any shape) holds those sums; None where there are no long sums.
    """
    largest = 8 * exact.abs().max()
    if size is not None:
        largest = torch.maximum(largest, size.max())
    return 2 * (single - exact).abs().max() + EPSILON * largest


def within_two_oracles(
    y: Tensor, single: Tensor, exact: Tensor, size: Tensor | None = None
) -> None:
    """Assert the shape of the oracle and the rule."""
    assert y.shape == exact.shape
    if y.numel():
        assert (y - exact).abs().max() <= allowed(single, exact, size)
