"""HYDRA: which weights stay is learned under the same attack that the network must withstand.

Paper: hydra (Sehwag, Wang, Mittal, Jana, NeurIPS 2020, arXiv:2002.10509)

Small weights may carry robustness, so magnitude is a poor judge of a network trained against an
attack. Freeze the weights, give each a score, use those with the largest scores of their layer, and
train the scores on the robust loss. Then fix the mask and train the weights that stay, on the same
loss. Started from scaled weights, the first mask is that of magnitude.

| paper  | code      | meaning                                                           |
| ------ | --------- | ----------------------------------------------------------------- |
| theta  | weight    | frozen while pruning                                              |
| s      | scores    | importance, same shape; used is the top share of abs(s) a layer   |
| eps    | epsilon   | largest change of an input number, in units of the input          |
| PGD    | attack    | projected gradient steps on the loss, from a random start         |

    mask = 1 where abs(s) is among the largest share of its layer      section 3.2
    gradient of the mask is passed to abs(s) as it is                  straight through
    s_0 = sqrt(6 / fan-in) * theta / max(abs(theta))                   eq. (6), scaled start

By hand: weights 1, -4 with inputs of two: sqrt(3) / 4 of each; half kept is the second.

>>> round(scaled(torch.tensor([[1.0, -4.0]]))[0, 1].item(), 3)
-1.732

Differs: objectives are adversarial training, TRADES and training under Gaussian noise (for the
  certificate by randomised smoothing); the paper also has MixTrain and CROWN-IBP.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from octavo.errors import InputError
from octavo.reference_impls import saliency
from octavo.reference_impls.attack import attacked, certified, robust
from octavo.reference_impls.inputs import Batch, Data, Input, call, output_of
from octavo.reference_impls.masking import Held, Patterns, chosen, mask_plan, trained
from octavo.reference_impls.measurement import Measurement
from octavo.reference_impls.plan import Plan
from octavo.reference_impls.selection import keep_count, top
from octavo.reference_impls.tasks import digits, nets, pruned, shelf
from octavo.reference_impls.training import Loss, cross_entropy, epochs, labelled, sgd, steps


@dataclass(frozen=True)
class Config:
    """What HYDRA lets the reader choose; released settings for CIFAR-10."""

    density: float = 0.1  # share of each layer that stays
    objective: str = "adversarial"  # or "trades", "noise"
    epsilon: float = 8 / 255  # of the attack; deviation of the noise
    attack_steps: int = 10
    beta: float = 6.0  # of TRADES
    epochs: int = 20  # of the scores
    tuning: int = 100  # of the weights that stay
    lr: float = 0.1  # of the scores; the weights take a tenth


def plan(
    model: nn.Module,
    config: Config = Config(),
    *,
    data: Data = None,
    example: Input = None,
    generator: torch.Generator | None = None,
) -> Plan:
    """Learn a mask and then the weights of a copy of a model, both under attack.

    Args:
        model: a module with Conv or Linear layers that takes float inputs and gives logits, best
            trained against the attack already; it is left as it was.
        config: density, objective, attack and training.
        data: batches (float input, class numbers), walked over once an epoch.
        example: not needed.
        generator: of the attack's starts and the noise; a fixed one if None.

    Returns:
        A Plan with the trained Weights and a Mask for every layer.

    Raises:
        InputError: no data or class numbers, inputs that are no floats, or a bad setting.
    """
    batches, net = labelled("hydra", data), copy.deepcopy(model)
    _attackable(model, batches[0].input)
    generator = generator or torch.Generator().manual_seed(0)
    loss = objective(config, generator)
    patterns = learn(net, batches, config, loss)
    tune(net, batches, patterns, config, loss)
    return mask_plan(model, patterns, "hydra", config, trained(net))


def _attackable(model: nn.Module, example: Input) -> None:
    """Refuse inputs that an attack cannot move a little."""
    if not isinstance(example, Tensor) or not example.is_floating_point():
        tables = (p for p, m in model.named_modules() if isinstance(m, saliency.EMBEDDINGS))
        where = next((f"; {path} (Embedding) takes whole numbers" for path in tables), "")
        raise InputError(f"hydra attacks its inputs: one float tensor a batch is needed{where}")


class Used(torch.autograd.Function):
    """The weights that are used; the gradient of the mask goes to the scores as it is."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, weight: Tensor, density: float) -> Tensor:
        """Keep the weights with the largest abs(scores), same shapes."""
        keep = _largest(scores, density)
        ctx.save_for_backward(scores, weight)
        return weight * keep

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """Straight through to abs(s), whose own slope is the sign."""
        scores, weight = ctx.saved_tensors
        return grads[0] * weight * scores.sign(), None, None


