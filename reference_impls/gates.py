"""Gates on what can be cut from a network: hard concrete, and a model that passes through them.

A hard-concrete gate is random while it learns, differentiable in its log alpha, and yet exactly 0
or 1 with positive probability. A gate multiplies the columns that read a unit (see `dependency`):
the output of an attention head, a feed-forward unit, a channel. Closed, it is as if the unit had
been cut out.

Source: Louizos, Welling, Kingma, Learning Sparse Neural Networks through L0 Regularization (ICLR
2018, arXiv:1712.01312), eqs. (10) to (13); the gates' places from arXiv:1910.06360.

>>> round(chance(torch.tensor(0.0)).item(), 3), round(settled(torch.tensor(0.0)).item(), 3)
(0.832, 0.5)
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

from octavo.errors import InputError
from octavo.reference_impls.inputs import Input
from octavo.reference_impls.saliency import EMBEDDINGS
from octavo.reference_impls.structured_dependency import Unit, grouped

PER_CHANNEL = (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm)
BETA, LOW, HIGH = 2 / 3, -0.1, 1.1
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
Groups = Sequence[Sequence[Unit]]


def noisy(openness: Tensor, uniform: Tensor) -> Tensor:
    """Gates as they are while they learn: hard concrete from log alpha and uniform numbers."""
    s = ((uniform.log() - (1 - uniform).log() + openness) / BETA).sigmoid()
    return (s * (HIGH - LOW) + LOW).clamp(0, 1)


def settled(openness: Tensor) -> Tensor:
    """Gates without noise."""
    return (openness.sigmoid() * (HIGH - LOW) + LOW).clamp(0, 1)


def chance(openness: Tensor) -> Tensor:
    """The probability that a gate is not zero."""
    return (openness - BETA * math.log(-LOW / HIGH)).sigmoid()


def gateable(model: nn.Module, groups: Groups) -> list[Sequence[Unit]]:
    """The groups without those that a norm counts over, as the width of an encoder.

    One unit of such a width changes what all others are divided by: closed is not cut.
    """
    normed = {
        path
        for path, module in model.named_modules()
        if "norm" in type(module).__name__.lower() and not isinstance(module, PER_CHANNEL)
    }
    return [
        group
        for group in groups
        if not any(name.rpartition(".")[0] in normed for name, _, _ in group[0])
    ]


def units(
    model: nn.Module, example: Input, exclude: Sequence[str] = ()
) -> tuple[Groups, tuple[str, ...]]:
    """Heads, feed-forward units and channels that gates can close, in groups, and notes."""
    every, notes = grouped(model, example, exclude)
    groups = gateable(model, every)
    if not groups:
        raise InputError(
            "gates: all units of this model are counted over by a norm; "
            "needed are heads, feed-forward units or channels without one"
        )
    return groups, notes


class Reading(NamedTuple):
    """A weight that reads gated units: along which dimension, and the gate of each index."""

    name: str
    dim: int
    gate: Tensor  # int64; one past the last gate: always open


def readings(model: nn.Module, groups: Groups) -> list[Reading]:
    """Every weight whose columns read units, the gates numbered group after group."""
    tensors, modules = dict(model.named_parameters()), dict(model.named_modules())
    total = sum(len(group) for group in groups)
    found: dict[tuple[str, int], Tensor] = {}
    for number, unit in enumerate(unit for group in groups for unit in group):
        for name, dim, i in unit:
            module = modules[name.rpartition(".")[0]]
            reads = not isinstance(module, EMBEDDINGS) and dim == int(
                not isinstance(module, TRANSPOSED)
            )
            if name in tensors and tensors[name].ndim > 1 and reads:
                empty = torch.full((tensors[name].shape[dim],), total)
                found.setdefault((name, dim), empty)[i] = number
    return [Reading(name, dim, gate) for (name, dim), gate in found.items()]


class Gated(nn.Module):
    """A model with frozen weights whose heads and units pass through gates."""

    def __init__(self, model: nn.Module, groups: Groups) -> None:
        super().__init__()
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.readings = readings(model, groups)
        self.gates = torch.ones(sum(len(group) for group in groups))

    def train(self, mode: bool = True) -> Gated:
        """The frozen model stays in evaluation mode, whatever the gates do."""
        super().train(mode)
        self.model.eval()
        return self

    def forward(self, *args: Any, **named: Any) -> Any:
        """The model's output with the columns that read a unit times its gate."""
        padded = torch.cat([self.gates, torch.ones(1)])
        weights = dict(self.model.named_parameters())
        gated: dict[str, Tensor] = {}
        for name, dim, gate in self.readings:
            shape = [-1 if d == dim else 1 for d in range(weights[name].ndim)]
            gated[name] = gated.get(name, weights[name]) * padded[gate].view(shape)
        return functional_call(self.model, gated, args, named)


def is_heads(group: Sequence[Unit]) -> bool:
    """Whether units are attention heads or other blocks: each has several rows of one matrix."""
    rows = [(name, dim) for name, dim, _ in group[0] if dim == 0 and name.endswith("weight")]
    return len(rows) > len(set(rows))
