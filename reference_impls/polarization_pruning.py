"""Polarization regularizer: channels part into used and unused ones, and the cut falls in the gap.

Paper: polarization-pruning (Zhuang, Zhang, Huang, Zeng, Shuang, Li, NeurIPS 2020)

Every channel has a scale factor, that of its batch norm. L1 pulls all factors down alike and leaves
one heap; any threshold cuts through it. Take away from L1 the distance of the factors from their
mean: now being near the mean costs most, so factors go to zero or stay up, and a histogram shows
where to cut. Then train what is left.

| paper    | code      | meaning                                                       |
| -------- | --------- | ------------------------------------------------------------- |
| gamma    | factors   | batch norm scales of all layers, held in [0, 1]               |
| g-bar    |           | their mean over the whole network                             |
| t        | t         | how much L1 weighs against the distance from the mean         |
| lambda   | strength  | weight of the penalty in the loss                             |

    R_s(gamma) = sum_i ( t abs(gamma_i) - abs(gamma_i - g-bar) )     section 3.1
    at its global minimum a share 1/2 - t/4 is at the upper bound, the others at zero

By hand, t = 1: for factors 1, 0 the penalty is 1 - 2 * 0.5 = 0; for two equal factors of 0.5 it is
1. Parting is cheaper.

>>> penalty(torch.tensor([1.0, 0.0]), 1.0).item(), penalty(torch.tensor([0.5, 0.5]), 1.0).item()
(0.0, 1.0)
>>> valley(torch.tensor([0.005, 0.005, 0.015, 0.5, 0.9, 0.9]))
0.02

Differs: a layer never loses all of its channels: the one with the largest factor stays.
Differs: what is cut is masked (filter, scale and shift are zero), which leaves shapes as they are.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import fmean, pstdev
from typing import Any

import torch
from torch import Tensor, nn

from octavo.errors import InputError
from octavo.reference_impls.inputs import Batch, Data, Input, call, evaluating
from octavo.reference_impls.masking import Held, trained
from octavo.reference_impls.measurement import Measurement
from octavo.reference_impls.plan import Mask, Plan
from octavo.reference_impls.saliency import LAYERS
from octavo.reference_impls.selection import keep_count, top
from octavo.reference_impls.tasks import shelf
from octavo.reference_impls.training import epochs, labelled, sgd, steps

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
WIDTH = 0.01  # of a bin of the histogram, as released


@dataclass(frozen=True)
class Config:
    """What polarization lets the reader choose; released settings for CIFAR-10 and ResNet-56."""

    strength: float = 5e-5  # lambda; short training needs more: its pull is lr * steps * lambda
    t: float = 1.4
    density: float | None = None  # share of the channels that stay; None: those past the valley
    epochs: int = 200  # with the penalty
    tuning: int = 0  # epochs after the cut
    lr: float = 0.1


def plan(
    model: nn.Module,
    config: Config = Config(),
    *,
    data: Data = None,
    example: Input = None,
    generator: torch.Generator | None = None,
) -> Plan:
    """Train a copy with the penalty, cut the channels with small factors, train what is left.

    Args:
        model: any module with batch norms behind Conv or Linear layers; it is left as it was.
        config: penalty, training, and the share of channels that stays.
        data: batches (input, class numbers), walked over once an epoch.
        example: one input, to see which layer feeds which norm; the first batch's if None.
        generator: not needed; the order of the data is the loader's.

    Returns:
        A Plan with the trained Weights and a Mask of whole outputs for every layer before a norm.

    Raises:
        InputError: no data or class numbers, or no batch norm behind a Conv or Linear layer.
    """
    batches, net = labelled("polarization-pruning", data), copy.deepcopy(model)
    feeds = feeding(net, batches[0].input)
    polarize(net, batches, config)
    keep = cut(net, factors(net, feeds), config.density)
    patterns = silenced(net, feeds, keep)
    held = Held(net, patterns)
    norms = [(net.get_submodule(norm), keep[norm]) for norm in keep]

    def hold() -> None:
        held()
        for norm, stays in norms:
            _silence(norm, stays)

    for _ in epochs(net, batches, config.tuning, sgd(net, config.lr), rate=steps, after_step=hold):
        pass
    masks = tuple(Mask(path, pattern) for path, pattern in patterns.items())
    gone = sum(int((~k).sum()) for k in keep.values())
    note = f"channels cut: {gone} of {sum(k.numel() for k in keep.values())}"
    settings = {f: getattr(config, f) for f in config.__dataclass_fields__}
    return Plan((trained(net), *masks), "polarization-pruning", settings, (note,))


def feeding(net: nn.Module, example: Input) -> dict[str, str]:
    """By the path of a batch norm, the path of the Conv or Linear layer whose output it takes."""
    made: dict[int, tuple[str, Tensor]] = {}
    feeds: dict[str, str] = {}

    def made_by(path: str) -> Callable[..., None]:
        return lambda _, args, out: made.__setitem__(id(out), (path, out))

    def taken_by(path: str) -> Callable[..., None]:
        def see(_: nn.Module, args: tuple[Any, ...]) -> None:
            if id(args[0]) in made:
                feeds[path] = made[id(args[0])][0]

        return see

    handles = []
    for path, module in net.named_modules():
        if isinstance(module, LAYERS):
            handles.append(module.register_forward_hook(made_by(path)))
        elif isinstance(module, NORMS) and module.affine:
            handles.append(module.register_forward_pre_hook(taken_by(path)))
    try:
        with evaluating(net):
            call(net, example)
    finally:
        for handle in handles:
            handle.remove()
    if not feeds:
        raise InputError(
            "polarization-pruning: no batch norm with a scale takes the output of a Conv or Linear "
            f"layer in this {type(net).__name__}; it prunes by those scales"
        )
    return feeds


def factors(net: nn.Module, feeds: Mapping[str, str]) -> dict[str, nn.Parameter]:
    """The scale factors by path of the norm."""
    return {norm: net.get_parameter(f"{norm}.weight") for norm in feeds}


def penalty(gamma: Tensor, t: float) -> Tensor:
    """R_s of all factors in one vector; the gradient flows through their mean too."""
    return (t * gamma.abs() - (gamma - gamma.mean()).abs()).sum()


def l1(gamma: Tensor, t: float) -> Tensor:
    """What network slimming takes instead (Liu et al. 2017)."""
    return gamma.abs().sum()


def polarize(
    net: nn.Module, data: Sequence[Batch], config: Config,
    term: Callable[[Tensor, float], Tensor] = penalty,
) -> None:  # fmt: skip
    """Train in place with the penalty on the factors; they begin at 0.5 and stay in [0, 1]."""
    scales = list(factors(net, feeding(net, data[0].input)).values())
    with torch.no_grad():
        for scale in scales:
            scale.fill_(0.5)

    def pull() -> Tensor:
        return config.strength * term(torch.cat([s.flatten() for s in scales]), config.t)

    def clamp() -> None:
        with torch.no_grad():
            for scale in scales:
                scale.clamp_(0.0, 1.0)

    for _ in epochs(
        net, data, config.epochs, sgd(net, config.lr), rate=steps, penalty=pull, after_step=clamp
    ):
        pass


def valley(gamma: Tensor) -> float:
    """The threshold: the first local minimum of the histogram from the left, bins of 0.01."""
    bins = round(1 / WIDTH)
    counts = torch.histc(gamma.detach().float().clamp(0, 1), bins, 0.0, 1.0)
    change = counts.diff()
    for i in range(bins - 2):
        if change[i] <= 0 <= change[i + 1]:
            return (i + 1) * WIDTH
    return 0.0


def cut(net: nn.Module, scales: Mapping[str, Tensor], density: float | None) -> dict[str, Tensor]:
    """Which channels stay, bool by path of the norm; of each layer at least the largest.

    With a density the largest of all factors stay, exactly as many; else those past the valley.
    """
    gamma = torch.cat([s.detach().flatten() for s in scales.values()])
    whole = len(gamma)
    count = int((gamma >= valley(gamma)).sum()) if density is None else keep_count(density, whole)
    keep = top(gamma, count)
    parts = torch.split(keep, [len(s) for s in scales.values()])
    found = dict(zip(scales, parts, strict=True))
    for path, stays in found.items():
        stays[scales[path].argmax()] = True
    return found


def silenced(
    net: nn.Module, feeds: Mapping[str, str], keep: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Set what is cut to zero in place; the masks of the layers, by their path."""
    patterns: dict[str, Tensor] = {}
    for norm, layer in feeds.items():
        _silence(net.get_submodule(norm), keep[norm])
        weight = net.get_parameter(f"{layer}.weight")
        pattern = keep[norm].view(-1, *[1] * (weight.ndim - 1)).expand(weight.shape)
        patterns[layer] = patterns.get(layer, pattern) | pattern
    Held(net, patterns)()
    return patterns


