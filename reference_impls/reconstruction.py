"""Layer-wise reconstruction: quantize one layer so that its output on real inputs stays.

The layers come in the order of the forward pass. A layer's inputs are those that the already
quantized ones before it give, its target is the output of the float model (what the AdaRound paper
calls asymmetric reconstruction). Only a sample of output positions is kept of each layer.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from octavo.errors import InputError
from octavo.reference_impls import quantizer
from octavo.reference_impls.hooks import NORMS, Stage, following, stages, taken, watched
from octavo.reference_impls.inputs import Input

LAYERS = (nn.Conv2d, nn.Conv1d, nn.Linear)
ROWS, ELEMENTS = 8192, 1 << 24  # bounds on the rows kept of a layer, and on their numbers


@dataclass(frozen=True, eq=False)
class Problem:
    """One layer as a matrix product on R sampled output positions (pixels, tokens, rows).

    ``following(rows W~^T + bias)`` should be ``target``. A convolution's row is the patch under its
    kernel; G is its number of groups, K the weights of one output.
    """

    weight: Tensor  # (N, ...), float32
    bias: Tensor | None  # (N,)
    rows: Tensor  # (R, G, K), from the quantized prefix
    target: Tensor  # (R, N), of the float model, after f_a
    following: Callable[[Tensor], Tensor]  # f_a on (R, N)

    def output(self, weight: Tensor, rows: Tensor) -> Tensor:
        """The layer with another weight (N, ...) on rows (R, G, K), and what follows it: (R, N)."""
        groups, width = rows.shape[1:]
        if groups == 1:
            raw = nn.functional.linear(rows[:, 0], weight.reshape(-1, width), self.bias)
        else:
            parts = weight.reshape(groups, -1, width)  # (G, N / G, K)
            raw = torch.einsum("rgk,gnk->rgn", rows, parts).flatten(1)  # (R, N)
            raw = raw if self.bias is None else raw + self.bias
        return self.following(raw)

    def error(self, codes: Tensor, scales: Tensor, group: int | None) -> float:
        """Mean squared error of these codes over all rows."""
        with torch.no_grad():
            off = self.output(quantizer.values(codes, scales, group), self.rows) - self.target
        return float(off.square().mean(dtype=torch.float64))


@dataclass(frozen=True, eq=False)
class Target:
    """What the float model does at one layer: sampled positions of its outputs, and f_a of them."""

    stage: Stage
    picks: tuple[Tensor, ...]  # for each call, (R_c, axes): batch and position of a row
    target: Tensor  # (R, N)
    following: Callable[[Tensor], Tensor]


class Chosen(NamedTuple):
    """The layers to quantize, in order, and those that are not, by the reason (for the notes)."""

    stages: tuple[Stage, ...]
    left_out: dict[str, list[str]]


class Enumerated(NamedTuple):
    """The best of all 2^K roundings of one row, and its loss."""

    codes: Tensor  # (K,) int8
    loss: float


def choose(method: str, model: nn.Module, example: Input) -> Chosen:
    """The layers that a call of the model reaches and that have a weight of their own.

    Raises:
        InputError: there is none.
    """
    reached = stages(model, LAYERS, example)
    shared = _shared(model)
    found = tuple(stage for stage in reached if stage.path not in shared)
    if not found:
        kinds = ", ".join(kind.__name__ for kind in LAYERS)
        name = type(model).__name__
        raise InputError(f"{method}: {name} calls none of {kinds} with a weight of its own")
    called = {stage.path for stage in reached}
    layers = [path for path, module in model.named_modules() if isinstance(module, LAYERS)]
    return Chosen(found, {
        "left as they are, no forward pass calls them as modules": [
            path for path in layers if path not in called
        ],
        "left as they are, their weight is shared with another module": [
            path for path in layers if path in shared and path in called
        ],
    })  # fmt: skip


def targets(
    exact: nn.Module,
    found: Sequence[Stage],
    inputs: Sequence[Input],
    generator: torch.Generator,
) -> list[Target]:
    """Sample output positions of each layer, and keep the float model's outputs there: one pass.

    Up to ``ROWS`` positions a layer, fewer where a row is wide, spread evenly over the calls.
    """
    picks: dict[str, list[Tensor]] = {stage.path: [] for stage in found}
    outputs: dict[str, list[Tensor]] = {stage.path: [] for stage in found}
    behind: dict[str, Callable[[Tensor], Tensor]] = {}

    def see(stage: Stage, y: Tensor) -> None:
        layer = exact.get_submodule(stage.path)
        behind[stage.path] = _on_rows(layer, stage, exact, y.ndim)
        each = -(-_rows(layer) // (len(inputs) * stage.calls))
        last = y if isinstance(layer, nn.Linear) else y.movedim(1, -1)  # (B, positions ..., N)
        chosen = _pick(last.shape[:-1], each, generator)
        picks[stage.path].append(chosen)
        outputs[stage.path].append(last[tuple(chosen.T)])

    watched(exact, found, inputs, see)
    with torch.no_grad():
        return [
            Target(
                s, tuple(picks[s.path]), behind[s.path](torch.cat(outputs[s.path])), behind[s.path]
            )
            for s in found
        ]


def problem_of(rounded: nn.Module, aim: Target, inputs: Sequence[Input]) -> Problem:
    """Run the model quantized so far up to a layer, and take the rows at the sampled positions."""
    layer = rounded.get_submodule(aim.stage.path)
    calls = taken(rounded, aim.stage, inputs)
    rows = torch.cat([_patches(layer, x, p) for x, p in zip(calls, aim.picks, strict=True)])
    assert isinstance(layer, LAYERS)
    exact = layer.weight.detach().to(torch.float32)
    return Problem(exact, layer.bias, rows, aim.target, aim.following)


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


def _rows(layer: nn.Module) -> int:
    """How many rows of this layer are kept: at most ROWS, and at most ELEMENTS numbers in all."""
    weight = layer.weight
    assert isinstance(weight, Tensor)
    width = weight[0].numel() * getattr(layer, "groups", 1)
    return max(256, min(ROWS, ELEMENTS // width))


def _pick(shape: torch.Size, count: int, generator: torch.Generator) -> Tensor:
    """Up to ``count`` different positions of a tensor of this shape, (R, axes)."""
    total = shape.numel()
    flat = torch.randperm(total, generator=generator)[:count].sort().values
    return torch.stack(torch.unravel_index(flat, shape), 1)


def _patches(layer: nn.Module, x: Tensor, picks: Tensor) -> Tensor:
    """The inputs that make the outputs at ``picks``: (R, G, K)."""
    if isinstance(layer, nn.Linear):
        return x[tuple(picks.T)].unsqueeze(1)
    assert isinstance(layer, nn.Conv1d | nn.Conv2d)
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    padded = nn.functional.pad(x, layer._reversed_padding_repeated_twice, mode=mode)
    axes = len(layer.kernel_size)
    index = [
        picks[:, 0].view(-1, *[1] * (axes + 1)),
        torch.arange(x.shape[1]).view(-1, *[1] * axes),
    ]
    for axis in range(axes):
        start = picks[:, axis + 1, None] * layer.stride[axis]  # (R, 1)
        along = start + torch.arange(layer.kernel_size[axis]) * layer.dilation[axis]  # (R, k)
        index.append(along.view(len(picks), 1, *[-1 if a == axis else 1 for a in range(axes)]))
    return padded[tuple(index)].reshape(len(picks), layer.groups, -1)  # from (R, C, k, k)


def _on_rows(
    layer: nn.Module, stage: Stage, model: nn.Module, ndim: int
) -> Callable[[Tensor], Tensor]:
    """f_a for (R, N); what stands behind a convolution gets its positions back, as ones."""
    behind = following(model, stage)
    if isinstance(layer, nn.Linear):
        normed = any(isinstance(model.get_submodule(p), NORMS) for p in stage.following)
        return (lambda x: x) if normed and ndim > 2 else behind
    ones = (1,) * (ndim - 2)
    return lambda x: behind(x.reshape(*x.shape, *ones)).flatten(1)


def _shared(model: nn.Module) -> set[str]:
    """Layers whose weight another module uses too: rounding one would change the other."""
    owners: dict[int, list[str]] = {}
    for path, module in model.named_modules():
        weight = module._parameters.get("weight")
        if weight is not None:
            owners.setdefault(id(weight), []).append(path)
    return {path for paths in owners.values() if len(paths) > 1 for path in paths}
