"""RigL: train a sparse network of constant size whose connections move.

Paper: rigl (Evci, Gale, Menick, Castro, Elsen, ICML 2020, arXiv:1911.11134)

Start sparse at random and train. Now and then take out the smallest weights and put in, at zero,
the same number of connections where the gradient is largest: those the loss asks for most. Fewer
move each time. The network is never dense, yet it is not stuck with the lots it drew.

| paper    | code    | meaning                                                       |
| -------- | ------- | ------------------------------------------------------------- |
| s_l      | layers  | sparsity of a layer, constant: ERK or uniform                 |
| Delta T  | every   | updates between two moves                                     |
| alpha    | alpha   | share of a layer's connections that moves first               |
| T_end    | until   | share of the training after which nothing moves               |

    moved at t: alpha / 2 * (1 + cos(pi t / T_end))            section 3, (2)
    out: the smallest abs(w) of what is there                  section 3, (3)
    in:  the largest abs(dL/dw) of what is not, at zero        section 3, (4)

By hand: connections 3 and -1 are there, with gradients of 5 and 2 on the two that are not. One
moves: -1 goes, the one with 5 comes.

>>> keep = torch.tensor([True, True, False, False])
>>> weight, gradient = torch.tensor([3.0, -1.0, 0.0, 0.0]), torch.tensor([9.0, 9.0, 5.0, 2.0])
>>> moved(keep, weight, gradient, 1).tolist()
[True, False, True, False]

Differs: a move is followed by the step of the optimizer on the same gradients (the paper skips
  it), and the momentum of what has gone is dropped.
Differs: a connection that has just gone may not come back in the same move.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, pstdev

import torch
from torch import Tensor, nn

from octavo.errors import InputError
from octavo.reference_impls import random, saliency
from octavo.reference_impls.inputs import Batch, Data, Input
from octavo.reference_impls.masking import Held, Patterns, mask_plan
from octavo.reference_impls.measurement import Measurement
from octavo.reference_impls.plan import Plan, Weights
from octavo.reference_impls.selection import top
from octavo.reference_impls.tasks import pruned, shelf
from octavo.reference_impls.training import epochs, labelled, sgd, steps


@dataclass(frozen=True)
class Config:
    """What RigL lets the reader choose; defaults of section 4 but for the length."""

    density: float = 0.1
    layers: str = "erk"  # or "uniform"
    epochs: int = 20
    lr: float = 0.1
    every: int = 100  # updates between two moves
    alpha: float = 0.3
    until: float = 0.75  # share of the training
    grow: str = "gradient"  # or "random", which is SET (Mocanu et al. 2018)


def plan(
    model: nn.Module,
    config: Config = Config(),
    *,
    data: Data = None,
    example: Input = None,
    generator: torch.Generator | None = None,
) -> Plan:
    """Train a sparse copy of the model whose connections move.

    Args:
        model: any module with Conv or Linear layers that gives logits; it is left as it was.
        config: density, training, and how connections move.
        data: batches (input, class numbers), walked over once an epoch.
        example: not needed.
        generator: of the first connections; a fixed one if None.

    Returns:
        A Plan with the trained Weights and a Mask for every layer.

    Raises:
        InputError: no data or class numbers, or a setting that is not allowed.
    """
    if config.grow not in GROW or config.every < 1:
        given = f"grow={config.grow!r}, every={config.every}"
        raise InputError(f"{given}; allowed are {' and '.join(GROW)}, and at least 1 update")
    generator = generator or torch.Generator().manual_seed(0)
    batches, net = labelled("rigl", data), copy.deepcopy(model)
    patterns = learn(net, batches, config, generator)
    trained = {name: t.detach().cpu().clone() for name, t in net.state_dict().items()}
    return mask_plan(model, patterns, "rigl", config, Weights("", trained))


def learn(
    net: nn.Module, data: Sequence[Batch], config: Config, generator: torch.Generator
) -> Patterns:
    """Train `net` in place with moving connections; returns those of the end."""
    weights = saliency.prunable(net)
    spread = random.Config(config.density, config.layers)
    patterns = random.drawn(net, spread, generator)
    optimizer = sgd(net, config.lr)
    updates, done = max(1, config.epochs * len(data)), 0

    def before() -> None:
        nonlocal done
        done += 1
        if done % config.every == 0 and done < config.until * updates:
            share = fraction(config.alpha, done / (config.until * updates))
            for path, w in weights.items():
                patterns[path] = _step(patterns[path], w, share, config.grow, generator)
        for path, w in weights.items():
            _silence(optimizer, w, patterns[path])

    def after() -> None:
        Held(net, patterns)()

    after()
    for _ in epochs(
        net, data, config.epochs, optimizer, rate=steps, before_step=before, after_step=after
    ):
        pass
    return patterns


def fraction(alpha: float, done: float) -> float:
    """The share of connections that moves when a share `done` of the moving time is over.

    >>> [round(fraction(0.3, t), 3) for t in (0, 0.5, 1)]
    [0.3, 0.15, 0.0]
    """
    return alpha / 2 * (1 + math.cos(math.pi * done))


def moved(keep: Tensor, weight: Tensor, worth: Tensor, count: int) -> Tensor:
    """What is there after `count` connections of a layer have moved; of equals the earlier stays.

    Args:
        keep: what is there, bool, any shape.
        weight: its values; the smallest of what is there go.
        worth: of what is not there the largest come.
        count: how many move, at most as many as there is room for.
    """
    flat = keep.flatten()
    there, away = int(flat.sum()), int((~flat).sum())
    count = min(count, there - 1, away)
    size = weight.detach().abs().flatten().masked_fill(~flat, -math.inf)
    stays = top(size, there - count)
    comes = top(worth.detach().abs().flatten().masked_fill(flat, -math.inf), count)
    return (stays | comes).view(keep.shape)


def _step(
    keep: Tensor, w: nn.Parameter, share: float, grow: str, generator: torch.Generator
) -> Tensor:
    if w.grad is None:
        return keep
    worth = GROW[grow](w, generator)
    return moved(keep, w.cpu(), worth.cpu(), int(share * int(keep.sum())))


def _by_gradient(w: nn.Parameter, generator: torch.Generator) -> Tensor:
    assert w.grad is not None
    return w.grad


def _by_lot(w: nn.Parameter, generator: torch.Generator) -> Tensor:
    return torch.rand(w.shape, generator=generator)


GROW = {"gradient": _by_gradient, "random": _by_lot}


def _silence(optimizer: torch.optim.Optimizer, w: nn.Parameter, keep: Tensor) -> None:
    """No gradient and no momentum for what is not there."""
    keep = keep.to(w.device)
    for held in (w.grad, optimizer.state.get(w, {}).get("momentum_buffer")):
        if held is not None:
            held.mul_(keep)


def claims(seeds: Sequence[int], quick: bool) -> Iterator[Measurement]:
    """Measure what the record claims: minutes on two cores, about one when quick."""
    with shelf.one_thread():
        found = _curves(seeds, quick)
        yield _size(seeds)
        yield _gain("over-static", found, "RigL", "static, ERK", seeds)
        yield _gain("over-set", found, "RigL", "SET", seeds)
        yield _to_dense(found, seeds, quick)
        yield shelf.kernel_ms("RigL", _timed, seeds[0])


EVERY = 10  # updates: the training has a few hundred, not the paper's tens of thousands
WAYS = {
    "RigL": Config(every=EVERY),
    "SET": Config(every=EVERY, grow="random"),
    "static, ERK": Config(every=EVERY, alpha=0.0),
}
NEAR = 0.1  # the density of near-dense


def _size(seeds: Sequence[int]) -> Measurement:
    """Largest change of a layer's number of connections in training."""
    gaps = []
    for seed in seeds:
        net, generator = shelf.network(seed), torch.Generator().manual_seed(seed)
        first = random.drawn(net, random.Config(0.1), torch.Generator().manual_seed(seed))
        last = learn(net, shelf.data(seed)[:6], Config(0.1, epochs=2, every=2), generator)
        gaps += [abs(int(last[p].sum()) - int(first[p].sum())) for p in first]
    return Measurement("constant-size", max(gaps), seeds=tuple(seeds))