def _silence(norm: nn.Module, stays: Tensor) -> None:
    with torch.no_grad():
        for parameter in (norm.get_parameter("weight"), norm.get_parameter("bias")):
            parameter.mul_(stays)


STRONG = 0.01  # lambda of the claims: some hundred updates have to move factors by a half
WEAKER = (0.0025, 0.005, 0.01, 0.02)  # tried for L1; its best counts
NEAR = 0.05  # of the threshold


def claims(seeds: Sequence[int], quick: bool) -> Iterator[Measurement]:
    """Measure what the record claims: minutes on two cores, about one when quick."""
    with shelf.one_thread():
        yield _fraction()
        yield _near(seeds, quick)
        yield _before_tuning(seeds, quick)


def _fraction() -> Measurement:
    """Factors by which the best corner of the cube differs from the promised share."""
    gaps = []
    for n in (10, 41, 200):
        for t in (-1.5, -0.4, 0.0, 0.7, 1.2, 1.9):
            corners = [_corner(n, k, t) for k in range(n + 1)]
            best = min(range(n + 1), key=lambda k: corners[k])
            gaps.append(abs(best - n * (0.5 - t / 4)))
    return Measurement("kept-fraction", max(gaps), note="n of 10, 41 and 200, six values of t")


def _corner(n: int, k: int, t: float) -> float:
    gamma = torch.zeros(n, dtype=torch.float64)
    gamma[:k] = 1
    return penalty(gamma, t).item()


