"""SNIP: single-shot pruning before training, by how much the loss feels each connection.

Paper: snip (Lee, Ajanthan, Torr, ICLR 2019, arXiv:1810.02340)

Give every weight a switch and ask, on one batch and before any training, how much the loss would
change if the switch moved: that is the gradient times the weight. Keep the connections with the
largest absolute value, over all layers together, and train once.

| paper  | code    | meaning                                                        |
| ------ | ------- | -------------------------------------------------------------- |
| c_j    |         | the switch of weight j, at 1                                   |
| g_j    |         | dL(c * w) / dc_j at c = 1                                      |
| s_j    | scores  | abs(g_j) over the sum of all; the sum does not change an order |
| kappa  | density | share of the weights that stays                                |

    g_j = dL / dw_j * w_j                                        eq. (5)
    s_j = abs(g_j) / sum_k abs(g_k)                              eq. (6)

By hand: weights 3 and -4, inputs 1 and 1, loss half the square of the output -1. The gradient is
-1 for both, so the loss feels 3 and 4: of one weight kept, the second stays.

>>> net = nn.Sequential(nn.Linear(2, 1, bias=False))
>>> _ = net[0].weight.data.copy_(torch.tensor([[3.0, -4.0]]))
>>> saliency.snip(net, lambda m: 0.5 * m(torch.ones(1, 2)).square().sum())["0"].tolist()
[[3.0, 4.0]]

Differs: the paper starts from variance-scaled weights; here the weights are the reader's.
Differs: several batches may be averaged (`batches`); the paper takes one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from octavo.reference_impls import saliency
from octavo.reference_impls.inputs import Batch, Data, Input
from octavo.reference_impls.masking import chosen, mask_plan
from octavo.reference_impls.measurement import Measurement
from octavo.reference_impls.plan import Plan
from octavo.reference_impls.tasks import shelf
from octavo.reference_impls.training import for_scoring, labelled, mean_loss


@dataclass(frozen=True)
class Config:
    """What SNIP lets the reader choose."""

    density: float = 0.1  # the paper's tables keep 10 % to 1 %
    batches: int = 1  # section 4.2: one batch
    training: bool = True  # batch norm by the batch's own statistics, as at initialization


def plan(
    model: nn.Module,
    config: Config = Config(),
    *,
    data: Data = None,
    example: Input = None,
    generator: torch.Generator | None = None,
) -> Plan:
    """Decide from the gradient of the loss on a batch which weights stay.

    Args:
        model: any module with Conv or Linear layers that gives logits; it is left as it was.
        config: density, number of batches and the mode the model is scored in.
        data: batches (input, class numbers).
        example: not needed.
        generator: not needed; dropout, if any, is off.

    Returns:
        A Plan with a Mask for every Conv and Linear weight.

    Raises:
        InputError: no data or no class numbers, a bad density, or scores that are not finite.
    """
    found = labelled("snip", data, config.batches)
    patterns = chosen(scores(model, found, config.training), config.density)
    return mask_plan(model, patterns, "snip", config)


def scores(model: nn.Module, found: Sequence[Batch], training: bool = True) -> dict[str, Tensor]:
    """abs(dL/dw * w) by module path, L the mean loss of the batches."""
    return saliency.snip(for_scoring(model, training), mean_loss(found))


def claims(seeds: Sequence[int], quick: bool) -> Iterator[Measurement]:
    """Measure what the record claims: minutes on two cores, under one when quick."""
    with shelf.one_thread():
        yield _sensitivity(seeds)
        title = "Test accuracy, pruned by SNIP and trained"
        yield shelf.against("over-random", title, seeds, quick, _ways, scratch=True)
        yield shelf.to_dense("near-dense", seeds, quick, _ways, 0.1)
        yield shelf.kernel_ms("SNIP", _timed, seeds[0])


def _sensitivity(seeds: Sequence[int]) -> Measurement:
    """Score against a central difference of the loss as a switch moves; the largest weights."""
    gaps = []
    for seed in seeds:
        net, batch = shelf.smooth(seed)
        loss, weights = mean_loss([batch]), saliency.prunable(net)
        for path, s in scores(net, [batch]).items():
            at = int(s.argmax())
            gaps.append(abs(_moved(net, weights[path], at, 1e-5, loss) / float(s.max()) - 1))
    return Measurement("sensitivity", max(gaps), seeds=tuple(seeds))


def _moved(
    net: nn.Module, weight: nn.Parameter, at: int, step: float, loss: saliency.Loss
) -> float:
    """abs(dL/dc) of the switch of one weight, by a central difference."""
    flat = weight.data.view(-1)
    value, found = float(flat[at]), []
    for c in (1 + step, 1 - step):
        flat[at] = value * c
        found.append(loss(net).item())
    flat[at] = value
    return abs(found[0] - found[1]) / (2 * step)


def _ways(net: nn.Module, batch: Batch, seed: int) -> dict[str, shelf.Way]:
    felt, magnitude = scores(net, [batch]), saliency.magnitude(net)
    lots = saliency.random(net, torch.Generator().manual_seed(seed))
    return {
        "SNIP": lambda density: chosen(felt, density),
        "magnitude at initialization": lambda density: chosen(magnitude, density),
        "random": lambda density: chosen(lots, density, "layer"),
    }


def _timed(net: nn.Module) -> Plan:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(32, shelf.PERCEPTRON[0], generator=generator)
    return plan(net, Config(0.1), data=[(x, torch.arange(32))])
