"""Wanda: prune a trained network by weight times input norm, without any update.

Paper: a-simple-and-effective-pruning-approach-for-large-language (Sun, Liu, Bair, Kolter, ICLR
2024, arXiv:2306.11695)

In large language models a few inputs of a layer are far larger than the others, and a small weight
on such an input matters more than a large one elsewhere. Multiply each weight by the norm of its
input over a little data, and compare only the weights of one output with each other.

| paper     | code    | meaning                                                  |
| --------- | ------- | -------------------------------------------------------- |
| W_ij      | weight  | output i, input j                                        |
| norm(X_j) |         | root of the sum of squares of input j over all tokens    |
| s         | density | share of each row that stays; or n of every m            |

    S_ij = abs(W_ij) * norm(X_j)                              eq. (1)

By hand: weights 3, -4 on inputs of norm 2 and 1: scores 6 and 4, so the smaller weight stays.

>>> layer = by_norm(torch.tensor([[3.0, -4.0]]), torch.diag(torch.tensor([4.0, 1.0])), 0.5, None)
>>> layer.keep.tolist()
[[True, False]]

Differs: means instead of sums over tokens, which does not change an order; any Linear or
  convolution, a convolution's inputs being the numbers under its kernel.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from octavo.reference_impls.calibration import calibration
from octavo.reference_impls.inputs import Data, Input
from octavo.reference_impls.layerwise import (
    Layer,
    Pattern,
    block_top,
    layer_by_layer,
    pattern_of,
    row_top,
)
from octavo.reference_impls.measurement import Measurement
from octavo.reference_impls.plan import Plan
from octavo.reference_impls.tasks import encoders, shelf


@dataclass(frozen=True)
class Config:
    """What Wanda lets the reader choose."""

    density: float = 0.5  # the paper's main tables: half of the weights
    pattern: str = ""  # "2:4" or "4:8": n of every m inputs stay, instead of a share of the row
    samples: int = 128  # section 4: 128 sequences


def plan(
    model: nn.Module,
    config: Config = Config(),
    *,
    data: Data = None,
    example: Input = None,
    generator: torch.Generator | None = None,
) -> Plan:
    """Decide layer by layer which weights stay; the values do not change.

    Args:
        model: any module with Conv or Linear layers; it is left as it was.
        config: density or pattern, and how many inputs to look at.
        data: batches of inputs, no labels needed; random ones with a warning if None.
        example: the shape of random inputs.
        generator: of random inputs.

    Returns:
        A Plan with a Mask for every layer that the data reaches.

    Raises:
        InputError: a density or pattern that is not allowed, or a layer that is not known.
    """
    pattern = pattern_of(config.pattern)
    generator = generator or torch.Generator().manual_seed(0)
    found = calibration("wanda", model, data, example, config.samples, generator)
    return layer_by_layer(
        "wanda", model, config, found.inputs,
        lambda weight, moment: by_norm(weight, moment, config.density, pattern),
    )  # fmt: skip


def by_norm(weight: Tensor, moment: Tensor, density: float, pattern: Pattern | None) -> Layer:
    """One layer: weight (N, K) and the second moments of its inputs (K, K)."""
    scores = weight.abs() * moment.diagonal().clamp_min(0).sqrt()
    return Layer(row_top(scores, density, pattern), weight)


def by_norm_of_layer(weight: Tensor, moment: Tensor, density: float) -> Layer:
    """The paper's ablation: all weights of the layer are compared with each other."""
    scores = weight.abs() * moment.diagonal().clamp_min(0).sqrt()
    return Layer(block_top(scores, density), weight)


def claims(seeds: Sequence[int], quick: bool) -> Iterator[Measurement]:
    """Measure what the record claims: minutes on two cores, about one when quick."""
    with shelf.one_thread():
        ways = {"Wanda": on_encoder, "Wanda, by layer": _by_layer, "magnitude": encoders.magnitude}
        found = encoders.retained(seeds, quick, ways)
        yield encoders.gain("over-magnitude", found, "Wanda", "magnitude", 0.5, seeds)
        yield encoders.gain("over-magnitude-2-4", found, "Wanda", "magnitude", "2:4", seeds)
        yield encoders.gain("per-output", found, "Wanda", "Wanda, by layer", 0.5, seeds)
        yield shelf.kernel_ms("Wanda", _timed, seeds[0])


def on_encoder(model: nn.Module, batches: list[Any], setting: encoders.Setting) -> Plan:
    """Wanda as the tasks on the encoder call it."""
    if isinstance(setting, str):
        return plan(model, Config(pattern=setting), data=batches)
    return plan(model, Config(setting), data=batches)


def _by_layer(model: nn.Module, batches: list[Any], setting: encoders.Setting) -> Plan:
    if isinstance(setting, str):  # a pattern is compared within its m inputs in either case
        return on_encoder(model, batches, setting)
    return layer_by_layer(
        "wanda", model, Config(setting), batches,
        lambda weight, moment: by_norm_of_layer(weight, moment, setting),
    )  # fmt: skip


def _timed(net: nn.Module) -> Plan:
    x = torch.randn(32, shelf.PERCEPTRON[0], generator=torch.Generator().manual_seed(0))
    return plan(net, Config(0.1), data=[x])