@cache
def _polarized(seed: int, quick: bool, strength: float, name: str) -> nn.Module:
    count = shelf.EPOCHS // 2 if quick else shelf.EPOCHS
    net = shelf.network(seed)
    polarize(net, shelf.data(seed), Config(strength, 1.2, epochs=count), TERMS[name])
    return net


TERMS = {"polarization": penalty, "L1": l1}


def _gamma(net: nn.Module, seed: int) -> dict[str, nn.Parameter]:
    return factors(net, feeding(net, shelf.data(seed)[0].input))


def _share(seed: int, quick: bool) -> float:
    """The share of channels that the valley of the polarized network cuts."""
    net = _polarized(seed, quick, STRONG, "polarization")
    keep = cut(net, _gamma(net, seed), None)
    return sum(int((~k).sum()) for k in keep.values()) / sum(k.numel() for k in keep.values())


def _crowd(net: nn.Module, seed: int, share: float) -> float:
    """Share of the factors close to the threshold that cuts a share of the channels."""
    gamma = torch.cat([g.detach() for g in _gamma(net, seed).values()])
    ordered = gamma.sort().values
    at = min(len(gamma) - 1, max(1, round(share * len(gamma))))
    threshold = float(ordered[at - 1] + ordered[at]) / 2
    return float(((gamma - threshold).abs() < NEAR).float().mean())


def _near(seeds: Sequence[int], quick: bool) -> Measurement:
    found: dict[str, list[float]] = {
        name: [_crowd(_polarized(s, quick, STRONG, name), s, _share(s, quick)) for s in seeds]
        for name in TERMS
    }
    gains = [b - a for a, b in zip(found["polarization"], found["L1"], strict=True)]
    zero = fmean(
        float((torch.cat([g.detach() for g in _gamma(net, s).values()]) == 0).float().mean())
        for s in seeds
        if (net := _polarized(s, quick, STRONG, "polarization"))
    )
    return Measurement(
        "fewer-near-threshold", fmean(gains), pstdev(gains), fmean(found["L1"]), "L1",
        tuple(seeds), _histograms(seeds[0], quick),
        f"share of factors within {NEAR} of the threshold: polarization "
        f"{fmean(found['polarization']):.3f}, L1 {fmean(found['L1']):.3f}; with polarization "
        f"{zero:.0%} of all factors are exactly zero, which lies near a threshold this low",
    )  # fmt: skip


def _histograms(seed: int, quick: bool) -> dict[str, Any]:
    lines = []
    for name in TERMS:
        net = _polarized(seed, quick, STRONG, name)
        gamma = torch.cat([g.detach() for g in _gamma(net, seed).values()])
        counts = torch.histc(gamma, 20, 0.0, 1.0)
        centres = [round(0.025 + 0.05 * i, 3) for i in range(20)]
        lines.append({"name": name, "x": centres, "y": counts.tolist()})
    axes = {"x_label": "scale factor", "y_label": "channels", "x_scale": "linear"}
    return {"title": "Scale factors after training", **axes, "lines": lines}


def _before_tuning(seeds: Sequence[int], quick: bool) -> Measurement:
    ours = [_cut_score(s, quick, STRONG, "polarization") for s in seeds]
    tried = {w: [_cut_score(s, quick, w, "L1") for s in seeds] for w in WEAKER}
    best = max(tried, key=lambda w: fmean(tried[w]))
    shares = fmean(_share(s, quick) for s in seeds)
    whole = fmean(shelf.score(_polarized(s, quick, STRONG, "polarization")) for s in seeds)
    return shelf.gain(
        "accuracy-before-tuning", ours, tried[best], f"L1, lambda {best}", seeds,
        f"accuracy in %: polarization {fmean(ours):.1f} ({whole:.1f} before the cut), L1 "
        f"{fmean(tried[best]):.1f} at the best of lambda {WEAKER}; {shares:.0%} of channels cut",
    )  # fmt: skip


def _cut_score(seed: int, quick: bool, strength: float, name: str) -> float:
    net = copy.deepcopy(_polarized(seed, quick, strength, name))
    feeds = feeding(net, shelf.data(seed)[0].input)
    silenced(net, feeds, cut(net, factors(net, feeds), 1 - _share(seed, quick)))
    return shelf.score(net)
