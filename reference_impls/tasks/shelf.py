"""How the pruning shelf is compared: one network a seed, one order of the data, whole curves.

As ShrinkBench asks: every way of pruning starts from the same weights, sees the same batches in the
same order, is trained for the same number of epochs and judged after the last one, at six densities
and on three seeds. The task is the handwritten digits, the network a chain of 3 x 3 convolutions.

A way goes from a density to what stays: bool tensors by module path, shaped like the weights.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from statistics import fmean, pstdev
from typing import Any

import torch
from torch import Tensor, nn

from octavo.reference_impls.inputs import Batch
from octavo.reference_impls.masking import Held, Patterns
from octavo.reference_impls.measurement import Measurement
from octavo.reference_impls.plan import Plan
from octavo.reference_impls.saliency import prunable
from octavo.reference_impls.selection import keep_count
from octavo.reference_impls.tasks import digits, nets, pruned
from octavo.reference_impls.tasks.pruned import one_thread
from octavo.reference_impls.train import accuracy, minibatches
from octavo.reference_impls.training import Rate, epochs, sgd, steps

__all__ = ["one_thread"]

Way = Callable[[float], Patterns]
Ways = Callable[[nn.Module, Batch, int], Mapping[str, Way]]  # from network, batch and seed
Trained = Callable[[nn.Module, Sequence[Batch], int], object]  # trains a network in place

WIDTHS = (16, 16, 32, 32, 64, 64, 64, 64)
DENSITIES = (0.5, 0.2, 0.1, 0.05, 0.02, 0.01)
QUICK = (0.1, 0.02)
JUDGED = 0.02  # the density that the accuracy claims are about
EPOCHS, RETRAINING = 20, 10  # of the dense training, of the training after pruning
BATCH = 128
PERCEPTRON, ROWS = (1024, 2048, 1024), (1, 16, 64)  # what the kernels are timed on


def network(seed: int, widths: Sequence[int] = WIDTHS) -> nn.Module:
    """The untrained network of a seed."""
    torch.manual_seed(seed)
    return nets.vgg(1, digits.CLASSES, widths, size=8)


def smooth(seed: int) -> tuple[nn.Module, Batch]:
    """A network without a kink and a batch, float64: differences are an oracle of derivatives."""
    torch.manual_seed(seed)
    parts = nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, digits.CLASSES)
    net, batch = nn.Sequential(nn.Flatten(), *parts), data(seed)[0]
    return net.double(), Batch(batch.input.double(), batch.target)


def count(net: nn.Module, density: float) -> int:
    """How many of a network's prunable weights a density keeps."""
    return keep_count(density, sum(w.numel() for w in prunable(net).values()))


@cache
def data(seed: int) -> tuple[Batch, ...]:
    """The training digits in batches, in the order of the seed."""
    images = digits.load()
    generator = torch.Generator().manual_seed(seed)
    walk = minibatches(images.train, images.train_labels, BATCH, generator)
    return tuple(Batch(x, y) for x, y in walk)


def score(net: nn.Module) -> float:
    """Test accuracy in %."""
    images = digits.load()
    return 100 * accuracy(net, images.test, images.test_labels)


@cache
def _dense(seed: int, count: int) -> nn.Module:
    net = network(seed)
    retrain(net, data(seed), {}, count, 0.1)
    return net