def _curves(seeds: Sequence[int], quick: bool) -> dict[str, dict[float, list[float]]]:
    count = shelf.EPOCHS // 2 if quick else shelf.EPOCHS
    runs = []
    for seed in seeds:
        found: dict[str, dict[float, float]] = {name: {} for name in WAYS}
        for name, config in WAYS.items():
            for density in shelf.QUICK if quick else shelf.DENSITIES:
                net, generator = shelf.network(seed), torch.Generator().manual_seed(seed)
                learn(
                    net, shelf.data(seed), replace(config, density=density, epochs=count), generator
                )
                found[name][1 / density] = shelf.score(net)
        runs.append(found)
    return pruned.gathered(runs)


def _gain(
    claim: str, found: dict[str, dict[float, list[float]]], first: str, other: str,
    seeds: Sequence[int],
) -> Measurement:  # fmt: skip
    judged = {name: at[1 / shelf.JUDGED] for name, at in found.items()}
    gains = [a - b for a, b in zip(judged[first], judged[other], strict=True)]
    each = ", ".join(f"{name} {fmean(values):.1f}" for name, values in judged.items())
    return Measurement(
        claim, fmean(gains), pstdev(gains), fmean(judged[other]), other, tuple(seeds),
        pruned.curves("Test accuracy of networks trained sparse", "accuracy, %", found),
        f"accuracy in % at density {shelf.JUDGED}: {each}; a move every {EVERY} updates",
    )  # fmt: skip


def _to_dense(
    found: dict[str, dict[float, list[float]]], seeds: Sequence[int], quick: bool
) -> Measurement:
    whole = [shelf.score(shelf.dense(seed, quick)) for seed in seeds]
    gains = [a - b for a, b in zip(found["RigL"][1 / NEAR], whole, strict=True)]
    return Measurement(
        "near-dense", fmean(gains), pstdev(gains), fmean(whole), "dense", tuple(seeds),
        note=f"density {NEAR}, equal epochs",
    )  # fmt: skip


def _timed(net: nn.Module) -> Plan:
    generator = torch.Generator().manual_seed(0)
    keep = random.drawn(net, random.Config(0.1, "uniform"), generator)
    return mask_plan(net, keep, "rigl", Config())
