"""Learning-rate rewinding: after pruning, train again at the original learning rates.

Paper: lr-rewinding (Renda, Frankle, Carbin, ICLR 2020, arXiv:2003.02389)

Prune the smallest weights, then spend t epochs. Fine-tuning spends them at the last, smallest
rate. Weight rewinding first puts the surviving weights back to where they were t epochs before
the end and replays the rates from there. Learning-rate rewinding keeps the trained weights and
replays the rates alone; it needs no earlier checkpoint, and repeated round by round it is the
paper's recipe.

| paper   | code    | meaning                                                            |
| ------- | ------- | ------------------------------------------------------------------ |
| T       | whole   | epochs of the original training                                    |
| t       | epochs  | epochs of retraining after each pruning                            |
| W_T     |         | the trained weights                                                |
| W_(T-t) | earlier | the weights t epochs before                                        |
| m       | mask    | what stays: largest weights, or filters with the largest L1 norm   |

    fine-tuning     m * W_T         rate(T)
    weights         m * W_(T-t)     rate(T-t) .. rate(T)
    rate            m * W_T         rate(T-t) .. rate(T)

By hand: a fifth of the rest goes each round; to a tenth that takes eleven rounds, the last one
exactly to a tenth.

>>> [round(d, 3) for d in rounds(0.1, 0.2)][-3:], len(rounds(0.1, 0.2))
([0.134, 0.107, 0.1], 11)

Differs: the rates are one step schedule (a tenth after a half, a hundredth after three quarters of
  `whole`), as are the paper's for CIFAR-10 up to where the steps stand; the optimizer starts anew
  with each round.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import fmean

import torch
from torch import Tensor, nn

from octavo.errors import InputError
from octavo.reference_impls import saliency
from octavo.reference_impls.inputs import Batch, Data, Input
from octavo.reference_impls.masking import Held, Patterns, chosen, mask_plan, trained
from octavo.reference_impls.measurement import Measurement
from octavo.reference_impls.plan import Plan
from octavo.reference_impls.selection import global_top, keep_count
from octavo.reference_impls.tasks import pruned, shelf
from octavo.reference_impls.training import epochs, labelled, sgd, steps

State = Mapping[str, Tensor]


@dataclass(frozen=True)
class Config:
    """What rewinding lets the reader choose."""

    density: float = 0.1  # share of the weights kept
    policy: str = "rate"  # or "weights", or "fine-tuning"
    structure: str = "weights"  # or "filters": whole outputs by L1 norm
    share: float = 0.2  # of the rest that goes in a round; 1: all at once
    epochs: int = 10  # t, after each round
    whole: int = 10  # T; the paper's recipe has t = T
    lr: float = 0.1  # the first rate of the original training
    earlier: str = ""  # for "weights": file of the state dict t epochs before the end


def plan(
    model: nn.Module,
    config: Config = Config(),
    *,
    data: Data = None,
    example: Input = None,
    generator: torch.Generator | None = None,
) -> Plan:
    """Prune and retrain a copy of a trained model, round by round.

    Args:
        model: a trained module with Conv or Linear layers that gives logits; left as it was.
        config: density, policy, and the original training's length and first rate.
        data: batches (input, class numbers), walked over once an epoch.
        example: not needed.
        generator: not needed; the order of the data is the loader's.

    Returns:
        A Plan with the retrained Weights and a Mask for every layer.

    Raises:
        InputError: no data or class numbers, a setting that is not allowed, or no earlier weights.
    """
    batches, net = labelled("lr-rewinding", data), copy.deepcopy(model)
    earlier = _stored(config) if config.policy == "weights" else None
    patterns = rewind(net, batches, config, earlier)
    return mask_plan(model, patterns, "lr-rewinding", config, trained(net))


def rounds(density: float, share: float) -> list[float]:
    """The density after each round: (1 - share)^k down to the one asked for."""
    keep_count(density, 1)  # says what is allowed
    if not 0 < share <= 1:
        raise InputError(
            f"share={share}; of what is left 0 < share <= 1 goes in a round, 0.2 usual"
        )
    found, at = [], 1.0
    while at > density * (1 + 1e-9):
        at = max(density, at * (1 - share))
        found.append(at)
    return found or [density]


def rewind(
    net: nn.Module, data: Sequence[Batch], config: Config, earlier: State | None = None
) -> Patterns:
    """Prune and retrain `net` in place; returns what stays."""
    if config.policy not in POLICIES or config.structure not in STRUCTURES:
        given = f"policy={config.policy!r}, structure={config.structure!r}"
        raise InputError(f"{given}; allowed are {', '.join(POLICIES)} and {', '.join(STRUCTURES)}")
    if not 0 <= config.epochs <= config.whole:
        raise InputError(f"epochs={config.epochs}; from 0 to whole={config.whole} can be replayed")
    kept = chosen(saliency.magnitude(net), 1.0)
    for density in rounds(config.density, config.share):
        kept = STRUCTURES[config.structure](net, density, kept)
        if config.policy == "weights" and earlier is not None:
            net.load_state_dict(earlier)
        held = Held(net, kept)
        held()
        begin, end = POLICIES[config.policy](config)
        for _ in epochs(
            net, data, config.epochs, sgd(net, config.lr),
            rate=steps, begin=begin, end=end, after_step=held,
        ):  # fmt: skip
            pass
    return kept


def _replayed(config: Config) -> tuple[float, float]:
    return 1 - config.epochs / max(1, config.whole), 1.0


def _last(_: Config) -> tuple[float, float]:
    return 1.0, 1.0


POLICIES = {"rate": _replayed, "weights": _replayed, "fine-tuning": _last}


def smallest_weights(net: nn.Module, density: float, kept: Patterns) -> Patterns:
    """The largest weights over all layers, of those still there."""
    return chosen(saliency.magnitude(net), density, alive=kept)


def smallest_filters(net: nn.Module, density: float, kept: Patterns) -> Patterns:
    """Whole outputs of every layer but the last, by L1 norm over the mean of the layer.

    The share counts outputs. The last layer's are the classes and stay.
    """
    norms = {p: w.flatten(1).sum(1) for p, w in saliency.magnitude(net).items()}
    *inner, last = norms
    scores = {path: norms[path] / norms[path].mean().clamp_min(1e-12) for path in inner}
    alive = {path: kept[path].flatten(1).any(1) for path in inner}
    count = keep_count(density, sum(s.numel() for s in scores.values()))
    found = global_top(scores, count, alive) if inner else {}
    weights = saliency.prunable(net)
    shaped = {p: k.view(-1, *[1] * (weights[p].ndim - 1)) for p, k in found.items()}
    return {p: shaped[p].expand(weights[p].shape).clone() for p in inner} | {last: kept[last]}


STRUCTURES = {"weights": smallest_weights, "filters": smallest_filters}


def _stored(config: Config) -> State:
    """The earlier weights from their file."""
    if not Path(config.earlier).is_file():
        raise InputError(
            f"policy='weights' needs earlier=, the file of a state dict of {config.epochs} epochs "
            f"before the end; {config.earlier!r} is none"
        )
    found: State = torch.load(config.earlier, map_location="cpu", weights_only=True)
    return found


SEEDS = 5  # the record asks for five, three when quick
HIGH = (0.05, 0.02)  # densities of the claims
ROUND = {True: 0.78, False: 0.2}  # share of a round of the iterative recipe, when quick or not


def claims(seeds: Sequence[int], quick: bool) -> Iterator[Measurement]:
    """Measure what the record claims: ten minutes on two cores, about one when quick."""
    many = tuple(seeds) if quick else tuple(range(min(seeds), min(seeds) + SEEDS))
    with shelf.one_thread():
        found = _one_shot(many, quick, HIGH if quick else shelf.DENSITIES)
        yield _difference("rate-over-fine-tuning", found, "rate", "fine-tuning", many)
        yield _difference("rate-over-weight", found, "rate", "weights", many)
        yield _difference("weight-over-fine-tuning", found, "weights", "fine-tuning", many)
        yield _final("iterative", seeds, quick, "weights", 0.05, ROUND[quick])
        yield _final("filters", seeds, quick, "filters", 0.5, 1.0)
        yield shelf.kernel_ms("rate rewinding", _by_magnitude, seeds[0])


@cache
def _trained(seed: int, quick: bool) -> tuple[State, State]:
    """The weights t epochs before the end of a training, and at its end; t is three quarters."""
    whole, t = _lengths(quick)
    net, data = shelf.network(seed), shelf.data(seed)
    found = []
    for begin, end in ((0.0, 1 - t / whole), (1 - t / whole, 1.0)):
        count = round((end - begin) * whole)
        for _ in epochs(net, data, count, sgd(net, 0.1), rate=steps, begin=begin, end=end):
            pass
        found.append(copy.deepcopy(net.state_dict()))
    return found[0], found[1]


def _lengths(quick: bool) -> tuple[int, int]:
    return (8, 6) if quick else (20, 15)


def _accuracy(seed: int, quick: bool, config: Config) -> float:
    earlier, trained = _trained(seed, quick)
    net = shelf.network(seed)
    net.load_state_dict(trained)
    rewind(net, shelf.data(seed), config, earlier)
    return shelf.score(net)


Table = dict[str, dict[float, list[float]]]


def _one_shot(seeds: Sequence[int], quick: bool, densities: Sequence[float]) -> Table:
    """Test accuracy by policy and compression, a value for each seed."""
    whole, t = _lengths(quick)
    return {
        policy: {
            1 / d: [_accuracy(s, quick, Config(d, policy, "weights", 1.0, t, whole)) for s in seeds]
            for d in densities
        }
        for policy in POLICIES
    }


def _difference(
    claim: str, found: Table, first: str, other: str, seeds: Sequence[int]
) -> Measurement:
    """Points of one policy over another at the high sparsities, their mean by seed."""
    means = {
        name: [fmean(at[1 / d][i] for d in HIGH) for i in range(len(seeds))]
        for name, at in found.items()
    }
    each = ", ".join(f"{name} {fmean(values):.2f}" for name, values in means.items())
    return shelf.gain(
        claim, means[first], means[other], other, seeds,
        f"accuracy in %, mean of densities {HIGH}: {each}",
        pruned.curves("Test accuracy after one pruning and retraining", "accuracy, %", found),
    )  # fmt: skip


def _final(
    claim: str, seeds: Sequence[int], quick: bool, structure: str, density: float, share: float
) -> Measurement:
    """Rate rewinding over fine-tuning at one density, in rounds or on filters."""
    whole, t = _lengths(quick)
    rate, tuned = (
        [
            _accuracy(seed, quick, Config(density, policy, structure, share, t, whole))
            for seed in seeds
        ]
        for policy in ("rate", "fine-tuning")
    )
    return shelf.gain(
        claim, rate, tuned, "fine-tuning", seeds,
        f"accuracy in %: {fmean(rate):.2f} against {fmean(tuned):.2f}; density {density}, "
        f"{len(rounds(density, share))} rounds of {t} epochs",
    )  # fmt: skip


def _by_magnitude(net: nn.Module) -> Plan:
    return mask_plan(net, chosen(saliency.magnitude(net), 0.1), "lr-rewinding", Config())
