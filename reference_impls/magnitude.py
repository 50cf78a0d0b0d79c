"""Magnitude pruning: the smallest weights go, at once or little by little while training.

Papers: learning-both-weights-and-connections-for-efficient-neural (Han, Pool, Tran, Dally, NeurIPS
2015, arXiv:1506.02626) for the rule, to-prune-or-not-to-prune-exploring-the-efficacy-of-pruning
(Zhu, Gupta, 2018, arXiv:1710.01878) for the gradual schedule.

What a trained network holds near zero it hardly uses. Remove the smallest weights, over the whole
network or the same share of each layer, and train what is left. Removed in many small steps, the
rest has time to take over: the schedule takes much while there is much, and little at the end.

| paper  | code       | meaning                                                     |
| ------ | ---------- | ----------------------------------------------------------- |
| s_f    | 1-density  | sparsity at the end                                         |
| s_t    | 1-cubic()  | sparsity after a share t of the pruning                     |
| n      | steps      | prunings, all in the first half of the epochs               |

    score = abs(w)
    s_t = s_f + (s_0 - s_f) (1 - t)^3,   s_0 = 0              1710.01878, eq. (1)

By hand: of 3, -4, 1, 2 a half stays, which is 3 and -4. Half way to 80 % sparsity 70 % is gone:
0.8 - 0.8 / 8.

>>> net = nn.Sequential(nn.Linear(4, 1, bias=False))
>>> _ = net[0].weight.data.copy_(torch.tensor([[3.0, -4.0, 1.0, 2.0]]))
>>> plan(net, Config(density=0.5)).steps[0].keep.int().tolist()
[[1, 1, 0, 0]]
>>> round(1 - cubic(0.2, 0.5), 3)
0.7

Differs: Han et al. set a threshold of a multiple of each layer's deviation by hand; here the share
  that stays is given, exactly, and of equal weights the earlier stays.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from octavo.errors import InputError
from octavo.reference_impls import saliency
from octavo.reference_impls.inputs import Batch, Data, Input
from octavo.reference_impls.masking import Held, Patterns, chosen, mask_plan
from octavo.reference_impls.measurement import Measurement
from octavo.reference_impls.plan import Plan, Weights
from octavo.reference_impls.tasks import shelf
from octavo.reference_impls.training import epochs, labelled, sgd, steps


@dataclass(frozen=True)
class Config:
    """What magnitude pruning lets the reader choose."""

    density: float = 0.1  # share of the weights kept
    scope: str = "global"  # or "layer": the same share of each layer
    epochs: int = 0  # 0: no training, no data; else prune gradually in the first half of them
    lr: float = 0.01  # of the training while pruning; times 0.1 at a half and at three quarters
    steps: int = 20  # prunings of the gradual schedule


PRUNING = 0.5  # share of the epochs that prune: while the rate is high, as 1710.01878 advises


def plan(
    model: nn.Module,
    config: Config = Config(),
    *,
    data: Data = None,
    example: Input = None,
    generator: torch.Generator | None = None,
) -> Plan:
    """Decide which weights stay; with `epochs`, train a copy while pruning it.

    Args:
        model: any module with Conv or Linear layers; it is left as it was.
        config: density, scope and, for gradual pruning, the training.
        data: batches (input, class numbers), for gradual pruning only.
        example: not needed.
        generator: not needed, nothing is random.

    Returns:
        A Plan with a Mask for every Conv and Linear weight, after the trained values if any.

    Raises:
        InputError: a density, scope or number of steps that is not allowed; epochs without data.
    """
    if not config.epochs:
        return mask_plan(model, once(model, config), "magnitude", config)
    net = copy.deepcopy(model)
    patterns = gradually(net, labelled("magnitude", data), config)
    trained = {name: t.detach().cpu().clone() for name, t in net.state_dict().items()}
    return mask_plan(model, patterns, "magnitude", config, Weights("", trained))


def once(net: nn.Module, config: Config) -> Patterns:
    """The largest weights of a network as it is."""
    return chosen(saliency.magnitude(net), config.density, config.scope)


def cubic(density: float, done: float) -> float:
    """The density after a share `done` of the pruning: eq. (1) of 1710.01878.

    >>> [round(cubic(0.1, t), 3) for t in (0, 0.5, 1, 2)]
    [1.0, 0.213, 0.1, 0.1]
    """
    return density + (1 - density) * (1 - min(1.0, done)) ** 3


def gradually(net: nn.Module, data: Sequence[Batch], config: Config) -> Patterns:
    """Train `net` in place and prune it on the cubic schedule; what is gone stays gone."""
    if config.steps < 1:
        raise InputError(f"steps={config.steps}; at least 1 pruning, 20 by default")
    updates = max(1, config.epochs * len(data))
    state = {"update": 0}
    kept = once(net, Config(1.0))

    def prune() -> None:
        nonlocal kept
        state["update"] += 1
        done = min(1.0, state["update"] / (PRUNING * updates))
        density = cubic(config.density, int(done * config.steps + 1e-9) / config.steps)
        scores = {p: s * kept[p] for p, s in saliency.magnitude(net).items()}
        kept = chosen(scores, density, config.scope)
        Held(net, kept)()

    for _ in epochs(net, data, config.epochs, sgd(net, config.lr), rate=steps, after_step=prune):
        pass
    return kept


def claims(seeds: Sequence[int], quick: bool) -> Iterator[Measurement]:
    """Measure what the record claims: minutes on two cores, under one when quick."""
    with shelf.one_thread():
        yield _exact(seeds)
        title = "Test accuracy after magnitude pruning and training again"
        yield shelf.against("over-random", title, seeds, quick, _ways, scratch=False)
        yield _gradual(seeds, quick)
        yield shelf.kernel_ms("magnitude", lambda net: plan(net, Config(0.1)), seeds[0])


def _exact(seeds: Sequence[int]) -> Measurement:
    """How far the number kept is from the density asked for, both scopes, several densities."""
    gaps = []
    for seed in seeds:
        net = shelf.network(seed)
        for density in (1.0, 0.5, 0.1, 0.013, 0.001):
            kept = sum(int(k.sum()) for k in once(net, Config(density)).values())
            gaps.append(abs(kept - shelf.count(net, density)))
    return Measurement("exact-count", max(gaps), seeds=tuple(seeds))


def _ways(net: nn.Module, batch: Batch, seed: int) -> dict[str, shelf.Way]:
    trained = saliency.magnitude(net)
    by_chance = saliency.random(net, torch.Generator().manual_seed(seed))
    return {
        "magnitude": lambda density: chosen(trained, density),
        "magnitude, layer by layer": lambda density: chosen(trained, density, "layer"),
        "random, layer by layer": lambda density: chosen(by_chance, density, "layer"),
    }


def _gradual(seeds: Sequence[int], quick: bool) -> Measurement:
    """Gradual against one-shot pruning of one trained network, equal epochs, one in fifty kept."""
    return shelf.compared(
        "gradual", seeds, quick,
        lambda net, data, count: gradually(net, data, Config(0.02, epochs=count, lr=0.05)),
        lambda net, data, count: shelf.retrain(net, data, once(net, Config(0.02)), count, 0.05),
    )  # fmt: skip
