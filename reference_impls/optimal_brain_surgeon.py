"""Optimal brain surgeon: what is left makes up for what goes, by the curvature of the error.

Papers: learning-to-prune-deep-neural-networks-via-layer-wise-optimal (Dong, Chen, Pan, NeurIPS
2017, arXiv:1705.07565) for the layer by layer form of Hassibi and Stork's surgeon of 1992,
sparsegpt (Frantar, Alistarh, ICML 2023, arXiv:2301.00774) for the form that scales.

The error a layer makes on some data is quadratic in its weights. So the cheapest weight to remove,
and how all others should move to make up for it, have a closed form. Doing that one weight at a
time is exact and slow. Walking over the columns once, removing in blocks and updating only the
columns to the right, costs one factorisation a layer.

| paper      | code     | meaning                                                         |
| ---------- | -------- | --------------------------------------------------------------- |
| H          | h        | second moments of the layer's inputs, with `damping` on top     |
| w_q        |          | the weight that goes                                            |
| L_q        | cost     | how much the error rises                                        |
| delta      |          | how the other weights of the output move                        |
| B          | block    | columns whose removals are decided together                     |

    L_q   = w_q^2 / [H^-1]_qq        (the error is w^T H w, without the factor 1/2)
    delta = -w_q / [H^-1]_qq * H^-1[:, q]
    sweep: the same with the Cholesky factor of H^-1, for columns to the right of q only

By hand: H = ((2, 1), (1, 1)), so H^-1 = ((1, -1), (-1, 2)); weights 1 and 1. Removing the first
costs 1 / 1 and moves the second by -1 / 1 * -1 = +1, to 2; removing the second costs 1 / 2 and
moves the first by +1 / 2. The second goes; the error is 0.5^2 * 2 - 2 * 0.5 * 1 + 1 = 0.5.

>>> weight = torch.tensor([[1.0, 1.0]], dtype=torch.float64)
>>> exact(weight, torch.tensor([[2.0, 1.0], [1.0, 1.0]], dtype=torch.float64), 0.5).weight.tolist()
[[1.5, 0.0]]

Differs: the share is the same for every output in the exact form; in the sweep it is exact in every
  block of columns (SparseGPT's threshold may take a few more on ties).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev
from typing import Any

import torch
from torch import Tensor, nn

from octavo.errors import InputError
from octavo.reference_impls import wanda
from octavo.reference_impls.calibration import calibration
from octavo.reference_impls.inputs import Data, Input
from octavo.reference_impls.layerwise import (
    Layer,
    Pattern,
    block_top,
    layer_by_layer,
    output_error,
    pattern_of,
    row_top,
)
from octavo.reference_impls.measurement import Measurement
from octavo.reference_impls.plan import Plan
from octavo.reference_impls.selection import keep_count
from octavo.reference_impls.tasks import encoders, shelf

LARGEST = 512  # inputs of a layer that the exact form takes: its time grows with the cube


@dataclass(frozen=True)
class Config:
    """What the surgeon lets the reader choose."""

    density: float = 0.5  # 2301.00774: half of the weights
    pattern: str = ""  # "2:4" or "4:8": n of every m inputs stay; the sweep only
    form: str = "sweep"  # SparseGPT's; or "exact", one weight at a time
    block: int = 128  # 2301.00774: columns decided together
    damping: float = 0.01  # 2301.00774: of the mean of H's diagonal, added to it
    samples: int = 128  # 2301.00774: 128 sequences


def plan(
    model: nn.Module,
    config: Config = Config(),
    *,
    data: Data = None,
    example: Input = None,
    generator: torch.Generator | None = None,
) -> Plan:
    """Decide layer by layer which weights stay and what they become.

    Args:
        model: any module with Conv or Linear layers; it is left as it was.
        config: density or pattern, the form, and how many inputs to look at.
        data: batches of inputs, no labels needed; random ones with a warning if None.
        example: the shape of random inputs.
        generator: of random inputs.

    Returns:
        A Plan with new Weights and a Mask for every layer that the data reaches.

    Raises:
        InputError: a setting that is not allowed, a layer that is not known, or one that is too
            wide for the exact form.
    """
    pattern = pattern_of(config.pattern)
    if config.form not in ("sweep", "exact") or config.block < 1:
        given = f"form={config.form!r}, block={config.block}"
        raise InputError(f"{given}; allowed are 'sweep' and 'exact', and blocks of at least 1")
    generator = generator or torch.Generator().manual_seed(0)
    found = calibration("optimal-brain-surgeon", model, data, example, config.samples, generator)

    def decide(weight: Tensor, moment: Tensor) -> Layer:
        h = damped(moment, config.damping)
        if config.form == "exact":
            return exact(weight, h, config.density)
        return sweep(weight, h, config.density, pattern, config.block)

    return layer_by_layer("optimal-brain-surgeon", model, config, found.inputs, decide)


def damped(moment: Tensor, damping: float) -> Tensor:
    """H: the moments with a share of their mean diagonal on top; unused inputs get 1."""
    diagonal = moment.diagonal()
    h = moment.clone()
    h.diagonal().copy_(torch.where(diagonal > 0, diagonal + damping * diagonal.mean(), 1.0))
    return h


def exact(weight: Tensor, h: Tensor, density: float) -> Layer:
    """One weight at a time, each output by itself: weight (N, K) and h (K, K) float64."""
    k = weight.shape[1]
    if k > LARGEST:
        raise InputError(f"form='exact' takes layers of up to {LARGEST} inputs, not {k}; use sweep")
    rows = [_exact_row(row, h, keep_count(density, k)) for row in weight]
    new = torch.stack(rows)
    return Layer(new != 0, new)


def _exact_row(row: Tensor, h: Tensor, count: int) -> Tensor:
    row, inverse = row.clone(), torch.linalg.inv(h)
    left = torch.ones_like(row, dtype=torch.bool)
    for _ in range(len(row) - count):
        cost = row.square() / inverse.diagonal()
        q = int(torch.where(left, cost, torch.inf).argmin())
        column, pivot = inverse[:, q].clone(), float(inverse[q, q])
        row -= row[q] / pivot * column
        inverse -= torch.outer(column, column) / pivot
        left[q] = False
        row[~left] = 0.0
        inverse.diagonal()[~left] = 1.0  # gone: never asked again
    return row


def sweep(
    weight: Tensor, h: Tensor, density: float, pattern: Pattern | None = None, block: int = 128
) -> Layer:
    """One walk over the columns, SparseGPT's algorithm 1: weight (N, K) and h (K, K) float64."""
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(h))
    factor = torch.linalg.cholesky(inverse, upper=True)
    new, keep = weight.clone(), torch.ones_like(weight, dtype=torch.bool)
    width = block if pattern is None else max(1, block // pattern.m) * pattern.m
    for start in range(0, weight.shape[1], width):
        stop = min(start + width, weight.shape[1])
        inner = factor[start:stop, start:stop]
        part, errors = new[:, start:stop], torch.empty_like(new[:, start:stop])
        if pattern is None:
            keep[:, start:stop] = block_top(_costs(part, inner), density)
        for j in range(stop - start):
            if pattern is not None and j % pattern.m == 0:
                group = slice(j, j + pattern.m)
                costs = _costs(part[:, group], inner[group, group])
                keep[:, start:stop][:, group] = row_top(costs, 1.0, pattern)
            gone = torch.where(keep[:, start + j], 0.0, part[:, j])
            errors[:, j] = gone / inner[j, j]
            part[:, j:] -= torch.outer(errors[:, j], inner[j, j:])
        new[:, stop:] -= errors @ factor[start:stop, stop:]
    return Layer(keep, new * keep)


def _costs(weight: Tensor, factor: Tensor) -> Tensor:
    """How much the error rises when a weight goes and the columns to its right make up for it."""
    return (weight / factor.diagonal()).square()


def claims(seeds: Sequence[int], quick: bool) -> Iterator[Measurement]:
    """Measure what the record claims: minutes on two cores, under two when quick."""
    with shelf.one_thread():
        yield _removal(seeds)
        yield from _errors(seeds)
        ways = {"surgeon": _surgeon, "Wanda": wanda.on_encoder, "magnitude": encoders.magnitude}
        found = encoders.retained(seeds, quick, ways)
        yield encoders.gain("over-magnitude", found, "surgeon", "magnitude", 0.5, seeds)
        yield encoders.gain("over-wanda", found, "surgeon", "Wanda", 0.5, seeds)
        yield encoders.gain("over-wanda-2-4", found, "surgeon", "Wanda", "2:4", seeds)
        yield shelf.kernel_ms("optimal brain surgeon", _timed, seeds[0])


def _problem(seed: int, n: int, k: int) -> tuple[Tensor, Tensor]:
    """A layer and correlated inputs: weight (N, K) and moments (K, K), float64."""
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(k, k, generator=generator, dtype=torch.float64) / k**0.5
    x = torch.randn(4 * k, k, generator=generator, dtype=torch.float64) @ mix
    return torch.randn(n, k, generator=generator, dtype=torch.float64), x.T @ x / len(x)


def _removal(seeds: Sequence[int]) -> Measurement:
    """The error after removing one weight against the closed form, relative."""
    gaps = []
    for seed in seeds:
        weight, moment = _problem(seed, 8, 24)
        new = exact(weight, moment, 23 / 24).weight
        costs = (weight.square() / torch.linalg.inv(moment).diagonal()).min(1).values
        gaps.append(abs(output_error(weight, new, moment) / float(costs.mean()) - 1))
    return Measurement("closed-form", max(gaps), seeds=tuple(seeds))


def _errors(seeds: Sequence[int]) -> Iterator[Measurement]:
    """The sweep's error at half of the weights against the exact form's and Wanda's."""
    found: dict[str, list[float]] = {
        "sweep": [],
        "exact": [],
        "no update": [],
        "least squares": [],
    }
    for seed in seeds:
        weight, moment = _problem(seed, 32, 96)
        h = damped(moment, 0.01)
        layers = {
            "sweep": sweep(weight, h, 0.5),
            "exact": exact(weight, h, 0.5),
            "no update": wanda.by_norm(weight, moment, 0.5, None),
        }
        layers["least squares"] = _best(weight, h, layers["sweep"].keep)
        for name, layer in layers.items():
            found[name].append(output_error(weight, layer.weight * layer.keep, moment))
    claimed = {
        "near-exact": "exact",
        "near-best-values": "least squares",
        "update-helps": "no update",
    }
    for claim, name in claimed.items():
        pairs = zip(found["sweep"], found[name], strict=True)
        ratios = [b / a if claim == "update-helps" else a / b for a, b in pairs]
        yield Measurement(
            claim, fmean(ratios), pstdev(ratios), 1.0, name, tuple(seeds),
            note="32 outputs, 96 correlated inputs, half of the weights",
        )  # fmt: skip


def _best(weight: Tensor, h: Tensor, keep: Tensor) -> Layer:
    """The values with the least error for a mask, row by row."""
    new = torch.zeros_like(weight)
    for row, target, stays in zip(weight, new, keep, strict=True):
        target[stays] = torch.linalg.solve(h[stays][:, stays], h[stays] @ row)
    return Layer(keep, new)


def _surgeon(model: nn.Module, batches: list[Any], setting: encoders.Setting) -> Plan:
    if isinstance(setting, str):
        return plan(model, Config(pattern=setting), data=batches)
    return plan(model, Config(setting), data=batches)


def _timed(net: nn.Module) -> Plan:
    x = torch.randn(32, shelf.PERCEPTRON[0], generator=torch.Generator().manual_seed(0))
    return plan(net, Config(0.1), data=[x])
