"""Lottery tickets of a pre-trained encoder: the mask that training finds, on the weights it found.

Paper: bert-lottery-tickets (Chen, Frankle, Chang, Liu, Zhang, Wang, Carbin, NeurIPS 2020,
arXiv:2007.12223)

Fine-tune, remove the smallest weights of the encoder, put those that stay back to their pre-trained
values, and repeat. What comes out is a mask on the pre-trained weights, a ticket, that can be
fine-tuned in place of the whole encoder: on the task it was found with, or on another one. Found
with the task of pre-training itself, it serves many.

| paper   | code     | meaning                                                               |
| ------- | -------- | --------------------------------------------------------------------- |
| theta_0 | model    | the pre-trained weights                                               |
| theta_i |          | the weights after the fine-tuning of round i                          |
| m_i     | kept     | what is still there                                                   |
| s       | step     | share of all weights, not of the rest, that goes in a round           |

    theta_i = training(m_i * theta_0)                              every round starts from theta_0
    m_(i+1) = m_i where abs(theta_i) is large enough, over all layers    one threshold
    ticket: m * theta_0

By hand: a tenth of all weights goes each round; 70 % sparse takes seven.

>>> [round(d, 1) for d in rounds(0.3, 0.1)]
[0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3]

Differs: any Conv or Linear layer that is not excluded is pruned; the paper prunes the matrices of
  attention, feed-forward and pooler. Training is Adam on a rate that falls to zero.
Differs: the measured encoder comes without the head of its pre-training task; the head that tells
  hidden words starts anew, over the 512 most frequent pieces.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import fmean, pstdev

import torch
from torch import nn

from octavo.errors import InputError
from octavo.reference_impls import saliency
from octavo.reference_impls.inputs import Batch, Data, Input
from octavo.reference_impls.masking import Held, Patterns, chosen, mask_plan
from octavo.reference_impls.measurement import Measurement
from octavo.reference_impls.plan import Plan, Step, Weights
from octavo.reference_impls.selection import keep_count
from octavo.reference_impls.tasks import finetuning, pruned, shelf
from octavo.reference_impls.training import epochs, labelled, linear

Training = Callable[[nn.Module, Patterns], None]  # in place, with what is not kept at zero


@dataclass(frozen=True)
class Config:
    """What finding a ticket lets the reader choose."""

    density: float = 0.3  # 70 % sparse: the ticket that serves all tasks
    step: float = 0.1  # share of all weights that goes in a round
    epochs: int = 3  # of a round, as for fine-tuning on GLUE
    lr: float = 2e-5
    tuning: int = 3  # epochs of the ticket itself at the end; 0: the ticket on pre-trained weights
    exclude: tuple[str, ...] = ()  # paths of layers that stay dense, such as the task's head


def plan(
    model: nn.Module,
    config: Config = Config(),
    *,
    data: Data = None,
    example: Input = None,
    generator: torch.Generator | None = None,
) -> Plan:
    """Find a ticket of a pre-trained model on the data, and fine-tune it.

    Args:
        model: a pre-trained module with Conv or Linear layers that gives logits; left as it was.
        config: density, rounds and training; `tuning=0` gives the ticket itself, for other tasks.
        data: batches (input, class numbers), walked over once an epoch. Class -100 is ignored, so
            that hidden words serve as well.
        example: not needed.
        generator: not needed; the order of the data is the loader's.

    Returns:
        A Plan with a Mask for every layer, after the Weights of the fine-tuned ticket if asked for.

    Raises:
        InputError: no data or class numbers, or a setting that is not allowed.
    """
    batches = labelled("bert-lottery-tickets", data)
    *_, (_, kept) = find(
        model, _training(batches, config, config.epochs),
        rounds(config.density, config.step), config.exclude,
    )  # fmt: skip
    before: tuple[Step, ...] = ()
    if config.tuning:
        net = copy.deepcopy(model)
        _training(batches, config, config.tuning)(net, kept)
        trained = {name: t.detach().cpu().clone() for name, t in net.state_dict().items()}
        before = (Weights("", trained),)
    return mask_plan(model, kept, "bert-lottery-tickets", config, *before)


def rounds(density: float, step: float) -> list[float]:
    """The density after each round: equal shares of all weights go, in the last one the rest."""
    keep_count(density, 1)  # says what is allowed
    if not 0 < step < 1:
        raise InputError(f"step={step}; a share of all weights goes in a round, 0.1 in the paper")
    count = max(1, int((1 - density) / step - 1e-9) + 1)
    return [max(density, 1 - step * (i + 1)) for i in range(count - 1)] + [density]


def find(
    model: nn.Module, train: Training, densities: Sequence[float], exclude: Sequence[str] = ()
) -> Iterator[tuple[float, Patterns]]:
    """Prune by magnitude in rounds, each from the model's own weights; the ticket of each round."""
    kept = chosen(_sizes(model, exclude), 1.0)
    for density in densities:
        net = copy.deepcopy(model)  # theta_0 again
        train(net, kept)
        kept = chosen(_sizes(net, exclude), density, alive=kept)
        yield density, kept


def _sizes(net: nn.Module, exclude: Sequence[str]) -> dict[str, torch.Tensor]:
    return {path: w.detach().abs() for path, w in saliency.inner(net, exclude).items()}


def _training(data: Sequence[Batch], config: Config, count: int) -> Training:
    def train(net: nn.Module, kept: Patterns) -> None:
        held = Held(net, kept)
        held()
        trained = [p for p in net.parameters() if p.requires_grad]
        optimizer = torch.optim.Adam(trained, lr=config.lr)
        for _ in epochs(net, data, count, optimizer, rate=linear, after_step=held):
            pass

    return train


