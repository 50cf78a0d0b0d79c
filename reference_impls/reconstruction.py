"""Layer-wise reconstruction: quantize one layer so that its output on real inputs stays.

The layers come in the order of the forward pass. A layer's inputs are those that the already
quantized ones before it give, its target is the output of the float model (what the AdaRound paper
calls asymmetric reconstruction).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

from octavo.errors import InputError
from octavo.reference_impls import quantizer
from octavo.reference_impls.hooks import Stage, following, stages, taken
from octavo.reference_impls.inputs import Input

LAYERS = (nn.Conv2d, nn.Conv1d, nn.Linear)


@dataclass(frozen=True, eq=False)
class Problem:
    """One layer's problem: ``following(layer(inputs; W~))`` should be ``target``."""

    layer: nn.Module
    following: Callable[[Tensor], Tensor]  # f_a: BatchNorm and activation behind it, or identity
    inputs: Tensor  # (samples, ...), from the quantized prefix
    target: Tensor  # (samples, N, ...), of the float model, after f_a
    per_input: int  # samples that one input of the model gives (tokens of a sequence), else 1

    @property
    def weight(self) -> Tensor:
        """The float weight, (N, ...)."""
        weight = self.layer.weight
        assert isinstance(weight, Tensor)
        return weight.detach().to(torch.float32)

    def output(self, weight: Tensor, inputs: Tensor) -> Tensor:
        """The layer with another weight, and what follows it."""
        return self.following(functional_call(self.layer, {"weight": weight}, (inputs,)))

    def error(self, codes: Tensor, scales: Tensor, group: int | None) -> float:
        """Mean squared error of these codes over all inputs."""
        weight = quantizer.values(codes, scales, group)
        total = 0.0
        with torch.no_grad():
            for start in range(0, len(self.inputs), 256):
                chunk = slice(start, start + 256)
                off = self.output(weight, self.inputs[chunk]) - self.target[chunk]
                total += float(off.square().sum(dtype=torch.float64))
        return total / max(1, self.target.numel())


class Enumerated(NamedTuple):
    """The best of all 2^K roundings of one row, and its loss."""

    codes: Tensor  # (K,) int8
    loss: float


def to_quantize(method: str, model: nn.Module, example: Input) -> list[Stage]:
    """The layers that a call of the model reaches, in order, but those with a shared weight.

    Raises:
        InputError: there is none.
    """
    shared = _shared(model)
    found = [stage for stage in stages(model, LAYERS, example) if stage.path not in shared]
    if not found:
        kinds = ", ".join(kind.__name__ for kind in LAYERS)
        name = type(model).__name__
        raise InputError(f"{method}: {name} calls none of {kinds} with a weight of its own")
    return found


def problem_of(exact: nn.Module, rounded: nn.Module, stage: Stage, inputs: list[Input]) -> Problem:
    """Run both models up to the layer at ``stage`` and keep what its problem needs.

    A Linear on sequences is seen token by token. The two models are in evaluation mode.

    Raises:
        InputError: a convolution that gets inputs of several sizes.
    """
    layer = exact.get_submodule(stage.path)
    behind = following(exact, stage)
    x = list(taken(rounded, stage, inputs, "input"))
    y = list(taken(exact, stage, inputs, "output"))
    per_input = 1
    if isinstance(layer, nn.Linear) and x[0].ndim > 2:
        per_input = x[0][0].numel() // x[0].shape[-1]
        x, y = [t.flatten(0, -2) for t in x], [t.flatten(0, -2) for t in y]
    if len({t.shape[1:] for t in x}) > 1:
        raise InputError(f"{stage.path!r} gets inputs of several sizes; calibrate on one size")
    with torch.no_grad():
        target = behind(torch.cat(y))
    return Problem(layer, behind, torch.cat(x), target, per_input)


def left_out(model: nn.Module, example: Input) -> dict[str, list[str]]:
    """Layers that are not quantized, by the reason: for the notes of a plan."""
    reached = {stage.path for stage in stages(model, LAYERS, example)}
    layers = [path for path, module in model.named_modules() if isinstance(module, LAYERS)]
    shared = _shared(model)
    return {
        "left as they are, no forward pass calls them as modules": [
            path for path in layers if path not in reached
        ],
        "left as they are, their weight is shared with another module": [
            path for path in layers if path in shared and path in reached
        ],
    }


def enumerate_roundings(row: Tensor, scale: Tensor, gram: Tensor, bits: int) -> Enumerated:
    """The exact binary problem of one row, by trying all 2^K roundings of its K <= 16 weights.

    Args:
        row: (K,) weights.
        scale: (1,) or (K,), the step of the grid.
        gram: (K, K), the sum of x x^T over the inputs.
        bits: bits of the grid, for clipping.
    """
    width = row.shape[0]
    if width > 16:
        raise InputError(f"{width} weights have 2^{width} roundings; enumerate at most 16")
    low, high = quantizer.bounds(bits)
    ups = torch.tensor(list(itertools.product((0.0, 1.0), repeat=width)))  # (2^K, K)
    codes = ((row / scale).floor() + ups).clamp(low, high)
    off = (codes * scale - row).double()  # (2^K, K)
    losses = ((off @ gram.double()) * off).sum(1)
    best = int(losses.argmin())
    return Enumerated(codes[best].to(torch.int8), float(losses[best]))


def _shared(model: nn.Module) -> set[str]:
    """Layers whose weight another module uses too: rounding one would change the other."""
    owners: dict[int, list[str]] = {}
    for path, module in model.named_modules():
        weight = module._parameters.get("weight")
        if weight is not None:
            owners.setdefault(id(weight), []).append(path)
    return {path for paths in owners.values() if len(paths) > 1 for path in paths}
