"""Structured pruning of a reader: learned gates on heads and feed-forward units, then cut out.

Paper: structured-pruning-bert-qa (McCarley, Chakravarti, Sil, 2019, arXiv:1910.06360)

Multiply the output of every attention head and of every feed-forward unit by a gate. Learn the
gates by the loss of the task plus a penalty on how many are expected to be open; a hard-concrete
gate is random while it learns, yet exactly 0 or 1 with positive probability. Cut what stays closed
out of the matrices, and train the smaller model a little more, with the uncut one as its teacher.

| paper      | code     | meaning                                                              |
| ---------- | -------- | -------------------------------------------------------------------- |
| g          | gate     | of one head or unit: multiplies the columns that read it             |
| log alpha  | openness | learned, one a gate                                                  |
| beta, l, r |          | 2/3, -0.1, 1.1: temperature and the ends of the stretched interval   |
| lambda     | penalty  | of heads and of units: weight of the mean P(g > 0)                   |

    s = sigmoid((log u - log(1 - u) + log alpha) / beta),  u uniform
    g = min(1, max(0, s (r - l) + l))                                    hard concrete
    P(g > 0) = sigmoid(log alpha - beta log(-l / r))
    loss = L_task + lambda_att mean P over heads + lambda_ff mean P over units
    after the cut: (1 - a) L_task + a T^2 KL(teacher || student), both logits over T

By hand: log alpha of 0 opens with probability sigmoid(2/3 log 11), and its fixed gate is 0.5.

>>> round(chance(torch.tensor(0.0)).item(), 3), round(settled(torch.tensor(0.0)).item(), 3)
(0.832, 0.5)

Differs: heads and units are found by following one call (see `dependency`), so that any model has
  gates on what can be cut, such as channels; the weights are frozen while gates are learned; the
  share that stays is asked for, and the gates with the largest log alpha over all layers stay. With
  `select="threshold"` the penalty decides, as in the paper. No gates on embedding dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, pstdev

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from octavo.errors import InputError
from octavo.kernels.timing import ratio
from octavo.reference_impls.gates import Gated, Groups, chance, is_heads, noisy, settled, units
from octavo.reference_impls.inputs import Batch, Data, Input, call, evaluating, output_of
from octavo.reference_impls.measurement import Measurement
from octavo.reference_impls.plan import Plan, Weights
from octavo.reference_impls.selection import keep_count
from octavo.reference_impls.structured_dependency import narrowing, of_all
from octavo.reference_impls.tasks import finetuning, pruned, shelf, spans, students
from octavo.reference_impls.training import Loss, cross_entropy, epochs, labelled, linear, task_loss

START = 2.0  # log alpha of all gates: open with a probability of 0.97


@dataclass(frozen=True)
class Config:
    """What learned gates let the reader choose."""

    density: float = 0.5  # share of the units that stays, over all layers
    heads: float = 0.0  # share of the heads that stays; 0: as of the units
    by: str = "l0"  # or "gain", "leave-one-out", "random": the paper's four ways
    select: str = "share"  # or "threshold": what the penalties leave open
    penalty: float = 1.0  # lambda of the units
    penalty_heads: float = 1.0
    gating: int = 2  # epochs in which gates are learned
    gate_lr: float = 0.1
    epochs: int = 2  # of training after the cut
    lr: float = 3e-5
    distil: float = 0.5  # a: share of the teacher's logits in that loss; 0: none
    temperature: float = 2.0
    exclude: tuple[str, ...] = ()  # paths of modules that keep their sizes


def plan(
    model: nn.Module,
    config: Config = Config(),
    *,
    data: Data = None,
    example: Input = None,
    generator: torch.Generator | None = None,
) -> Plan:
    """Learn which heads and units to cut, cut them, and train what is left.

    Args:
        model: a fine-tuned module that one call can be followed through and that gives logits.
        config: shares, the way gates are set, and both trainings.
        data: batches (input, class numbers), walked over once an epoch. Logits (B, 2, T) with
            targets (B, 2) are spans.
        example: one input to follow; the first batch if None.
        generator: of the gates' noise; a fixed one if None.

    Returns:
        A Plan of Narrow steps and the trained Weights of what is left.

    Raises:
        InputError: no data or class numbers, a setting that is not allowed, or nothing can be cut.
    """
    _check(config)
    batches = labelled("structured-pruning-bert-qa", data)
    generator = generator or torch.Generator().manual_seed(0)
    example = batches[0].input if example is None else example
    groups, notes = units(model, example, config.exclude)
    keeps = chosen(model, groups, batches, config, generator)
    cut = Plan(narrowing(model, groups, keeps))
    small = cut.apply(model)
    trained = [p for p in small.parameters() if p.requires_grad]
    recover(small, model, batches, config, torch.optim.Adam(trained, lr=config.lr))
    values = {name: t.detach().cpu().clone() for name, t in small.state_dict().items()}
    steps = (*cut.steps, Weights("", values)) if config.epochs else cut.steps
    return Plan(steps, "structured-pruning-bert-qa", asdict(config), notes)


def chosen(
    model: nn.Module, groups: Groups, data: Sequence[Batch], config: Config,
    generator: torch.Generator,
) -> list[Tensor]:  # fmt: skip
    """Which units of every group stay; at least the best of each."""
    worth = WAYS[config.by](Gated(model, groups), groups, data, config, generator)
    scores = list(torch.split(worth, [len(group) for group in groups]))
    if config.select == "threshold":
        return [_opened(s) for s in scores]
    keeps: list[Tensor] = [torch.zeros(0)] * len(groups)
    for heads, share in ((True, config.heads or config.density), (False, config.density)):
        places = [i for i, group in enumerate(groups) if is_heads(group) == heads]
        kept = of_all([scores[i] for i in places], share) if places else []
        for place, keep in zip(places, kept, strict=True):
            keeps[place] = keep
    return keeps


def _opened(openness: Tensor) -> Tensor:
    keep = settled(openness) > 0
    keep[openness.argmax()] = True
    return keep


def _by_l0(
    gated: Gated, groups: Groups, data: Sequence[Batch], config: Config, generator: torch.Generator
) -> Tensor:
    """Log alpha after training on the task's loss and the penalty."""
    openness = nn.Parameter(torch.full_like(gated.gates, START))
    heads = torch.cat([torch.full((len(g),), is_heads(g)) for g in groups])
    weight = torch.where(heads, config.penalty_heads, config.penalty)
    weight = weight / torch.where(heads, heads.sum(), (~heads).sum())
    optimizer = torch.optim.Adam([openness], lr=config.gate_lr)

    def loss(net: nn.Module, batch: Batch) -> Tensor:
        uniform = torch.rand(openness.shape, generator=generator).clamp(1e-6, 1 - 1e-6)
        gated.gates = noisy(openness, uniform)
        return task_loss(net, batch)

    def penalty() -> Tensor:
        return (weight * chance(openness)).sum()

    for _ in epochs(gated, data, config.gating, optimizer, loss=loss, penalty=penalty):
        pass
    return openness.detach()


