"""Structured pruning through any graph: whole channels, heads and neurons really leave the network.

Paper: structured-dependency (Fang, Ma, Song, Mi, Wang, CVPR 2023, arXiv:2301.12900)

To take one channel out of a layer, the next layer must lose an input, the norm between them a
number, and with a shortcut or a concatenation layers far away lose theirs too. Follow the network
once, find which slices of which parameters stand or fall together, judge each such unit as a whole,
and take the slices out. What is left is an ordinary, smaller network: no mask, no special kernel.

| paper | code    | meaning                                                             |
| ----- | ------- | ------------------------------------------------------------------- |
| g     | unit    | slices of parameters that must go together                          |
| I(w)  |         | squared norm of a slice                                             |
| I(g)  | worth   | sum over the unit's slices, over the mean of its group              |
|       | group   | units with slices of the same parameters: channels of one width     |

    I(g) = sum_(w in g) norm(w)^2                        section 3.3, group-level importance

By hand: hidden units with rows (3, 0, 0) and (0, 1, 0), columns 1 and 1, no bias: 9 + 1 and 1 + 1.
Of two, the first stays.

>>> net = nn.Sequential(nn.Linear(3, 2, bias=False), nn.ReLU(), nn.Linear(2, 1, bias=False))
>>> _ = net[0].weight.data.copy_(torch.tensor([[3.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))
>>> _ = net[2].weight.data.copy_(torch.ones(1, 2))
>>> small = plan(net, Config(density=0.5), example=torch.ones(1, 3)).apply(net)
>>> small[0].weight.tolist(), small[2].weight.tolist()
([[3.0, 0.0, 0.0]], [[1.0]])

Differs: groups are found from labels that follow one call (see `dependency`), not from a table of
  layer types; the paper also trains with a group penalty first, here the reader's weights are taken
  as they are and trained afterwards.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, pstdev

import torch
from torch import Tensor, nn

from octavo.errors import InputError
from octavo.reference_impls.dependency import follow
from octavo.reference_impls.inputs import Data, Input, call, evaluating, example_for, output_of
from octavo.reference_impls.labels import Slice
from octavo.reference_impls.measurement import Measurement
from octavo.reference_impls.plan import Narrow, Plan
from octavo.reference_impls.report import macs, state_bytes
from octavo.reference_impls.selection import keep_count, top
from octavo.reference_impls.tasks import architectures, nets, pruned, shelf

Unit = Sequence[Slice]
FIXED_SIZE = (nn.MultiheadAttention,)  # their code holds their width


@dataclass(frozen=True)
class Config:
    """What structured pruning lets the reader choose."""

    density: float = 0.5  # share of the units of each group that stays
    scope: str = "group"  # or "global": the same share of all units, at least one of a group
    exclude: tuple[str, ...] = ()  # paths of modules that keep their sizes


def plan(
    model: nn.Module,
    config: Config = Config(),
    *,
    data: Data = None,
    example: Input = None,
    generator: torch.Generator | None = None,
) -> Plan:
    """Decide which channels, heads and neurons leave.

    Args:
        model: any module that one call can be followed through; it is left as it was.
        config: share kept, where it is counted, and what is not touched.
        data: not needed.
        example: one input of the model; guessed if None.
        generator: not needed, nothing is random.

    Returns:
        A Plan of Narrow steps; its notes name the operations that kept units from being removed.

    Raises:
        InputError: nothing can be removed (the operations are named), or the model reshapes to
            sizes that it holds itself.
    """
    example = example_for(model) if example is None else example
    groups, notes = grouped(model, example, config.exclude)
    if config.scope not in SCOPES:
        raise InputError(f"scope={config.scope!r}; allowed are {' and '.join(SCOPES)}")
    keep_count(config.density, 1)  # says what is allowed
    keeps = SCOPES[config.scope]([worth(model, group) for group in groups], config.density)
    steps = narrowing(model, groups, keeps)
    found = Plan(steps, "structured-dependency", asdict(config), notes)
    _runs(found, model, example)
    return found


def grouped(
    model: nn.Module, example: Input, exclude: Sequence[str] = ()
) -> tuple[list[list[Unit]], tuple[str, ...]]:
    """Units that can be removed, those with slices of the same parameters together, and notes."""
    found = follow(model, example)
    held = tuple(p for p, m in model.named_modules() if isinstance(m, FIXED_SIZE)) + tuple(exclude)
    groups: dict[frozenset[tuple[str, int]], list[Unit]] = {}
    stuck: Counter[str] = Counter()
    for unit in found.units:
        inside = next((h for h in held if any(_within(name, h) for name, _, _ in unit)), None)
        if inside is None:
            groups.setdefault(frozenset((name, dim) for name, dim, _ in unit), []).append(unit)
        else:
            stuck[inside] += 1
    notes = [f"not followed: {what}" for what in found.stopped]
    notes += [f"kept, {path} has a fixed size: {n} units" for path, n in stuck.items()]
    several = [group for group in groups.values() if len(group) > 1]
    if not several:
        why = "; ".join(notes) or "every layer feeds the output or a constant"
        raise InputError(f"structured-dependency: no unit of this model can be removed ({why})")
    return several, tuple(notes)


def _within(name: str, path: str) -> bool:
    return name.startswith(f"{path}.") or name == path


def worth(model: nn.Module, group: Sequence[Unit]) -> Tensor:
    """Sum of the squares of each unit's slices over the group's mean, float64 (units,)."""
    norms: dict[tuple[str, int], Tensor] = {}
    parameters = dict(model.named_parameters())
    for name, dim in {(name, dim) for unit in group for name, dim, _ in unit}:
        if name in parameters:  # what a norm has counted says nothing
            squares = parameters[name].detach().double().square()
            norms[name, dim] = squares.movedim(dim, 0).flatten(1).sum(1) if squares.ndim > 1 else squares  # fmt: skip # noqa: E501
    sums = [
        sum((norms[name, dim][i] for name, dim, i in unit if (name, dim) in norms), torch.zeros(()))
        for unit in group
    ]
    found = torch.stack([s.double() for s in sums])
    return found / found.mean().clamp_min(1e-30)


def of_each_group(scores: Sequence[Tensor], density: float) -> list[Tensor]:
    """The same share of every group; of equals the earlier stays."""
    return [top(s, keep_count(density, len(s))) for s in scores]


def of_all(scores: Sequence[Tensor], density: float) -> list[Tensor]:
    """A share of all units together, and of each group at least the best."""
    every = torch.cat(list(scores))
    keeps = list(torch.split(top(every, keep_count(density, len(every))), [len(s) for s in scores]))
    for keep, s in zip(keeps, scores, strict=True):
        keep[s.argmax()] = True
    return keeps


SCOPES = {"group": of_each_group, "global": of_all}


def narrowing(
    model: nn.Module, groups: Sequence[Sequence[Unit]], keeps: Sequence[Tensor]
) -> tuple[Narrow, ...]:
    """The steps that take out the units that are not kept."""
    gone: dict[tuple[str, int], set[int]] = {}
    for group, keep in zip(groups, keeps, strict=True):
        for unit, stays in zip(group, keep.tolist(), strict=True):
            for name, dim, i in unit if not stays else ():
                gone.setdefault((name, dim), set()).add(i)
    tensors = dict(model.named_parameters()) | dict(model.named_buffers())
    steps = []
    for (name, dim), indices in sorted(gone.items()):
        path, _, leaf = name.rpartition(".")
        left = [i for i in range(tensors[name].shape[dim]) if i not in indices]
        steps.append(Narrow(path, leaf, dim, torch.tensor(left)))
    return tuple(steps)


def masked(model: nn.Module, found: Plan) -> Mapping[str, Tensor]:
    """The state of the whole network with zeros where the plan takes slices out."""
    state = {name: t.clone() for name, t in model.state_dict().items()}
    for step in found.steps:
        assert isinstance(step, Narrow)
        t = state[f"{step.path}.{step.name}" if step.path else step.name]
        gone = torch.ones(t.shape[step.dim], dtype=torch.bool).index_fill_(0, step.keep, False)
        t.index_fill_(step.dim, gone.nonzero()[:, 0], 0)
    return state


def _runs(found: Plan, model: nn.Module, example: Input) -> None:
    """The narrowed model takes the example, or the reader hears what is in the way."""
    small = found.apply(model)
    with evaluating(small):
        try:
            call(small, example)
        except (RuntimeError, ValueError, AssertionError) as error:
            raise InputError(
                "structured-dependency: the narrowed model does not run, as its code holds sizes "
                f"({str(error).splitlines()[0]}); name the module in exclude="
            ) from error


def claims(seeds: Sequence[int], quick: bool) -> Iterator[Measurement]:
    """Measure what the record claims: minutes on two cores, about one when quick."""
    with shelf.one_thread():
        yield from _kinds(seeds)
        yield from _accuracy(seeds, quick)
        yield _milliseconds(seeds[0])


def _kinds(seeds: Sequence[int]) -> Iterator[Measurement]:
    """On every kind of network: narrowed against masked, and how many became smaller and ran."""
    gaps, smaller = [], set(architectures.KINDS)
    for seed in seeds:
        for kind in architectures.KINDS:
            net, x = architectures.made(kind, seed), architectures.KINDS[kind].example()
            found = plan(net, Config(0.5), example=x)
            small, zeroed = found.apply(net), architectures.made(kind, seed)
            zeroed.load_state_dict(masked(net, found))
            with torch.no_grad():
                a, b = output_of(call(small, x)), output_of(call(zeroed, x))
            gaps.append(float((a - b).abs().max() / b.abs().max()))
            if state_bytes(small) > 0.75 * state_bytes(net):
                smaller.discard(kind)
    yield Measurement(
        "same-as-masked", max(gaps), seeds=tuple(seeds), note=", ".join(architectures.KINDS)
    )
    yield Measurement("kinds", len(smaller), seeds=tuple(seeds), note=", ".join(sorted(smaller)))


JUDGED = 0.25  # share of the channels of each group that stays in the accuracy claims
SWEEP = (0.75, 0.5, 0.35, 0.25, 0.15, 0.1)


def _accuracy(seeds: Sequence[int], quick: bool) -> Iterator[Measurement]:
    """After retraining, by worth and by lot, and a network that was never larger."""
    found: dict[str, dict[float, list[float]]] = {"by worth": {}, "by lot": {}, "from scratch": {}}
    count = shelf.RETRAINING // 2 if quick else shelf.RETRAINING
    for density in (JUDGED,) if quick else SWEEP:
        for seed in seeds:
            net, x = shelf.dense(seed, quick), shelf.data(seed)[0].input[:1]
            groups, _ = grouped(net, x)
            generator = torch.Generator().manual_seed(seed)
            lots = [torch.rand(len(g), generator=generator) for g in groups]
            keeps = {
                "by worth": of_each_group([worth(net, g) for g in groups], density),
                "by lot": of_each_group(lots, density),
            }
            smaller = {
                name: Plan(narrowing(net, groups, keep)).apply(net) for name, keep in keeps.items()
            }
            at = macs(net, x, {}) / macs(smaller["by worth"], x, {})
            scratch = Plan(narrowing(net, groups, keeps["by lot"])).apply(shelf.network(seed))
            runs = {name: (small, count) for name, small in smaller.items()}
            whole = shelf.EPOCHS // 2 if quick else shelf.EPOCHS
            runs["from scratch"] = (scratch, whole + count)
            for name, (small, epochs) in runs.items():
                shelf.retrain(small, shelf.data(seed), {}, epochs, 0.05)
                found[name].setdefault(round(at, 1), []).append(shelf.score(small))
    place = list(found["by worth"])[0 if quick else SWEEP.index(JUDGED)]
    for claim, other in (("over-random", "by lot"), ("over-scratch", "from scratch")):
        ours, theirs = found["by worth"][place], found[other][place]
        gains = [a - b for a, b in zip(ours, theirs, strict=True)]
        each = ", ".join(f"{name} {fmean(values[place]):.1f}" for name, values in found.items())
        yield Measurement(
            claim, fmean(gains), pstdev(gains), fmean(theirs), other, tuple(seeds),
            pruned.curves("Test accuracy after retraining, by MACs", "accuracy, %", found)
            | {"x_label": "MACs, dense over pruned"},
            f"accuracy in % with a quarter of the channels: {each}",
        )  # fmt: skip


def _milliseconds(seed: int) -> Measurement:
    """A ResNet-18 with half of its channels, milliseconds dense over narrowed."""
    torch.manual_seed(seed)
    net, x = nets.resnet18(3, 10).eval(), torch.randn(1, 3, 32, 32)
    report = pruned.native(plan(net, Config(0.5), example=x), net, x)
    return Measurement(
        "half-ms", report.speed_up, None, 1.0, "dense", (seed,),
        note=f"ResNet-18 on 32 x 32: {report.ms_before:.1f} to {report.ms_after:.1f} ms, "
        f"{report.macs_before:,} to {report.macs_after:,} MACs, {report.bytes_before:,} to "
        f"{report.bytes_after:,} bytes, {report.machine}",
    )  # fmt: skip
