"""GraSP: pruning before training so that what is left keeps its gradient flow.

Paper: grasp (Wang, Zhang, Grosse, ICLR 2020, arXiv:2002.07376)

How fast a network starts to learn is the squared norm of its gradient. Removing a weight changes
that norm by about the weight times the Hessian applied to the gradient. Take out those whose going
raises the norm, or lowers it least; one batch, before any training.

| paper | code        | meaning                                                     |
| ----- | ----------- | ----------------------------------------------------------- |
| g     |             | gradient of the loss                                        |
| H     |             | its Hessian                                                 |
| S     | -scores     | -w * (H g): the largest go; kept is what has the smallest   |
| T     | temperature | the logits are divided by it                                |

    norm(g(w + d))^2 = norm(g)^2 + 2 d^T H g + ...           section 4.1
    S(-w) = -w * (H g)                                       eq. (8)

By hand: weights 3 and -4, inputs 1 and 1, loss half the square of the output -1. g = (-1, -1), H is
all ones, H g = (-2, -2): w * (H g) = (-6, 8). Of one weight kept, the second stays; without the
first the output is -4 and the norm of the gradient four times as large.

>>> net = nn.Sequential(nn.Linear(2, 1, bias=False))
>>> _ = net[0].weight.data.copy_(torch.tensor([[3.0, -4.0]]))
>>> saliency.grasp(net, lambda m: 0.5 * m(torch.ones(1, 2)).square().sum())["0"].tolist()
[[-6.0, 8.0]]

Differs: the paper's batch has ten examples of each class; here it is the reader's first batches.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev

import torch
from torch import Tensor, nn

from octavo.errors import InputError
from octavo.reference_impls import saliency, snip
from octavo.reference_impls.inputs import Batch, Data, Input
from octavo.reference_impls.masking import Held, chosen, mask_plan
from octavo.reference_impls.measurement import Measurement
from octavo.reference_impls.plan import Plan
from octavo.reference_impls.tasks import shelf
from octavo.reference_impls.training import for_scoring, labelled, mean_loss


@dataclass(frozen=True)
class Config:
    """What GraSP lets the reader choose."""

    density: float = 0.1  # the paper's tables keep 10 %, 5 % and 2 %
    batches: int = 1  # the paper: one batch of ten examples a class
    temperature: float = 200.0  # section 4.2
    training: bool = True  # batch norm by the batch's own statistics, as at initialization


def plan(
    model: nn.Module,
    config: Config = Config(),
    *,
    data: Data = None,
    example: Input = None,
    generator: torch.Generator | None = None,
) -> Plan:
    """Decide from the Hessian times the gradient on a batch which weights stay.

    Args:
        model: any module with Conv or Linear layers that gives logits; it is left as it was.
        config: density, number of batches, temperature, and the mode the model is scored in.
        data: batches (input, class numbers).
        example: not needed.
        generator: not needed; dropout, if any, is off.

    Returns:
        A Plan with a Mask for every Conv and Linear weight.

    Raises:
        InputError: no data or no class numbers, a bad density, scores that are not finite, or an
            operation of the model without a second derivative.
    """
    found = labelled("grasp", data, config.batches)
    patterns = chosen(scores(model, found, config.temperature, config.training), config.density)
    return mask_plan(model, patterns, "grasp", config)


def scores(
    model: nn.Module, found: Sequence[Batch], temperature: float = 200.0, training: bool = True
) -> dict[str, Tensor]:
    """The score w * (H g) by module path; larger stays."""
    net = for_scoring(model, training)
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):  # twice derivable
        try:
            return saliency.grasp(net, mean_loss(found, temperature))
        except RuntimeError as error:
            first = str(error).splitlines()[0]
            raise InputError(f"grasp: the model has no second derivative: {first}") from error


def claims(seeds: Sequence[int], quick: bool) -> Iterator[Measurement]:
    """Measure what the record claims: minutes on two cores, under one when quick."""
    with shelf.one_thread():
        yield _curvature(seeds)
        yield _flow(seeds)
        title = "Test accuracy, pruned by GraSP and trained"
        yield shelf.against("over-random", title, seeds, quick, _ways, scratch=True)
        yield shelf.kernel_ms("GraSP", _timed, seeds[0])


def _curvature(seeds: Sequence[int]) -> Measurement:
    """H g against a central difference of the gradient along g; relative, worst layer."""
    gaps = []
    for seed in seeds:
        net, batch = shelf.smooth(seed)
        loss, weights = mean_loss([batch]), saliency.prunable(net)
        found = saliency.grasp(net, loss)
        start = {path: w.detach().clone() for path, w in weights.items()}
        g, step, sides = _gradient(net, loss), 1e-5, []
        for sign in (1, -1):
            for path, w in weights.items():
                w.data.copy_(start[path] + sign * step * g[path])
            sides.append(_gradient(net, loss))
        for path, s in found.items():
            near = start[path] * (sides[0][path] - sides[1][path]) / (2 * step)
            gaps.append(float((near - s).norm() / s.norm()))
    return Measurement("curvature", max(gaps), seeds=tuple(seeds))


def _gradient(net: nn.Module, loss: saliency.Loss) -> dict[str, Tensor]:
    weights = saliency.prunable(net)
    return dict(zip(weights, torch.autograd.grad(loss(net), list(weights.values())), strict=True))


def _flow(seeds: Sequence[int]) -> Measurement:
    """Squared norm of the gradient of what is left, GraSP over random pruning, before training."""
    ratios = []
    for seed in seeds:
        net, batch = shelf.network(seed), shelf.data(seed)[0]
        ways = _ways(net, batch, seed)
        norms = [_norm(net, batch, ways[name](shelf.JUDGED)) for name in ("GraSP", "random")]
        ratios.append(norms[0] / norms[1])
    return Measurement(
        "gradient-flow", fmean(ratios), pstdev(ratios), 1.0, "random", tuple(seeds),
        note=f"density {shelf.JUDGED}, the batch that was scored",
    )  # fmt: skip


def _norm(net: nn.Module, batch: Batch, patterns: Mapping[str, Tensor]) -> float:
    """Squared norm of the gradient over the weights that are left."""
    twin = for_scoring(net, True)
    Held(twin, patterns)()
    g = _gradient(twin, mean_loss([batch]))
    return sum(float((g[path] * keep).square().sum()) for path, keep in patterns.items())


def _ways(net: nn.Module, batch: Batch, seed: int) -> dict[str, shelf.Way]:
    flow, felt = scores(net, [batch]), snip.scores(net, [batch])
    lots = saliency.random(net, torch.Generator().manual_seed(seed))
    return {
        "GraSP": lambda density: chosen(flow, density),
        "SNIP": lambda density: chosen(felt, density),
        "random": lambda density: chosen(lots, density, "layer"),
    }


def _timed(net: nn.Module) -> Plan:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(32, shelf.PERCEPTRON[0], generator=generator)
    return plan(net, Config(0.1), data=[(x, torch.arange(32))])
