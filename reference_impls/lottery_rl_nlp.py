"""Playing the lottery with rewards and multiple languages: lottery tickets in RL and NLP.

Paper: lottery-rl-nlp (Yu, Edunov, Tian, Morcos, ICLR 2020, arXiv:1906.02768)

A lottery ticket is a sparse part of a network that, trained from its early weights, does as well as
the whole. Train, remove the smallest weights over all layers, set the others back to where they
were early in training (late rewinding), and repeat. The paper does this where nobody had looked,
language and control, and compares with random tickets: masks shuffled in each layer, new weights.

| paper | code      | meaning                                                       |
| ----- | --------- | ------------------------------------------------------------- |
| t_0   | rewind    | epochs after which the weights are kept to go back to         |
| T     | epochs    | epochs of a whole training                                    |
| m_k   | kept      | what stays after round k                                      |
|       | share     | of what is left goes in a round: 0.2                          |

    m_(k+1) = m_k * [abs(w_T) >= tau_k],   w <- m_(k+1) * w_(t_0),   0 < t_0 << T

By hand: three weights, 1, 2 and 3, one goes in a round. Training adds 1 to each update's weight, so
the smallest is the first; the others go back to where they were after one epoch.

>>> net = nn.Linear(3, 1, bias=False)
>>> _ = net.weight.data.copy_(torch.tensor([[1.0, 2.0, 3.0]]))
>>> def grow(net, hold, begin, end):
...     for _ in range(begin, end):
...         _ = net.weight.data.add_(1)
...         hold()
>>> found = search(net, grow, Config(density=2 / 3, share=0.4, epochs=3, rewind=1))
>>> found.kept[""].int().tolist(), found.early["weight"].tolist()
([[0, 1, 1]], [[2.0, 3.0, 4.0]])

Differs: Adam on small tasks of this project instead of the paper's schedules; embeddings stay
  dense, as everywhere here.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import fmean, pstdev
from typing import NamedTuple

import torch
from torch import Tensor, nn

from octavo.errors import InputError
from octavo.reference_impls import saliency
from octavo.reference_impls.inputs import Batch, Data, Input
from octavo.reference_impls.lr_rewinding import rounds
from octavo.reference_impls.masking import Held, Patterns, chosen, mask_plan, trained
from octavo.reference_impls.measurement import Measurement
from octavo.reference_impls.plan import Plan
from octavo.reference_impls.tasks import control, language, pruned, shelf
from octavo.reference_impls.training import epochs, labelled

Hook = Callable[[], None]
Train = Callable[[nn.Module, Hook, int, int], None]  # in place, from an epoch to another
State = Mapping[str, Tensor]


@dataclass(frozen=True)
class Config:
    """What the search lets the reader choose."""

    density: float = 0.1  # share of the weights kept
    share: float = 0.2  # of the rest that goes in a round
    epochs: int = 10  # T
    rewind: int = 1  # t_0; 0 goes back to the start
    lr: float = 1e-3  # of Adam


class Round(NamedTuple):
    """A density, what was kept of the network, and the network as it was trained with that."""

    density: float
    kept: Patterns
    net: nn.Module


class Ticket(NamedTuple):
    """What stays, the weights it starts from, and what each round trained on the way."""

    kept: Patterns
    early: State
    rounds: tuple[Round, ...]


def plan(
    model: nn.Module,
    config: Config = Config(),
    *,
    data: Data = None,
    example: Input = None,
    generator: torch.Generator | None = None,
) -> Plan:
    """Find a ticket of a copy of an untrained model and train it.

    Args:
        model: an untrained module with Conv or Linear layers that gives logits; left as it was.
        config: density, rounds, and the training, which is done once a round and once more.
        data: batches (input, class numbers), walked over once an epoch.
        example: not needed.
        generator: not needed; the order of the data is the loader's.

    Returns:
        A Plan with the trained Weights of the ticket and a Mask for every layer.

    Raises:
        InputError: no data or class numbers, or a setting that is not allowed.
    """
    train = partial(_supervised, labelled("lottery-rl-nlp", data), config.lr)
    found = search(model, train, config)
    net = grown(model, train, config, found.kept, found.early)
    return mask_plan(model, found.kept, "lottery-rl-nlp", config, trained(net))


def _supervised(
    batches: Sequence[Batch], lr: float, net: nn.Module, hold: Hook, begin: int, end: int
) -> None:
    optimizer = torch.optim.Adam(net.parameters(), lr)
    for _ in epochs(net, batches, end - begin, optimizer, after_step=hold):
        pass


def search(model: nn.Module, train: Train, config: Config) -> Ticket:
    """Iterative magnitude pruning with late rewinding; the model itself is left as it was."""
    if not 0 <= config.rewind <= config.epochs:
        given = f"rewind={config.rewind}, epochs={config.epochs}"
        raise InputError(f"{given}; the weights are kept after 0 to epochs epochs, 1 usual")
    net = copy.deepcopy(model)
    kept, density, done = chosen(saliency.magnitude(net), 1.0), 1.0, []
    train(net, lambda: None, 0, config.rewind)
    early = copy.deepcopy(net.state_dict())
    for following in rounds(config.density, config.share):
        net = grown(model, train, config, kept, early)
        done.append(Round(density, kept, net))
        kept, density = chosen(saliency.magnitude(net), following, alive=kept), following
    return Ticket(kept, early, tuple(done))


def grown(
    model: nn.Module, train: Train, config: Config, kept: Patterns, early: State | None = None
) -> nn.Module:
    """A copy trained with what is kept, from its early weights on, or from its own at the start."""
    net = copy.deepcopy(model)
    if early is not None:
        net.load_state_dict(early)
    held = Held(net, kept)
    held()
    train(net, held, 0 if early is None else config.rewind, config.epochs)
    return net


def shuffled(kept: Mapping[str, Tensor], generator: torch.Generator) -> Patterns:
    """The mask of a random ticket: as many weights of each layer, anywhere in it."""
    return {
        path: keep.flatten()[torch.randperm(keep.numel(), generator=generator)].view(keep.shape)
        for path, keep in kept.items()
    }


JUDGED, THIRD = 0.1, 1 / 3
SHARE = {True: 0.684, False: 0.2}  # quick: two rounds to a tenth
UPDATES, RATE = 15, 5e-3  # of the actor-critic in an epoch; falls to nothing in a training
NEW, START = "same mask, new weights", "same mask, weights of the start"
Curves = dict[str, dict[float, float]]  # by ticket and compression: what was measured
Found = Mapping[str, Mapping[float, Sequence[float]]]  # the same, a value for each seed


class Task(NamedTuple):
    """A network, how it is trained for a seed, what is measured of it, and what that is called."""

    network: Callable[[], nn.Module]
    train: Callable[[int], Train]
    measure: Callable[[nn.Module], float]
    config: Config
    title: str
    unit: str  # "nats": less is better; "steps": more is


def claims(seeds: Sequence[int], quick: bool) -> Iterator[Measurement]:
    """Measure what the record claims: a quarter of an hour on two cores, one minute when quick."""
    with shelf.one_thread():
        lstm = _language(language.Recurrent, "an LSTM", quick)
        yield _gain("ticket-over-random", lstm, _found(lstm, seeds, quick), "random", seeds)
        causal = _language(language.Causal, "a transformer", quick)
        found = _found(causal, seeds, quick, ("random", NEW, START))
        yield _gain("transformer-over-random", causal, found, "random", seeds)
        yield _gain("weights-matter", causal, found, NEW, seeds)
        yield _gain("late-over-start", causal, found, START, seeds)
        yield _third(found, seeds)
        five, pole = tuple(range(min(seeds), min(seeds) + 5)), _control(quick)
        yield _gain("control-over-random", pole, _found(pole, five, quick), "random", five)
        yield shelf.kernel_ms("a ticket", _timed, seeds[0])


def _language(network: Callable[[], nn.Module], called: str, quick: bool) -> Task:
    corpus, config = language.corpus(), Config(epochs=3 if quick else 8, lr=3e-3)
    train = partial(_supervised, corpus.train, config.lr)
    measure = partial(language.loss, batches=corpus.held_out)
    title = f"Held-out loss of {called} language model"
    return Task(network, lambda seed: train, measure, config, title, "nats")


def _control(quick: bool) -> Task:
    config = Config(epochs=8 if quick else 12)

    def train(seed: int, net: nn.Module, hold: Hook, begin: int, end: int) -> None:
        done = [i / (config.epochs * UPDATES) for i in range(begin * UPDATES, end * UPDATES)]
        control.learn(net, [RATE * (1 - d) for d in done], 1000 * seed + begin, hold)

    title = "Steps that a pole stays up"
    return Task(control.actor, lambda s: partial(train, s), control.score, config, title, "steps")


def _found(
    task: Task, seeds: Sequence[int], quick: bool, others: Sequence[str] = ("random",)
) -> Found:
    return pruned.gathered([_curves(task, seed, quick, others) for seed in seeds])


def _curves(task: Task, seed: int, quick: bool, others: Sequence[str]) -> Curves:
    """What tickets reach by compression, all of them trained for as many epochs."""
    torch.manual_seed(seed)
    net, other, train = task.network(), task.network(), task.train(seed)
    config = replace(task.config, density=JUDGED, share=SHARE[quick])
    found, generator = search(net, train, config), torch.Generator().manual_seed(seed)
    last = Round(JUDGED, found.kept, grown(net, train, config, found.kept, found.early))
    mixed = [last] if quick else [*found.rounds[1:], last]
    ways = {
        "random": lambda kept: grown(other, train, config, shuffled(kept, generator)),
        NEW: lambda kept: grown(other, train, config, kept),
        START: lambda kept: grown(net, train, config, kept),
    }
    ours = {1 / r.density: task.measure(r.net) for r in (*found.rounds, last)}
    theirs = {
        name: {1 / r.density: task.measure(ways[name](r.kept)) for r in mixed} for name in others
    }
    return {"ticket": ours, **theirs}


def _gain(claim: str, task: Task, found: Found, other: str, seeds: Sequence[int]) -> Measurement:
    """How much better the ticket is than another one at the judged density."""
    judged = {name: at[1 / JUDGED] for name, at in found.items()}
    sign = -1 if task.unit == "nats" else 1
    gains = [sign * (a - b) for a, b in zip(judged["ticket"], judged[other], strict=True)]
    each = ", ".join(f"{name} {fmean(values):.3f}" for name, values in judged.items())
    return Measurement(
        claim, fmean(gains), pstdev(gains), fmean(judged[other]), other, tuple(seeds),
        pruned.curves(task.title, task.unit, found),
        f"{task.unit} at density {JUDGED}: {each}; {fmean(found['ticket'][1.0]):.3f} dense",
    )  # fmt: skip


def _third(found: Found, seeds: Sequence[int]) -> Measurement:
    """The loss of the dense transformer minus that of the ticket with about a third."""
    ticket = found["ticket"]
    at = min(ticket, key=lambda compression: abs(compression * THIRD - 1))
    gains = [a - b for a, b in zip(ticket[1.0], ticket[at], strict=True)]
    return Measurement(
        "a-third-near-dense", fmean(gains), pstdev(gains), fmean(ticket[1.0]), "dense",
        tuple(seeds), note=f"{1 / at:.0%} of the weights: {fmean(ticket[at]):.3f} nats",
    )  # fmt: skip


def _timed(net: nn.Module) -> Plan:
    return mask_plan(net, chosen(saliency.magnitude(net), 0.1), "lottery-rl-nlp", Config())