class Scored(nn.Module):
    """A layer's frozen weight under its scores, for as long as they are learned."""

    def __init__(self, weight: Tensor, density: float) -> None:
        super().__init__()
        self.scores, self.density = nn.Parameter(scaled(weight)), density

    def forward(self, weight: Tensor) -> Tensor:
        """The used weights."""
        used: Tensor = Used.apply(self.scores, weight, self.density)  # type: ignore[no-untyped-call]
        return used


def scaled(weight: Tensor) -> Tensor:
    """The start of the scores: eq. (6)."""
    largest = weight.detach().abs().max().clamp_min(1e-12)
    return math.sqrt(6 / weight[0].numel()) * weight.detach() / largest


def _largest(scores: Tensor, density: float) -> Tensor:
    flat = scores.detach().abs().flatten()
    return top(flat, keep_count(density, len(flat))).view(scores.shape)


def learn(net: nn.Module, data: Sequence[Batch], config: Config, loss: Loss) -> Patterns:
    """Learn the scores of a copy of `net` under the loss; returns what stays."""
    twin = copy.deepcopy(net).requires_grad_(False)
    layers = {path: twin.get_submodule(path) for path in saliency.prunable(twin)}
    for layer in layers.values():
        scored = Scored(layer.weight, config.density)  # type: ignore[arg-type]
        parametrize.register_parametrization(layer, "weight", scored)
    for _ in epochs(twin, data, config.epochs, sgd(twin, config.lr, 0.0), rate=steps, loss=loss):
        pass
    return {
        path: _largest(layer.parametrizations.weight[0].scores, config.density)  # type: ignore[index, union-attr]
        for path, layer in layers.items()
    }


def tune(
    net: nn.Module, data: Sequence[Batch], patterns: Patterns, config: Config, loss: Loss
) -> None:
    """Train in place the weights that stay, under the loss."""
    held = Held(net, patterns)
    held()
    optimizer = sgd(net, config.lr / 10)
    for _ in epochs(net, data, config.tuning, optimizer, rate=steps, loss=loss, after_step=held):
        pass


def objective(config: Config, generator: torch.Generator) -> Loss:
    """The robust loss that a configuration names."""
    if config.objective not in OBJECTIVES:
        allowed = ", ".join(OBJECTIVES)
        raise InputError(f"objective={config.objective!r}; allowed are {allowed}")
    return OBJECTIVES[config.objective](config, generator)


def _adversarial(config: Config, generator: torch.Generator) -> Loss:
    def loss(net: nn.Module, batch: Batch) -> Tensor:
        y = batch.target
        x = attacked(
            net, batch.input, lambda z: cross_entropy(z, y),
            config.epsilon, config.attack_steps, generator,
        )  # fmt: skip
        return cross_entropy(output_of(call(net, x)), y)

    return loss


def _trades(config: Config, generator: torch.Generator) -> Loss:
    def loss(net: nn.Module, batch: Batch) -> Tensor:
        clean = output_of(call(net, batch.input))
        held = clean.detach().log_softmax(-1)

        def far(z: Tensor) -> Tensor:
            return F.kl_div(z.log_softmax(-1), held, reduction="batchmean", log_target=True)

        x = attacked(net, batch.input, far, config.epsilon, config.attack_steps, generator)
        other = output_of(call(net, x)).log_softmax(-1)
        apart = F.kl_div(other, clean.log_softmax(-1), reduction="batchmean", log_target=True)
        return cross_entropy(clean, batch.target) + config.beta * apart

    return loss


def _noise(config: Config, generator: torch.Generator) -> Loss:
    def loss(net: nn.Module, batch: Batch) -> Tensor:
        noise = torch.randn(batch.input.shape, generator=generator) * config.epsilon
        return cross_entropy(output_of(call(net, batch.input + noise)), batch.target)

    return loss


OBJECTIVES: dict[str, Callable[[Config, torch.Generator], Loss]] = {
    "adversarial": _adversarial,
    "trades": _trades,
    "noise": _noise,
}


WIDTHS = (8, 8, 16, 16)
EPSILON = 0.3  # in deviations of the digits
JUDGED, SWEEP = 0.05, (0.2, 0.1, 0.05, 0.03, 0.02, 0.01)


def claims(seeds: Sequence[int], quick: bool) -> Iterator[Measurement]:
    """Measure what the record claims: half an hour on two cores, about one minute when quick."""
    with shelf.one_thread():
        yield _start(seeds)
        found = _curves(seeds, quick)
        yield _robust(found, seeds)
        yield _certified(seeds, quick)
        yield shelf.kernel_ms("HYDRA", _timed, seeds[0])


