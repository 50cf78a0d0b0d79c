"""Learning compressible subspaces: one trained model from which any sparsity is taken at run time.

Paper: lcs (Nunez, Horton, Prabhu, Ranjan, Farhadi, Rastegari, WACV 2023, arXiv:2110.04252)

Train a line in weight space instead of a point. Each step draws a place on the line, which is also
a sparsity, takes the weights there, keeps their largest, and sends the gradient to both ends. Later
the same two ends give a network for any budget, with no data and no further training. Norms that
keep no statistics (group norm) go with it, as those of a batch differ from sparsity to sparsity.

| paper     | code     | meaning                                                          |
| --------- | -------- | ---------------------------------------------------------------- |
| alpha     | level    | place on the line, and share of each layer's weights that stays  |
| w_1, w_2  |          | the ends, at few weights and at all                              |
| beta      | beta     | weight of the squared cosine between the ends                    |
| T_w       | warm_up  | share of the training in which the level comes down from 1       |

    w(alpha) = (1 - alpha) w_1 + alpha w_2                            section 3
    loss = task(f(w(alpha), alpha)) + beta cos^2(w_1, w_2)            eq. (3)
    level in warm-up: alpha + (1 - alpha) (1 - t / T_w)               released code

By hand: ends 1, 4 and 3, 0; in the middle 2, 2; at alpha 1 it is 3, 0.

>>> line = Subspace(nn.Sequential(nn.Linear(2, 1, bias=False)), Config(), torch.Generator())
>>> ends = line.ends["0.weight"]
>>> _ = ends[0].data.copy_(torch.tensor([[1.0, 4.0]]))
>>> _ = ends[1].data.copy_(torch.tensor([[3.0, 0.0]]))
>>> line.weights(0.5)["0.weight"].tolist(), line.weights(1.0)["0.weight"].tolist()
([[2.0, 2.0]], [[3.0, 0.0]])

The ends start apart, as in the released code: one from the model, the other drawn anew.

Differs: unstructured sparsity only; the paper has width and bits by the same recipe.
Differs: batch norms are kept as they are, and a note of the plan says what they cost.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean, pstdev
from typing import Any

import torch
from torch import Tensor, nn

from octavo.errors import InputError
from octavo.reference_impls import saliency
from octavo.reference_impls.inputs import Batch, Data, Input
from octavo.reference_impls.masking import Patterns, chosen
from octavo.reference_impls.measurement import Measurement
from octavo.reference_impls.plan import Mask, Plan, Weights
from octavo.reference_impls.selection import keep_count
from octavo.reference_impls.tasks import pruned, shelf
from octavo.reference_impls.training import epochs, labelled, sgd, steps

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


@dataclass(frozen=True)
class Config:
    """What LCS lets the reader choose; defaults of the released code for CIFAR-10."""

    density: float = 0.1  # the level that the plan is taken at
    line: bool = True  # two ends; False: one point, trained at all levels
    lowest: float = 0.025  # of the levels
    beta: float = 1.0
    warm_up: float = 0.8
    epochs: int = 200
    lr: float = 0.1


def plan(
    model: nn.Module,
    config: Config = Config(),
    *,
    data: Data = None,
    example: Input = None,
    generator: torch.Generator | None = None,
) -> Plan:
    """Train a subspace from a copy of the model and take the network at one level.

    Args:
        model: any module with Conv or Linear layers that gives logits; it is left as it was.
        config: the level, the subspace and its training.
        data: batches (input, class numbers), walked over once an epoch.
        example: not needed.
        generator: of the levels; a fixed one if None.

    Returns:
        A Plan with the Weights at that level and a Mask for every layer. For other levels of the
        same training use `trained` and `at`.

    Raises:
        InputError: no data or class numbers, or a setting that is not allowed.
    """
    keep_count(config.density, 1)  # says what is allowed
    if not 0 < config.lowest <= 1:
        raise InputError(f"lowest={config.lowest}; the levels go from 0 < lowest to 1")
    generator = generator or torch.Generator().manual_seed(0)
    subspace = trained(Subspace(model, config, generator), labelled("lcs", data))
    return at(subspace, config.density)


class Subspace(nn.Module):
    """A network whose weights are a place on a line; in training it draws one at each call."""

    def __init__(self, net: nn.Module, config: Config, generator: torch.Generator) -> None:
        super().__init__()
        self.net, self.config, self.generator = copy.deepcopy(net), config, generator
        self.layers = tuple(f"{path}.weight" for path in saliency.prunable(self.net))
        self.level, self.done = 1.0, 0.0
        self.ends = {name: [p] for name, p in self.net.named_parameters()}
        if config.line:
            others = [nn.Parameter(self._another(name, p)) for name, (p,) in self.ends.items()]
            self.others = nn.ParameterList(others)
            for pair, other in zip(self.ends.values(), others, strict=True):
                pair.append(other)

    def forward(self, *args: Any, **named: Any) -> Any:
        """The network at a drawn level in training, at `level` otherwise."""
        if self.training:
            self.level = self._drawn()
        weights = self.weights(self.level)
        for name, keep in self.kept(weights, self._eased()).items():
            weights[f"{name}.weight"] = weights[f"{name}.weight"] * keep
        return torch.func.functional_call(self.net, weights, args, named)

    def _another(self, name: str, parameter: Tensor) -> Tensor:
        """The start of the other end: layers are drawn anew at the same scale, norms are equal."""
        if name not in self.layers:
            return parameter.detach().clone()
        lots = torch.randn(parameter.shape, generator=self.generator)
        return lots * parameter.detach().square().mean().sqrt()

    def weights(self, level: float) -> dict[str, Tensor]:
        """All parameters at a place of the line, nothing pruned."""
        return {
            name: pair[0] if len(pair) == 1 else torch.lerp(pair[0], pair[1], level)
            for name, pair in self.ends.items()
        }

    def kept(self, weights: Mapping[str, Tensor], share: float) -> Patterns:
        """The largest of each layer."""
        scores = {
            name.removesuffix(".weight"): weights[name].detach().abs() for name in self.layers
        }
        return chosen(scores, share, "layer")

    def cosine(self) -> Tensor:
        """Squared cosine between the ends, over the weights of Conv and Linear layers."""
        if not self.config.line:
            return torch.zeros(())
        one, other = (
            torch.cat([self.ends[name][i].flatten() for name in self.layers]) for i in (0, 1)
        )
        return torch.dot(one, other).square() / (one.square().sum() * other.square().sum())

    def _drawn(self) -> float:
        """One of the ends half of the time, else anywhere between."""
        coin, place = torch.rand(2, generator=self.generator).tolist()
        ends = {True: self.config.lowest, False: 1.0}
        if coin < 0.5:
            return ends[coin < 0.25]
        return float(self.config.lowest + (1 - self.config.lowest) * place)

    def _eased(self) -> float:
        """The share kept: in the warm-up more than the level says."""
        if not self.training or self.done >= self.config.warm_up:
            return self.level
        return self.level + (1 - self.level) * (1 - self.done / self.config.warm_up)


def trained(subspace: Subspace, data: Sequence[Batch]) -> Subspace:
    """Train a subspace in place."""
    config = subspace.config
    total, step = max(1, config.epochs * len(data)), 0

    def count() -> None:
        nonlocal step
        step += 1
        subspace.done = step / total

    for _ in epochs(
        subspace, data, config.epochs, sgd(subspace, config.lr),
        rate=steps, penalty=lambda: config.beta * subspace.cosine(), after_step=count,
    ):  # fmt: skip
        pass
    return subspace


def at(subspace: Subspace, level: float) -> Plan:
    """The network at a level, as a plan: its weights there and what stays of them."""
    weights = {name: w.detach().clone() for name, w in subspace.weights(level).items()}
    masks = (Mask(path, keep) for path, keep in subspace.kept(weights, level).items())
    buffers = {name: b.detach().clone() for name, b in subspace.net.named_buffers()}
    norms = [path for path, m in subspace.net.named_modules() if isinstance(m, NORMS)]
    notes = (f"batch norms keep the statistics of all levels: {', '.join(norms)}",) if norms else ()
    config = asdict(replace(subspace.config, density=level))
    return Plan((Weights("", weights | buffers), *masks), "lcs", config, notes)


LEVELS = (1.0, 0.5, 0.2, 0.1, 0.05, 0.025)
PLAIN = 0.05  # the level at which a plain network is pruned
GROUPS = 4


def claims(seeds: Sequence[int], quick: bool) -> Iterator[Measurement]:
    """Measure what the record claims: ten minutes on two cores, about one when quick."""
    with shelf.one_thread():
        found = _accuracies(seeds, quick)
        yield _within(found, seeds)
        yield _gain("plain-collapses", found, "LCS, a line", "trained dense, then pruned", seeds)
        yield _gain("needs-no-batch-norm", found, "LCS, a line", "LCS with batch norm", seeds)
        yield shelf.kernel_ms("LCS", _timed, seeds[0])


Found = dict[str, dict[float, list[float]]]


def _accuracies(seeds: Sequence[int], quick: bool) -> Found:
    """Test accuracy by way and compression, a value for each seed."""
    count, levels = (12, (1.0, PLAIN)) if quick else (40, LEVELS)
    runs = []
    for seed in seeds:
        grouped, data = group_normed(shelf.network(seed)), shelf.data(seed)
        config = Config(epochs=count)
        lines = {
            "LCS, a line": (grouped, config),
            "LCS, a point": (grouped, replace(config, line=False)),
            "LCS with batch norm": (shelf.network(seed), config),
        }
        found: dict[str, dict[float, float]] = {}
        for name, (net, chosen_config) in lines.items():
            generator = torch.Generator().manual_seed(seed)
            subspace = trained(Subspace(net, chosen_config, generator), data)
            found[name] = {1 / a: shelf.score(at(subspace, a).apply(net)) for a in levels}
        plain = copy.deepcopy(grouped)
        shelf.retrain(plain, data, {}, count, 0.1)
        found["trained dense, then pruned"] = {1 / a: _pruned(plain, a) for a in levels}
        found["one training for each level"] = {
            1 / a: _separate(grouped, data, a, count) for a in levels
        }
        runs.append(found)
    return pruned.gathered(runs)


def group_normed(net: nn.Module) -> nn.Module:
    """Batch norms become group norms of four groups, in place."""
    for module in list(net.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, nn.GroupNorm(GROUPS, child.num_features))
    return net


def _pruned(net: nn.Module, level: float) -> float:
    keep = chosen(saliency.magnitude(net), level, "layer")
    return shelf.score(Plan(tuple(Mask(p, k) for p, k in keep.items())).apply(net))


def _separate(net: nn.Module, data: Sequence[Batch], level: float, count: int) -> float:
    """A network trained for one level alone, by the same recipe with a line of one place."""
    config = Config(line=False, lowest=level, epochs=count)
    fixed = trained(_Fixed(net, config, torch.Generator()), data)
    return shelf.score(at(fixed, level).apply(net))


class _Fixed(Subspace):
    """A subspace of one level."""

    def _drawn(self) -> float:
        return self.config.lowest


def _within(found: Found, seeds: Sequence[int]) -> Measurement:
    """The worst level of the line against a network trained for that level alone."""
    ours, theirs = found["LCS, a line"], found["one training for each level"]
    gaps = {at: [a - b for a, b in zip(ours[at], theirs[at], strict=True)] for at in ours}
    worst = min(gaps, key=lambda at: fmean(gaps[at]))
    each = ", ".join(f"{1 / at:g}: {fmean(g):+.1f}" for at, g in gaps.items())
    return Measurement(
        "within-noise", fmean(gaps[worst]), pstdev(gaps[worst]), fmean(theirs[worst]),
        "one training for each level", tuple(seeds),
        pruned.curves("Test accuracy of one subspace at every level", "accuracy, %", found),
        f"points by level, {each}",
    )  # fmt: skip


def _gain(claim: str, found: Found, first: str, other: str, seeds: Sequence[int]) -> Measurement:
    """Points of one way over another, at the lowest level but one if there are enough."""
    levels = sorted(found[first])
    judged = min(levels, key=lambda at: abs(at - 1 / PLAIN))
    each = ", ".join(f"{name} {fmean(at[judged]):.1f}" for name, at in found.items())
    return shelf.gain(
        claim, found[first][judged], found[other][judged], other, seeds,
        f"accuracy in % at level {1 / judged:g}: {each}",
    )  # fmt: skip


def _timed(net: nn.Module) -> Plan:
    return at(Subspace(net, Config(), torch.Generator()), 0.1)
