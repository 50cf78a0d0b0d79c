"""Movement pruning: while an encoder is fine-tuned, keep the weights that move away from zero.

Paper: movement-pruning-adaptive-sparsity-by-fine-tuning (Sanh, Wolf, Rush, NeurIPS 2020,
arXiv:2005.07683)

Fine-tuning hardly changes a pre-trained weight, so its size tells what pre-training wanted and not
what the task needs. Give every weight a score, use only those with the largest scores, and pass the
gradient of the mask through to all scores: a score grows while its weight is pushed away from zero
and falls while it is pushed towards it. The share that is used falls along a cubic curve.

| paper     | code      | meaning                                                           |
| --------- | --------- | ----------------------------------------------------------------- |
| W         | weight    | trained; what is masked gets no gradient                          |
| S         | score     | same shape, starts at zero                                        |
| M = Top_v | keep      | the share v of each matrix with the largest scores                |
| tau       | threshold | soft variant: sigmoid(S) above it stays, in all matrices          |
| lambda    | penalty   | soft variant: weight of the mean of sigmoid(S) in the loss        |

    used:   W * M(S)                                          section 3
    dL/dS = dL/d(W * M) * W, for masked weights too           straight through, section 4
    so S = -lr * sum over updates of W * dL/d(W * M)          grows while W moves away from zero
    v(t) = v_f + (1 - v_f) (1 - (t - t_i) / T)^3              between warm-up and cool-down

By hand: a weight 2 whose gradient is -3 is pushed up, away from zero: 6 is added to its score (at a
rate of 1); a weight -2 with that gradient moves towards zero and loses 6.

>>> gained(torch.tensor([2.0, -2.0]), torch.tensor([-3.0, -3.0])).tolist()
[6.0, -6.0]

Differs: the penalty is the mean over all scores, in place of the sum, so that one value serves
  models of all sizes; of equal scores the earlier weight stays.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, pstdev

import torch
from torch import Tensor, nn

from octavo.errors import InputError
from octavo.reference_impls import saliency
from octavo.reference_impls.inputs import Batch, Data, Input
from octavo.reference_impls.magnitude import cubic
from octavo.reference_impls.masking import Patterns, chosen, mask_plan
from octavo.reference_impls.measurement import Measurement
from octavo.reference_impls.plan import Plan, Weights
from octavo.reference_impls.selection import keep_count
from octavo.reference_impls.tasks import finetuning, shelf
from octavo.reference_impls.training import epochs, labelled, linear

Scores = Mapping[str, Tensor]


@dataclass(frozen=True)
class Config:
    """What movement pruning lets the reader choose."""

    density: float = 0.1  # share that stays; with "soft" the penalty decides
    variant: str = "hard"  # or "soft"; or "magnitude", the paper's baseline: abs(W) as the score
    scope: str = "layer"  # of "hard" and "magnitude"; or "global"
    epochs: int = 10  # the paper: 6 on MNLI, 10 on SQuAD and QQP
    lr: float = 3e-5  # of the weights
    score_lr: float = 1e-2  # of the scores
    warm_up: float = 0.1  # share of the updates before pruning begins
    cool_down: float = 0.2  # share of the updates at the final density
    threshold: float = 0.1  # soft: tau after the warm-up and the curve
    penalty: float = 400.0  # soft: lambda, for the mean
    exclude: tuple[str, ...] = ()  # paths of layers that stay dense, such as the task's head


def plan(
    model: nn.Module,
    config: Config = Config(),
    *,
    data: Data = None,
    example: Input = None,
    generator: torch.Generator | None = None,
) -> Plan:
    """Fine-tune a copy of a pre-trained model while pruning it by movement.

    Args:
        model: a pre-trained module with Conv or Linear layers that gives logits; left as it was.
        config: density or penalty, variant, schedule and rates.
        data: batches (input, class numbers), walked over once an epoch.
        example: not needed.
        generator: not needed; the order of the data is the loader's.

    Returns:
        A Plan with the trained Weights and a Mask for every layer.

    Raises:
        InputError: no data or class numbers, or a setting that is not allowed.
    """
    batches, net = labelled("movement", data), copy.deepcopy(model)
    optimizer = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], lr=config.lr)
    patterns = learn(net, batches, config, optimizer)
    trained = {name: t.detach().cpu().clone() for name, t in net.state_dict().items()}
    return mask_plan(model, patterns, "movement", config, Weights("", trained))


def learn(
    net: nn.Module, data: Sequence[Batch], config: Config, optimizer: torch.optim.Optimizer
) -> Patterns:
    """Train `net` in place and prune it; returns what stays.

    `optimizer` holds the trained parameters; the scores join it as a group of their own.
    """
    _check(config)
    moving = Moving(net, config, max(1, config.epochs * len(data)))
    optimizer.add_param_group({"params": list(moving.scores.values()), "lr": config.score_lr})
    moving.mask()
    for _ in epochs(
        net, data, config.epochs, optimizer,
        rate=linear, before_step=moving.before, after_step=moving.after,
    ):  # fmt: skip
        pass
    return moving.keep


class Moving:
    """Weights under their scores: masked for a pass of the network, whole for the optimizer."""

    def __init__(self, net: nn.Module, config: Config, updates: int) -> None:
        self.weights = saliency.inner(net, config.exclude)
        self.scores = {p: nn.Parameter(torch.zeros_like(w)) for p, w in self.weights.items()}
        self.whole = {p: w.detach().clone() for p, w in self.weights.items()}
        self.config, self.updates, self.done = config, updates, 0
        self.keep: Patterns = {}

    @torch.no_grad()
    def mask(self) -> None:
        """Choose what is used and put zeros in place of the rest."""
        self.keep = VARIANTS[self.config.variant](self)
        for path, w in self.weights.items():
            w.copy_(self.whole[path]).mul_(self.keep[path].to(w.device))

    @torch.no_grad()
    def before(self) -> None:
        """From the gradient of what was used to those of weights and scores; weights whole."""
        for path, w in self.weights.items():
            slope = torch.zeros_like(w) if w.grad is None else w.grad
            score = self.scores[path]
            score.grad = -gained(self.whole[path], slope)
            if self.config.variant == "soft":
                score.grad += self._pull(score)
            if w.grad is not None:
                w.grad.mul_(self.keep[path].to(w.device))
            w.copy_(self.whole[path])

    @torch.no_grad()
    def after(self) -> None:
        """Keep the whole weights and mask them anew."""
        self.done += 1
        for path, w in self.weights.items():
            self.whole[path].copy_(w)
        self.mask()

    def progress(self) -> float:
        """Share of the pruning that is done: 0 in the warm-up, 1 in the cool-down."""
        warm, cool = self.config.warm_up, self.config.cool_down
        return min(1.0, max(0.0, self.done / self.updates - warm) / (1 - warm - cool))

    def _pull(self, score: Tensor) -> Tensor:
        """Gradient of the penalty: of the mean of sigmoid(S) over all scores."""
        total = sum(s.numel() for s in self.scores.values())
        inside = score.sigmoid()
        return self.config.penalty / total * inside * (1 - inside)


def gained(weight: Tensor, slope: Tensor) -> Tensor:
    """What a score gains at a rate of 1: minus weight times gradient, by element."""
    return -weight * slope


def _by_movement(moving: Moving) -> Patterns:
    density = cubic(moving.config.density, moving.progress())
    return chosen(moving.scores, density, moving.config.scope)


def _by_size(moving: Moving) -> Patterns:
    density = cubic(moving.config.density, moving.progress())
    sizes = {path: w.abs() for path, w in moving.whole.items()}
    return chosen(sizes, density, moving.config.scope)


def _above_threshold(moving: Moving) -> Patterns:
    risen = 1 - cubic(0.0, moving.progress())
    least = moving.config.threshold * risen
    return {path: (s.sigmoid() > least).cpu() for path, s in moving.scores.items()}


VARIANTS = {"hard": _by_movement, "soft": _above_threshold, "magnitude": _by_size}


def _check(config: Config) -> None:
    keep_count(config.density, 1)  # says what is allowed
    if config.variant not in VARIANTS:
        raise InputError(f"variant={config.variant!r}; allowed are {', '.join(VARIANTS)}")
    shares = config.warm_up, config.cool_down
    if min(shares) < 0 or sum(shares) >= 1:
        raise InputError(
            f"warm_up={shares[0]}, cool_down={shares[1]}; shares of the updates, below 1 together"
        )
    if not 0 < config.threshold < 0.5:
        raise InputError(f"threshold={config.threshold}; allowed is 0 < threshold < 0.5")


SWEEP = (1.0, 0.3, 0.15, 0.1, 0.05, 0.03)
PENALTIES = (100.0, 400.0)  # of the soft variant, in the full run; the last is judged
MEASURED = Config(lr=finetuning.LR, score_lr=0.1, penalty=400.0, exclude=("head",))


def claims(seeds: Sequence[int], quick: bool) -> Iterator[Measurement]:
    """Measure what the record claims: an hour on two cores, about one minute when quick."""
    with shelf.one_thread():
        yield _exact(seeds)
        found = _curves(seeds, quick)
        yield _gain("over-magnitude", "hard", "magnitude", found, seeds)
        yield _gain("soft-over-hard", "soft", "hard", found, seeds)
        yield shelf.kernel_ms("movement", _timed, seeds[0])


def _exact(seeds: Sequence[int]) -> Measurement:
    """Scores after plain gradient steps against minus the sum of weight times gradient."""
    gaps = []
    for seed in seeds:
        net, batch = shelf.smooth(seed)
        moving = Moving(net, Config(0.3, warm_up=0.0), 4)
        step = torch.optim.SGD([*moving.weights.values(), *moving.scores.values()], lr=1.0)
        moving.mask()
        summed = {path: torch.zeros_like(w) for path, w in moving.weights.items()}
        for _ in range(4):
            loss = nn.functional.cross_entropy(net(batch.input), batch.target)
            slopes = torch.autograd.grad(loss, list(moving.weights.values()))
            for (path, w), slope in zip(moving.weights.items(), slopes, strict=True):
                summed[path] -= moving.whole[path] * slope
                w.grad = slope
            moving.before()
            step.step()
            moving.after()
        gaps += [float((moving.scores[p].detach() - s).abs().max()) for p, s in summed.items()]
    return Measurement("score-is-movement", max(gaps), seeds=tuple(seeds))


Ends = list[tuple[float, float]]  # density and accuracy in %, by seed
Found = dict[str, dict[str, Ends]]  # by variant and setting

JUDGED = "as soft ends"  # the setting of hard and magnitude in the claims: soft's density


def _curves(seeds: Sequence[int], quick: bool) -> Found:
    """Every variant fine-tuned from the same encoder, head and batches of a seed."""
    found: Found = {"soft": {}, "hard": {}, "magnitude": {}}
    for seed in seeds:
        for penalty in PENALTIES[-1:] if quick else PENALTIES:
            end = _run(seed, quick, replace(MEASURED, variant="soft", penalty=penalty))
            found["soft"].setdefault(str(penalty), []).append(end)
        settings = {JUDGED: end[0]} | ({} if quick else {str(d): d for d in SWEEP})
        for name in ("hard", "magnitude"):
            for setting, density in settings.items():
                config = replace(MEASURED, variant=name, density=density)
                found[name].setdefault(setting, []).append(_run(seed, quick, config))
    return found


def _run(seed: int, quick: bool, config: Config) -> tuple[float, float]:
    """Density and held-out accuracy in % of one fine-tuning."""
    blocks, updates, each = (1, 60, 240) if quick else (2, 600, 600)
    task = finetuning.packages(each)
    net, data = (
        finetuning.reader(blocks, task.classes, seed),
        finetuning.in_order(task, seed, updates),
    )
    keep = learn(net, data, replace(config, epochs=1), finetuning.adam(net))
    kept = sum(int(k.sum()) for k in keep.values()) / sum(k.numel() for k in keep.values())
    return kept, finetuning.score(net, task)


def _gain(claim: str, first: str, other: str, found: Found, seeds: Sequence[int]) -> Measurement:
    """Points of accuracy of one variant over another at the density where soft ends."""
    ends = {name: list(at.values())[-1 if name == "soft" else 0] for name, at in found.items()}
    accuracy = {name: [a for _, a in end] for name, end in ends.items()}
    gains = [a - b for a, b in zip(accuracy[first], accuracy[other], strict=True)]
    each = ", ".join(f"{name} {fmean(values):.1f}" for name, values in accuracy.items())
    return Measurement(
        claim, fmean(gains), pstdev(gains), fmean(accuracy[other]), other, tuple(seeds),
        _series(found),
        f"accuracy in %: {each}; density {fmean(d for d, _ in ends['soft']):.3f}",
    )  # fmt: skip


def _series(found: Found) -> dict[str, object]:
    lines = []
    for name, at in found.items():
        ends = sorted(at.values(), key=lambda end: -end[0][0])
        x = [1 / fmean(d for d, _ in end) for end in ends]
        y = [[a for _, a in end] for end in ends]
        lines.append({"name": name, "x": x, "y": [*map(fmean, y)], "sd": [*map(pstdev, y)]})
    return {
        "title": "Held-out accuracy of a fine-tuned and pruned encoder", "x_label": "compression",
        "y_label": "accuracy, %", "x_scale": "log", "lines": lines,
    }  # fmt: skip


def _timed(net: nn.Module) -> Plan:
    keep = chosen(saliency.magnitude(net), 0.1, "layer")  # how it was chosen does not tell in time
    return mask_plan(net, keep, "movement", Config())