def _start(seeds: Sequence[int]) -> Measurement:
    """Share of the first mask that differs from magnitude's, random layers of several shapes."""
    wrong, total = 0, 0
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed)
        for shape in ((8, 3, 3, 3), (33, 17), (5, 1, 7)):
            weight = torch.randn(shape, generator=generator)
            for density in (0.5, 0.1, 0.03):
                wrong += int((_largest(scaled(weight), density) != _largest(weight, density)).sum())
                total += weight.numel()
    return Measurement("start-is-magnitude", wrong / total, seeds=tuple(seeds))


def _lengths(quick: bool) -> tuple[int, int, int]:
    """Epochs of the dense network, of the scores, and of the weights."""
    return (10, 4, 4) if quick else (30, 15, 15)


def _network(seed: int, quick: bool, kind: str) -> tuple[nn.Module, Config]:
    """A network trained on a robust loss, and the settings that pruned ones share."""
    whole, scores, weights = _lengths(quick)
    torch.manual_seed(seed)
    net = nets.vgg(1, digits.CLASSES, WIDTHS, size=8)
    config = Config(JUDGED, kind, EPSILON, 5, 6.0, scores, weights, 0.1)
    loss = objective(config, torch.Generator().manual_seed(seed))
    for _ in epochs(net, shelf.data(seed), whole, sgd(net, 0.1), rate=steps, loss=loss):
        pass
    return net, config


def _pruned(net: nn.Module, seed: int, config: Config) -> dict[str, nn.Module]:
    """By HYDRA and by magnitude, trained for as many epochs in all."""
    made = {}
    for name in ("HYDRA", "magnitude"):
        twin, loss = copy.deepcopy(net), objective(config, torch.Generator().manual_seed(seed))
        settings = config
        if name == "HYDRA":
            patterns = learn(twin, shelf.data(seed), config, loss)
        else:
            patterns = chosen(saliency.magnitude(twin), config.density, "layer")
            settings = replace(config, tuning=config.tuning + config.epochs)
        tune(twin, shelf.data(seed), patterns, settings, loss)
        made[name] = twin
    return made


Found = dict[str, dict[float, list[float]]]


def _curves(seeds: Sequence[int], quick: bool) -> Found:
    """Robust accuracy in % by way and compression, a value for each seed."""
    images, runs = digits.load(), []
    for seed in seeds:
        net, config = _network(seed, quick, "adversarial")
        found: dict[str, dict[float, float]] = {"HYDRA": {}, "magnitude": {}}
        for density in (JUDGED,) if quick else SWEEP:
            for name, small in _pruned(net, seed, replace(config, density=density)).items():
                generator = torch.Generator().manual_seed(seed)
                share = robust(small, images.test, images.test_labels, EPSILON, generator)
                found[name][1 / density] = 100 * share
        runs.append(found)
    return pruned.gathered(runs)


def _robust(found: Found, seeds: Sequence[int]) -> Measurement:
    ours, theirs = (found[name][1 / JUDGED] for name in ("HYDRA", "magnitude"))
    return shelf.gain(
        "robust-accuracy", ours, theirs, "magnitude", seeds,
        f"accuracy in % under PGD of 50 steps and 3 restarts, density {JUDGED}: HYDRA "
        f"{fmean(ours):.1f}, magnitude {fmean(theirs):.1f}; equal epochs",
        pruned.curves("Accuracy under attack after pruning", "robust accuracy, %", found),
    )  # fmt: skip


def _certified(seeds: Sequence[int], quick: bool) -> Measurement:
    images = digits.load()
    radii: dict[str, list[float]] = {"HYDRA": [], "magnitude": []}
    for seed in seeds:
        net, config = _network(seed, quick, "noise")
        for name, small in _pruned(net, seed, config).items():
            generator = torch.Generator().manual_seed(seed)
            radii[name].append(
                certified(small, images.test, images.test_labels, EPSILON, generator)
            )
    return shelf.gain(
        "certified-radius", radii["HYDRA"], radii["magnitude"], "magnitude", seeds,
        f"mean certified L2 radius at density {JUDGED}: HYDRA {fmean(radii['HYDRA']):.3f}, "
        f"magnitude {fmean(radii['magnitude']):.3f}; noise of {EPSILON} deviations",
    )  # fmt: skip


def _timed(net: nn.Module) -> Plan:
    return mask_plan(net, chosen(saliency.magnitude(net), 0.1, "layer"), "hydra", Config())