def _by_gain(
    gated: Gated, groups: Groups, data: Sequence[Batch], config: Config, generator: torch.Generator
) -> Tensor:
    """Mean over batches of the size of the loss's slope in each gate, all gates open."""
    found = torch.zeros_like(gated.gates)
    for batch in data:
        gated.gates = torch.ones_like(found, requires_grad=True)
        found += torch.autograd.grad(task_loss(gated, batch), gated.gates)[0].abs()
    return found / len(data)


def _by_leaving_out(
    gated: Gated, groups: Groups, data: Sequence[Batch], config: Config, generator: torch.Generator
) -> Tensor:
    """The loss of the first batch with one gate closed: a pass for every gate."""
    found = torch.zeros_like(gated.gates)
    with torch.no_grad():
        for i in range(len(found)):
            gated.gates = torch.ones_like(found).index_fill_(0, torch.tensor([i]), 0.0)
            found[i] = task_loss(gated, data[0])
    return found


def _by_lot(
    gated: Gated, groups: Groups, data: Sequence[Batch], config: Config, generator: torch.Generator
) -> Tensor:
    return torch.rand(gated.gates.shape, generator=generator)


Way = Callable[[Gated, Groups, Sequence[Batch], Config, torch.Generator], Tensor]
WAYS: Mapping[str, Way] = {
    "l0": _by_l0, "gain": _by_gain, "leave-one-out": _by_leaving_out, "random": _by_lot
}  # fmt: skip