@torch.no_grad()
def redrawn(model: nn.Module, kept: Patterns, generator: torch.Generator) -> nn.Module:
    """A copy whose pruned layers are as before pre-training: normal with a deviation of 0.02."""
    net = copy.deepcopy(model)
    for path in kept:
        weight = net.get_parameter(f"{path}.weight")
        weight.copy_(torch.randn(weight.shape, generator=generator) * 0.02)
    return net


def by_lot(kept: Patterns, generator: torch.Generator) -> Patterns:
    """A random mask with as many weights in each layer as a ticket has.

    >>> ticket, generator = {"a": torch.arange(9) < 4}, torch.Generator().manual_seed(0)
    >>> int(by_lot(ticket, generator)["a"].sum())
    4
    """
    return {
        path: keep.flatten()[torch.randperm(keep.numel(), generator=generator)].view(keep.shape)
        for path, keep in kept.items()
    }


JUDGED = 0.3  # density of the claims
SWEEP = (0.9, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)  # of the rounds, those fine-tuned in the full run
OWN, OTHER, PRE = "packages", "order", "words"  # judged on, another one, and that of pre-training


def claims(seeds: Sequence[int], quick: bool) -> Iterator[Measurement]:
    """Measure what the record claims: an hour on two cores, about one minute when quick."""
    with shelf.one_thread():
        yield _rewound(seeds)
        found = _curves(seeds, quick)
        for claim, first, other in (
            ("matches-dense", "ticket", "dense"),
            ("ticket-over-random", "ticket", "random mask"),
            ("pretrained-weights-matter", "ticket", "re-initialized"),
            ("pretraining-mask-transfers", "ticket of hidden words", "ticket of word order"),
            ("universal", "ticket of hidden words", "ticket"),
        ):
            yield _gain(claim, first, other, found, seeds)
        yield shelf.kernel_ms("ticket", _timed, seeds[0])


def _rewound(seeds: Sequence[int]) -> Measurement:
    """Largest difference between a ticket's weights and the pre-trained ones it keeps."""
    gaps = []
    for seed in seeds:
        net, data = shelf.network(seed), shelf.data(seed)[:2]
        small = plan(net, Config(0.3, 0.35, epochs=1, lr=1e-2, tuning=0), data=data).apply(net)
        for path, w in saliency.prunable(net).items():
            weight = small.get_parameter(f"{path}.weight")
            gaps.append(float((weight - w).detach()[weight != 0].abs().max()))
    return Measurement("rewound", max(gaps), seeds=tuple(seeds))


def _lengths(quick: bool) -> tuple[int, int, int]:
    """Blocks, updates of a training, sentences of a package."""
    return (1, 30, 240) if quick else (2, 300, 600)


def _network(name: str, seed: int, quick: bool) -> tuple[finetuning.Reader, finetuning.Task]:
    blocks, _, each = _lengths(quick)
    task = finetuning.TASKS[name](each)
    return finetuning.reader(blocks, task.classes, seed, tokens=name == PRE), task


@cache
def _tickets(name: str, seed: int, quick: bool) -> Mapping[float, Patterns]:
    """The tickets of all rounds on a task."""
    net, task = _network(name, seed, quick)
    data = finetuning.in_order(task, seed, _lengths(quick)[1])
    densities = rounds(JUDGED, 0.35) if quick else rounds(min(SWEEP), 0.1)

    def train(twin: nn.Module, kept: Patterns) -> None:
        finetuning.tune(twin, data, kept)

    return {round(d, 2): kept for d, kept in find(net, train, densities, ("head",))}


Found = dict[str, dict[float, list[float]]]


def _curves(seeds: Sequence[int], quick: bool) -> Found:
    """Held-out accuracy by way and compression; tickets of the other tasks are found once."""
    runs = []
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed)
        net, task = _network(OWN, seed, quick)
        data = finetuning.in_order(task, seed + 1000, _lengths(quick)[1])
        own = _tickets(OWN, seed, quick)

        def tuned(start: nn.Module, kept: Patterns) -> float:
            twin = copy.deepcopy(start)
            finetuning.tune(twin, data, kept)  # noqa: B023
            return finetuning.score(twin, task)  # noqa: B023

        run: dict[str, dict[float, float]] = {}
        dense = tuned(net, {})
        for density in (JUDGED,) if quick else SWEEP:
            kept, at = own[density], 1 / density
            ways = {
                "ticket": (net, kept),
                "random mask": (net, by_lot(kept, generator)),
                "re-initialized": (redrawn(net, kept, generator), kept),
                "ticket of hidden words": (net, _tickets(PRE, seeds[0], quick)[density]),
                "ticket of word order": (net, _tickets(OTHER, seeds[0], quick)[density]),
            }
            for name, (start, pattern) in ways.items():
                run.setdefault(name, {})[at] = tuned(start, pattern)
            run.setdefault("dense", {})[at] = dense
        runs.append(run)
    return pruned.gathered(runs)


def _gain(claim: str, first: str, other: str, found: Found, seeds: Sequence[int]) -> Measurement:
    """Points of accuracy of one way over another at the judged density."""
    judged = {name: at[1 / JUDGED] for name, at in found.items()}
    gains = [a - b for a, b in zip(judged[first], judged[other], strict=True)]
    each = ", ".join(f"{name} {fmean(values):.1f}" for name, values in judged.items())
    title = "Held-out accuracy of tickets after fine-tuning"
    return Measurement(
        claim, fmean(gains), pstdev(gains), fmean(judged[other]), other, tuple(seeds),
        pruned.curves(title, "accuracy, %", found), f"accuracy in % at density {JUDGED}: {each}",
    )  # fmt: skip


def _timed(net: nn.Module) -> Plan:
    return mask_plan(net, chosen(saliency.magnitude(net), 0.1), "bert-lottery-tickets", Config(0.1))
