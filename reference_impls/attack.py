"""Attack a network in a box around its inputs, and say what it withstands: measured and proved."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist, fmean

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from octavo.reference_impls.inputs import call, evaluating, output_of


def attacked(
    net: nn.Module, x: Tensor, harm: Callable[[Tensor], Tensor], epsilon: float, count: int,
    generator: torch.Generator,
) -> Tensor:  # fmt: skip
    """Projected gradient ascent of `harm` (of logits) in the box of epsilon, from a random start.

    Steps are 2.5 epsilon / count. The network's mode is as it is; its gradients are left alone.
    """
    change = (torch.rand(x.shape, generator=generator) * 2 - 1) * epsilon
    for _ in range(count):
        change.requires_grad_(True)
        with torch.enable_grad():
            value = harm(output_of(call(net, x + change)))
            (slope,) = torch.autograd.grad(value, change)
        step = change.detach() + 2.5 * epsilon / count * slope.sign()
        change = step.clamp(-epsilon, epsilon)
    return (x + change).detach()


def robust(
    net: nn.Module, x: Tensor, y: Tensor, epsilon: float, generator: torch.Generator,
    count: int = 50, restarts: int = 3,
) -> float:  # fmt: skip
    """Share of inputs that stay right under every restart of a strong attack."""
    right = torch.ones(len(x), dtype=torch.bool)
    with evaluating(net):
        for _ in range(restarts):
            worst = attacked(net, x, lambda z: F.cross_entropy(z, y), epsilon, count, generator)
            right &= output_of(call(net, worst)).argmax(-1) == y
    return float(right.float().mean())


def certified(
    net: nn.Module, x: Tensor, y: Tensor, sigma: float, generator: torch.Generator, draws: int = 200
) -> float:
    """Mean certified L2 radius by randomised smoothing (Cohen et al. 2019), zero where wrong.

    The probability of the right class gets its lower 99.9 % bound by Hoeffding's inequality; the
    radius is sigma * Phi^-1 of it where it is above a half.
    """
    votes = torch.zeros(len(x))
    with evaluating(net):
        for _ in range(draws):
            noisy = x + sigma * torch.randn(x.shape, generator=generator)
            votes += output_of(call(net, noisy)).argmax(-1) == y
    slack = math.sqrt(math.log(1 / 0.001) / (2 * draws))
    bounds = (votes / draws - slack).clamp(max=1 - 1e-6).tolist()
    return fmean(sigma * NormalDist().inv_cdf(p) if p > 0.5 else 0.0 for p in bounds)
