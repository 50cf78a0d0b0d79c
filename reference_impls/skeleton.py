"""The filter skeleton: one factor a stripe on every convolution, and what is left when some go.

A `Skeleton` is a parametrization of a convolution's weight, so that any model trains with it and
its forward is never touched. Stripes or, for comparison, whole filters are cut from it by threshold
(`Skeleton.cut`) or down to a budget of weights (`cut_to`).

>>> skeleton = Skeleton(torch.ones(1, 4, 1, 3))
>>> skeleton.factors.data.copy_(torch.tensor([0.5, 0.001, -2.0]).view(1, 1, 1, 3)).shape
torch.Size([1, 1, 1, 3])
>>> skeleton.cut(0.01)
>>> skeleton.alive.flatten().tolist()
[True, False, True]
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from octavo.errors import InputError
from octavo.reference_impls.saliency import prunable
from octavo.reference_impls.selection import global_top

Attach = Callable[[Tensor], "Skeleton"]  # a skeleton for a convolution's weight
Keeps = Mapping[str, Tensor]  # by path of a Conv2d: bool (N, Kh, Kw)
Cost = Callable[[Keeps], int]  # weights left


class Skeleton(nn.Module):
    """One factor a stripe, as a parametrization of a convolution's weight: W becomes W * I.

    `whole` takes one factor a filter instead: the coarser pruning that stripes are compared with.
    """

    alive: Tensor

    def __init__(self, weight: Tensor, whole: bool = False) -> None:
        super().__init__()
        part = weight[:, :1, :1, :1] if whole else weight[:, :1]  # (N, 1, Kh, Kw)
        ones = torch.ones_like(part, requires_grad=False)
        self.factors = nn.Parameter(ones.detach())
        self.register_buffer("alive", torch.ones_like(ones, dtype=torch.bool))

    def forward(self, weight: Tensor) -> Tensor:
        """W * I, (N, C, Kh, Kw); the gradient of a cut stripe is zero."""
        return weight * (self.factors * self.alive)

    def kept(self, weight: Tensor) -> Tensor:
        """Which stripes of `weight` are left, bool (N, Kh, Kw) on the CPU."""
        return self.alive.expand_as(weight[:, :1])[:, 0].cpu().clone()

    @torch.no_grad()
    def cut(self, delta: float) -> None:
        """Cut the stripes at or under the threshold, but never the strongest of all."""
        size = self.factors.abs() * self.alive
        self.alive &= (size > delta) | (size == size.max())
        self.factors.mul_(self.alive)


def attached(net: nn.Module, attach: Attach = Skeleton) -> dict[str, Skeleton]:
    """Put a skeleton on every Conv2d of `net`, in place; by path."""
    paths = [p for p in prunable(net) if isinstance(net.get_submodule(p), nn.Conv2d)]
    if not paths:
        raise InputError("stripe-pruning cuts filters: the model has no Conv2d")
    skeletons = {p: attach(prunable(net)[p]) for p in paths}
    for path, skeleton in skeletons.items():
        parametrize.register_parametrization(net.get_submodule(path), "weight", skeleton)
    return skeletons


def set_scales(net: nn.Module, scale: float) -> None:
    """Start every batch norm's scale at the given value, in place."""
    for module in net.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.affine:
            nn.init.constant_(module.weight, scale)


@torch.no_grad()
def cut_to(skeletons: Mapping[str, Skeleton], budget: float, cost: Cost) -> None:
    """Cut the weakest factors of all layers together until the weights left fit the budget."""
    size = {path: s.factors.abs() for path, s in skeletons.items()}
    alive = {path: s.alive for path, s in skeletons.items()}
    best = {path: alive[path] & (s == (s * alive[path]).max()) for path, s in size.items()}
    low, high = 1, int(sum(int(a.sum()) for a in alive.values()))
    while low < high:  # the most stripes that fit
        middle = (low + high + 1) // 2
        fits = cost(_either(global_top(size, middle, alive), best)) <= budget
        low, high = (middle, high) if fits else (low, middle - 1)
    for path, keep in _either(global_top(size, low, alive), best).items():
        skeletons[path].alive &= keep
        skeletons[path].factors.mul_(keep)


def direct_cost(net: nn.Module) -> Cost:
    """Weights in the stripes that are kept, all layers together."""
    channels = {path: w.shape[1] for path, w in _conv_weights(net).items()}
    return lambda keeps: sum(int(k.sum()) * channels[path] for path, k in keeps.items())


def chain_cost(net: nn.Module) -> Cost:
    """Weights left where convolutions follow each other: a cut filter is no input to the next."""
    shapes = {path: weight.shape for path, weight in _conv_weights(net).items()}

    def cost(keeps: Keeps) -> int:
        total, inputs = 0, next(iter(shapes.values()))[1]
        for path, (filters, _, high, wide) in shapes.items():
            keep = keeps[path].reshape(filters, -1)  # one entry a stripe or one a filter
            total += int(keep.sum()) * inputs * (high * wide // keep.shape[1])
            inputs = int(keep.any(1).sum())
        return total

    return cost


def _conv_weights(net: nn.Module) -> dict[str, Tensor]:
    return {p: m.weight for p, m in net.named_modules() if isinstance(m, nn.Conv2d)}


def _either(left: Keeps, right: Keeps) -> dict[str, Tensor]:
    return {path: left[path].to(keep.device) | keep for path, keep in right.items()}