def dense(seed: int, quick: bool) -> nn.Module:
    """The network of a seed, trained; a copy of its own."""
    return copy.deepcopy(_dense(seed, EPOCHS // 2 if quick else EPOCHS))


def retrain(
    net: nn.Module,
    batches: Sequence[Batch],
    patterns: Mapping[str, Tensor],
    count: int,
    lr: float,
    rate: Rate = steps,
) -> None:
    """Train in place with what is not kept at zero."""
    held = Held(net, patterns)
    held()
    for _ in epochs(net, batches, count, sgd(net, lr), rate=rate, after_step=held):
        pass


def gain(
    claim: str,
    ours: Sequence[float],
    theirs: Sequence[float],
    other: str,
    seeds: Sequence[int],
    note: str,
    series: Mapping[str, Any] | None = None,
) -> Measurement:
    """One way minus another, seed by seed: the mean and its spread; `other` names the other."""
    gains = [a - b for a, b in zip(ours, theirs, strict=True)]
    return Measurement(
        claim, fmean(gains), pstdev(gains), fmean(theirs), other, tuple(seeds), series, note
    )


def against(
    claim: str, title: str, seeds: Sequence[int], quick: bool, ways: Ways, *, scratch: bool
) -> Measurement:
    """The first way against the last: points of accuracy at the judged density, all curves beside.

    From `scratch` the untrained network is pruned and then trained in full; else the trained one is
    pruned and trained again for half as long.
    """
    whole, lr = (EPOCHS, 0.1) if scratch else (RETRAINING, 0.05)
    runs = []
    for seed in seeds:
        net = network(seed) if scratch else dense(seed, quick)
        found = {}
        for name, way in ways(net, data(seed)[0], seed).items():
            found[name] = {
                1 / density: _accuracy(net, way(density), seed, whole // 2 if quick else whole, lr)
                for density in (QUICK if quick else DENSITIES)
            }
        runs.append(found)
    curves = pruned.gathered(runs)
    first, *_, last = curves
    judged = {name: values[1 / JUDGED] for name, values in curves.items()}
    each = ", ".join(f"{name} {fmean(values):.1f}" for name, values in judged.items())
    return gain(
        claim, judged[first], judged[last], last, seeds,
        f"accuracy in % at density {JUDGED}: {each}",
        pruned.curves(title, "accuracy, %", curves),
    )  # fmt: skip


def to_dense(
    claim: str, seeds: Sequence[int], quick: bool, ways: Ways, density: float
) -> Measurement:
    """Points of accuracy of a network pruned before training over the dense one, equal epochs."""
    count = EPOCHS // 2 if quick else EPOCHS
    whole = [score(dense(seed, quick)) for seed in seeds]
    thin = []
    for seed in seeds:
        net = network(seed)
        way = next(iter(ways(net, data(seed)[0], seed).values()))
        thin.append(_accuracy(net, way(density), seed, count, 0.1))
    return gain(
        claim, thin, whole, "dense", seeds,
        f"accuracy in %: {fmean(thin):.1f} at density {density}, {fmean(whole):.1f} dense",
    )  # fmt: skip


def _accuracy(net: nn.Module, patterns: Patterns, seed: int, count: int, lr: float) -> float:
    net = copy.deepcopy(net)
    retrain(net, data(seed), patterns, count, lr)
    return score(net)


def compared(
    claim: str, seeds: Sequence[int], quick: bool, ours: Trained, other: Trained
) -> Measurement:
    """Points of accuracy of one way to train a trained network further, over another.

    Both get a copy of the same trained network, the same batches and the same number of epochs.
    """
    found: tuple[list[float], list[float]] = ([], [])
    for seed in seeds:
        for values, train in zip(found, (ours, other), strict=True):
            net = dense(seed, quick)
            train(net, data(seed), RETRAINING // 2 if quick else RETRAINING)
            values.append(score(net))
    note = f"accuracy in %: {fmean(found[0]):.1f} against {fmean(found[1]):.1f}"
    return gain(claim, *found, "the other way", seeds, note)


def kernel_ms(
    method: str, decide: Callable[[nn.Module], Plan], seed: int, claim: str = "sparse-90-ms"
) -> Measurement:
    """Times that a network of linear layers runs faster once `decide` has pruned it."""
    torch.manual_seed(seed)
    net = nets.mlp(PERCEPTRON).eval()
    thin = decide(net)
    reports = [pruned.native(thin, net, torch.randn(rows, PERCEPTRON[0])) for rows in ROWS]
    faster = {rows: report.speed_up for rows, report in zip(ROWS, reports, strict=True)}
    line = {"name": method, "x": list(faster), "y": list(faster.values())}
    each = ", ".join(f"{times:.2f} at {rows}" for rows, times in faster.items())
    return Measurement(
        claim, min(faster.values()), None, 1.0, "dense", (seed,),
        {
            "title": "Milliseconds, dense over pruned", "x_label": "rows", "y_label": "times",
            "x_scale": "log", "lines": [line],
        },
        f"linear layers {PERCEPTRON} with ReLU; least of the row counts: {each}; "
        f"{reports[0].bytes_before:,} bytes to {reports[0].bytes_after:,}, "
        f"{reports[0].macs_before:,} MACs to {reports[0].macs_after:,}; "
        f"{reports[0].backend} kernels on {reports[0].machine}",
    )  # fmt: skip