def recover(
    small: nn.Module, teacher: nn.Module, data: Sequence[Batch], config: Config,
    optimizer: torch.optim.Optimizer,
) -> None:  # fmt: skip
    """Train the cut model in place on the task and on the teacher's logits."""
    loss: Loss = task_loss
    if config.distil and config.epochs:
        with evaluating(teacher):
            taught = {id(b): output_of(call(teacher, b.input)).detach() for b in data}
        loss = _taught(taught, config)
    for _ in epochs(small, data, config.epochs, optimizer, rate=linear, loss=loss):
        pass


def _taught(taught: Mapping[int, Tensor], config: Config) -> Loss:
    def loss(net: nn.Module, batch: Batch) -> Tensor:
        logits = output_of(call(net, batch.input))
        ours = cross_entropy(logits, batch.target)
        return (1 - config.distil) * ours + config.distil * distilled(
            logits, taught[id(batch)], config.temperature
        )

    return loss


def distilled(logits: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T^2 KL(teacher || student) over the last axis, mean over the others.

    >>> x = torch.tensor([[1.0, 2.0]])
    >>> distilled(x, x + 5, 2.0).item()
    0.0
    """
    theirs, ours = ((t / temperature).flatten(0, -2).log_softmax(-1) for t in (teacher, logits))
    return temperature**2 * F.kl_div(ours, theirs, reduction="batchmean", log_target=True)


def _check(config: Config) -> None:
    for share in (config.density, config.heads or config.density):
        keep_count(share, 1)  # says what is allowed
    if config.by not in WAYS or config.select not in ("share", "threshold"):
        given = f"by={config.by!r}, select={config.select!r}"
        raise InputError(f"{given}; allowed are {', '.join(WAYS)}, and share or threshold")
    if config.select == "threshold" and config.by != "l0":
        raise InputError(f"select='threshold' needs gates that are learned; by={config.by!r}")
    if not 0 <= config.distil <= 1:
        raise InputError(f"distil={config.distil}; a share of the loss, from 0 to 1")


HALF, SWEEP = 0.5, (0.75, 0.5, 0.35, 0.25, 0.15, 0.1)  # shares of heads and units that stay
TIMES, QUESTIONS = "times", spans.BATCH
WAYS_JUDGED = ("l0", "gain", "random")


def claims(seeds: Sequence[int], quick: bool) -> Iterator[Measurement]:
    """Measure what the record claims: half an hour on two cores, about one minute when quick."""
    with shelf.one_thread():
        yield _equal(seeds)
        found, whole = _curves(seeds, quick)
        times = found.pop(TIMES)
        for claim, other in (
            ("gates-over-gain", "gain"), ("gates-over-random", "random"),
            ("distilled", "no teacher"),
        ):  # fmt: skip
            yield _gain(claim, found["l0"][HALF], found[other][HALF], other, found, seeds)
        uncut = [whole] * len(seeds)
        yield _gain("f1-kept", found["l0"][HALF], uncut, "uncut", found, seeds)
        yield _faster(times, whole, found, seeds)


def _equal(seeds: Sequence[int]) -> Measurement:
    """Largest difference of outputs of a gated encoder and the one that is cut."""
    gaps = []
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed)
        net, batch = spans.reader(1, seed).eval(), spans.load(*_sizes(True)).held_out[seed]
        groups, _ = units(net, batch.input)
        keeps = [torch.rand(len(group), generator=generator) < 0.6 for group in groups]
        gated, small = Gated(net, groups), Plan(narrowing(net, groups, keeps)).apply(net)
        gated.gates = torch.cat(keeps).float()
        with torch.no_grad():
            gaps.append(float((gated(**batch.input) - small(**batch.input)).abs().max()))
    return Measurement("sliced-equals-masked", max(gaps), seeds=tuple(seeds))


def _sizes(quick: bool) -> tuple[int, int]:
    """Questions to train on, and held-out ones."""
    return (1600, 160) if quick else (2400, 400)


Found = dict[str, dict[float, list[float]]]


def _curves(seeds: Sequence[int], quick: bool) -> tuple[Found, float]:
    """F1 in % by way and share that stays, times faster beside it, and F1 of the uncut reader."""
    task, runs = spans.load(*_sizes(quick)), []
    net = spans.fine_tuned(2 if quick else 4, 200 if quick else 2400, *_sizes(quick))
    gating, tuning, gate_lr = (16, 20, 0.3) if quick else (300, 600, 0.1)
    for seed in seeds:
        data = finetuning.in_order(task, seed, gating + tuning)
        groups, _ = units(net, data[0].input)
        run: dict[str, dict[float, float]] = {}
        for share in (HALF,) if quick else SWEEP:
            for name in (*WAYS_JUDGED, "no teacher"):
                by, distil = ("l0", 0.0) if name == "no teacher" else (name, 0.5)
                config = Config(share, by=by, gating=1, gate_lr=gate_lr, epochs=1, distil=distil)
                generator = torch.Generator().manual_seed(seed)
                keeps = chosen(net, groups, data[: gating if by == "l0" else 8], config, generator)
                small = Plan(narrowing(net, groups, keeps)).apply(net)
                recover(small, net, data[gating:], config, finetuning.adam(small))
                run.setdefault(name, {})[share] = spans.score(small, task)
                if name == "l0":
                    x = task.held_out[0].input
                    timed = ratio(*(students.milliseconds(n, x) for n in (small, net)))
                    run.setdefault(TIMES, {})[share] = timed.ratio
        runs.append(run)
    return pruned.gathered(runs), spans.score(net, task)


def _gain(
    claim: str, ours: Sequence[float], theirs: Sequence[float], name: str, found: Found,
    seeds: Sequence[int],
) -> Measurement:  # fmt: skip
    """Points of F1 of learned gates over another way, half of heads and units cut."""
    gains = [a - b for a, b in zip(ours, theirs, strict=True)]
    each = ", ".join(f"{way} {fmean(at[HALF]):.1f}" for way, at in found.items())
    by_size = {way: {1 / share: f1 for share, f1 in at.items()} for way, at in found.items()}
    title = "F1 of a cut reader, by heads and units before over after"
    return Measurement(
        claim, fmean(gains), pstdev(gains), fmean(theirs), name, tuple(seeds),
        pruned.curves(title, "F1, %", by_size), f"F1 in % with half of heads and units: {each}",
    )  # fmt: skip


def _faster(
    times: Mapping[float, Sequence[float]], whole: float, found: Found, seeds: Sequence[int]
) -> Measurement:
    """Milliseconds of the uncut reader over the cut one, and F1 against that."""
    x, y = [1.0], [whole]
    for share, values in times.items():
        x.append(fmean(values))
        y.append(fmean(found["l0"][share]))
    halved = times[HALF]
    return Measurement(
        "sliced-ms", fmean(halved), pstdev(halved), 1.0, "uncut", tuple(seeds),
        {
            "title": "F1 against time", "x_label": "milliseconds, uncut over cut",
            "y_label": "F1, %", "x_scale": "linear", "lines": [{"name": "l0", "x": x, "y": y}],
        },
        f"half of heads and units; {QUESTIONS} questions at once, interleaved rounds",
    )  # fmt: skip
