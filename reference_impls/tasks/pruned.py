"""What pruning papers measure: layers left empty, and accuracy once what is left is trained.

A pattern here is what `selection` returns: a bool tensor by path, shaped like the weight.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, pstdev
from typing import Any

import torch
from torch import Tensor, nn

from octavo.reference_impls import saliency
from octavo.reference_impls.masking import Held, chosen
from octavo.reference_impls.plan import Plan
from octavo.reference_impls.report import Report
from octavo.reference_impls.tasks.digits import Images
from octavo.reference_impls.train import accuracy, classify, fit, minibatches

Pattern = Mapping[str, Tensor]
Prune = Callable[[float], Pattern]  # from a compression (10: a tenth stays) to what stays
TEMPERATURE = 200  # of GraSP's logits, as its authors have it


def thinnest(pattern: Pattern) -> int:
    """Weights left in the layer that has the fewest.

    >>> thinnest({"a": torch.tensor([True, True]), "b": torch.tensor([False, True])})
    1
    """
    return min(int(keep.sum()) for keep in pattern.values())


def emptied(pattern: Pattern) -> int:
    """Layers without any weight left."""
    return sum(not bool(keep.any()) for keep in pattern.values())


def grid(net: nn.Module, step: float) -> list[float]:
    """Compressions from 1 to one weight a layer, evenly spaced in decades, at most `step` apart.

    >>> [round(c, 2) for c in grid(nn.Sequential(nn.Linear(10, 10)), 1)]
    [1.0, 10.0, 100.0]
    """
    weights = saliency.prunable(net).values()
    decades = math.log10(sum(w.numel() for w in weights) / len(weights))
    count = math.ceil(decades / step - 1e-9)
    return [10 ** (decades * i / count) for i in range(count + 1)]


def once(scores: Mapping[str, Tensor]) -> Prune:
    """Prune in one shot by the given scores."""
    return lambda compression: chosen(scores, 1 / compression)


def baselines(
    net: nn.Module, images: Images, seed: int, *, training: bool = True, batch: int = 256
) -> dict[str, Prune]:
    """Random, magnitude, SNIP and GraSP in one shot; the latter two see one batch of images.

    In training mode batch norm takes the statistics of that batch, as in training.
    """
    generator = torch.Generator().manual_seed(seed)
    x, y = next(minibatches(images.train, images.train_labels, batch, generator))
    net = copy.deepcopy(net).train(training)
    return {
        "random": once(saliency.random(net, generator)),
        "magnitude": once(saliency.magnitude(net)),
        "SNIP": once(saliency.snip(net, lambda m: classify(m, x, y))),
        "GraSP": once(
            saliency.grasp(net, lambda m: nn.functional.cross_entropy(m(x) / TEMPERATURE, y))
        ),
    }


def trained(
    net: nn.Module, pattern: Pattern, images: Images, epochs: int, seed: int, lr: float = 0.1
) -> float:
    """Train a copy of `net` with what is not kept at zero; its test accuracy after the last epoch.

    The seed gives the order of the data, so equal seeds see equal batches whatever is pruned.
    """
    net = copy.deepcopy(net)
    held = Held(net, pattern)
    held()
    generator = torch.Generator().manual_seed(seed)
    fit(
        net, images.train, images.train_labels,
        epochs=epochs, generator=generator, lr=lr, after_step=held,
    )  # fmt: skip
    return accuracy(net, images.test, images.test_labels)


def accuracies(
    net: nn.Module, ways: Mapping[str, Prune], sweep: Sequence[float], images: Images,
    epochs: int, seed: int,
) -> dict[str, dict[float, float]]:  # fmt: skip
    """Test accuracy in % after training, by way of pruning and by compression."""
    return {
        name: {c: 100 * trained(net, prune(c), images, epochs, seed) for c in sweep}
        for name, prune in ways.items()
    }


def gathered(
    runs: Sequence[Mapping[str, Mapping[float, float]]],
) -> dict[str, dict[float, list[float]]]:
    """The values of one run a seed, side by side.

    >>> gathered([{"a": {1.0: 5}}, {"a": {1.0: 6}}])
    {'a': {1.0: [5, 6]}}
    """
    return {
        name: {at: [run[name][at] for run in runs] for at in values}
        for name, values in runs[0].items()
    }


def thinning(prune: Prune, compressions: Sequence[float], marks: Sequence[int]) -> dict[float, int]:
    """Weights in the thinnest layer at rising compressions, up to the first that empties one.

    Those at the indices `marks` are tried; after the first empty layer, all between the last two.
    """
    seen: dict[float, int] = {}

    def alive(index: int) -> bool:
        return bool(seen.setdefault(compressions[index], thinnest(prune(compressions[index]))))

    for low, high in pairwise([-1, *marks]):
        if not alive(high):
            all(alive(index) for index in range(low + 1, high))  # stops at the first empty one
            break
    return dict(sorted(seen.items()))


def critical(seen: Mapping[float, int]) -> float:
    """The largest compression tried before the first that leaves a layer empty.

    >>> critical({1.0: 9, 10.0: 2, 100.0: 0, 1000.0: 0})
    10.0
    """
    alive = 1.0
    for compression in sorted(seen):
        if not seen[compression]:
            break
        alive = compression
    return alive


def unit_gap(scores: Mapping[str, Tensor]) -> float:
    """Largest relative difference of what goes into a unit and out of it; layers in a chain.

    >>> unit_gap({"a": torch.tensor([[1.0, 3.0]]), "b": torch.tensor([[2.0]])})
    0.5
    """
    gaps = []
    for before, after in pairwise(scores.values()):
        goes_in, goes_out = before.flatten(1).sum(1), after.transpose(0, 1).flatten(1).sum(1)
        gaps.append(((goes_in - goes_out).abs() / torch.maximum(goes_in, goes_out)).max().item())
    return max(gaps)


def layer_gap(scores: Mapping[str, Tensor]) -> float:
    """Largest relative difference of the totals of two layers."""
    totals = torch.stack([s.sum() for s in scores.values()])
    return float((totals.max() - totals.min()) / totals.max())


def curves(
    title: str, y_label: str, found: Mapping[str, Mapping[float, Sequence[float]]]
) -> dict[str, Any]:
    """The series of a plot against compression: by name, by compression, a value for each seed."""
    lines = [
        {"name": name, "x": list(at), "y": [fmean(v) for v in at.values()]}
        | ({"sd": [pstdev(v) for v in at.values()]} if len(next(iter(at.values()))) > 1 else {})
        for name, at in found.items()
    ]
    axes = {"x_label": "compression", "y_label": y_label, "x_scale": "log"}
    return {"title": title, **axes, "lines": lines}


@dataclass(frozen=True)
class Shuffled:
    """The training part in batches, in a new random order each time it is walked over."""

    images: Images
    size: int
    generator: torch.Generator

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return minibatches(self.images.train, self.images.train_labels, self.size, self.generator)


def native(plan: Plan, net: nn.Module, x: Tensor) -> Report:
    """The report of a plan that is run by kernels, whether or not they are faster."""
    report = plan.materialise(net, x, prefer="native").report
    assert isinstance(report, Report)
    return report


@contextmanager
def one_thread() -> Iterator[None]:
    """One torch thread inside: faster for small tensors, and the same sums every time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
