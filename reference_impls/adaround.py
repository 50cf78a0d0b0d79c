"""AdaRound: up or down? Adaptive rounding for post-training quantization (paper `adaround`).

Rounding each weight to the nearest grid point keeps the weights' error smallest, not the network's.
To second order the loss moves by ``dw^T H dw``, whose off-diagonal terms let errors of neighbouring
weights cancel, so which way to round is a binary quadratic problem; per layer it becomes keeping
the layer's output on real inputs. Each choice is relaxed to a stretched sigmoid h between 0 and 1,
fitted by gradient descent, and driven to 0 or 1 by a regulariser whose power falls over time.

| symbol      | here           | shape, meaning                                            |
| ----------- | -------------- | --------------------------------------------------------- |
| W, s        | weight, scales | (N, ...) and (N, groups): the float weight and its grid   |
| n, p        | low, high      | lowest and highest code, -2^(b-1) and 2^(b-1) - 1         |
| V, h(V)     | v, h           | like W: the continuous choice; h = 0 is down, h = 1 is up |
| zeta, gamma | ZETA, GAMMA    | 1.1 and -0.1: the stretch, so that h reaches 0 and 1      |
| x, x^       | target, inputs | inputs in the float model, and from the quantized prefix  |
| f_a         | following      | what follows: BatchNorm, activation, or the identity      |
| beta        | beta           | the regulariser's power, from 20 down to 2                |

    W~   = s * clip(floor(W / s) + h(V), n, p)                                             eq. (22)
    h(V) = clip(sigmoid(V) (zeta - gamma) + gamma, 0, 1)                                   eq. (23)
    min_V ||f_a(W x) - f_a(W~ x^)||^2 + lambda * sum(1 - |2 h(V) - 1|^beta)          eq. (24), (25)

By hand: two weights at 0.4 of a step, and inputs that always come as a pair (a, a). To the nearest,
both go down and the output is short by 0.8 a; one up and one down leaves it 0.2 a too large.

>>> from octavo.reference_impls.reconstruction import enumerate_roundings
>>> w = torch.tensor([[0.4, 0.4]])
>>> unit = torch.tensor([[1.0]])
>>> pairs = torch.tensor([[1.0, 1.0], [2.0, 2.0]])
>>> rounded_down = quantizer.nearest(w, unit, bits=4)
>>> rounded_down.tolist(), round(float((pairs @ w.T).square().sum()), 3)
([[0, 0]], 3.2)
>>> best = enumerate_roundings(w[0], unit[0], pairs.T @ pairs, bits=4)
>>> sorted(best.codes.tolist()), round(best.loss, 3)
([0, 1], 0.2)

Differs:
- One scale a row (or a group of a row) by default; the paper has one a tensor (``per_tensor``).
- BatchNorm is not folded into the convolution but taken into f_a. With one scale a row it is the
  same problem: folding multiplies a row and its scale by one number.
- f_a is what hooks see directly behind the layer: BatchNorm, an activation (module or function).
  An activation behind a sum is not: f_a is then the identity, and the plan's notes name the layer.
- 500 steps at twenty times the learning rate instead of 10,000: V can go as far, in a twentieth of
  the time. ``iterations=10000, lr=1e-3`` is the authors' setting.
- After the last step the error on all calibration inputs is compared with nearest rounding, and the
  better of the two is kept, so no layer ends up worse than nearest there.
- A mini-batch is 256 output positions (pixels, tokens) drawn from a pool of at most 8,192 a layer,
  not 32 whole images: neighbouring pixels say much the same, and a CPU has no time to spare.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean, pstdev
from typing import NamedTuple

import torch
from torch import Tensor, nn

from octavo.errors import InputError
from octavo.reference_impls import quantizer
from octavo.reference_impls.calibration import calibration
from octavo.reference_impls.hooks import Stage
from octavo.reference_impls.inputs import Data, Input
from octavo.reference_impls.measurement import Measurement
from octavo.reference_impls.plan import Codes, Plan
from octavo.reference_impls.reconstruction import (
    Chosen,
    Problem,
    choose,
    problem_of,
    targets,
)
from octavo.reference_impls.tasks import digits, rounded
from octavo.reference_impls.tasks.pruned import one_thread

ZETA, GAMMA = 1.1, -0.1  # eq. (23)
BITS = (4, 3, 2)


@dataclass(frozen=True)
class Config:
    """Settings; each default with where it comes from."""

    bits: int = 4  # Section 5, main tables
    group: int | None = None  # ours: one scale a row; a number of inputs that share one otherwise
    per_tensor: bool = False  # the paper: True
    iterations: int = 500  # ours, see Differs; Section 5: 10,000
    lr: float = 2e-2  # ours, see Differs; the authors' release (AIMET): Adam's default, 1e-3
    batch: int = 256  # output positions, see Differs; Section 5: 32 images with all of theirs
    regularization: float = 0.01  # lambda; the authors' release (AIMET)
    warm_start: float = 0.2  # share of steps without regulariser; the authors' release (AIMET)
    beta_start: float = 20.0  # the authors' release (AIMET)
    beta_end: float = 2.0  # the authors' release (AIMET)
    samples: int = 1024  # Section 5: 1,024 unlabelled images; more than that is not read


class Rounding(NamedTuple):
    """What was decided for one layer."""

    codes: Tensor  # int8, like the weight
    scales: Tensor  # (N, groups)
    h: Tensor  # like the weight, at the last step
    error: float  # mean squared error of f_a on the calibration inputs, of the codes kept
    error_nearest: float  # the same for nearest rounding
    learned: bool  # False where nearest rounding was at least as good and kept


Learned = Mapping[int, Mapping[str, Rounding]]  # bits -> path -> what was decided


def plan(
    model: nn.Module, config: Config, *, data: Data, example: Input, generator: torch.Generator
) -> Plan:
    """Round all convolutions and linear layers of ``model``: a plan of codes.

    Args:
        model: any module; it is left as it is. Its Conv2d, Conv1d and Linear layers are rounded.
        config: bits, granularity, and the optimisation's settings.
        data: unlabelled calibration batches. None: standard normal inputs (random ids for text),
            which is said in the notes and as a warning; results are better with real inputs.
        example: one input, for its shape when there is no data; None to guess it.
        generator: draws the mini-batches. Same state, same codes.

    Raises:
        InputError: bits or group out of range, no layer to round, images of several sizes.
    """
    _check(config)
    found = calibration("adaround", model, data, example, config.samples, generator)
    exact = copy.deepcopy(model).cpu().requires_grad_(False).eval()
    chosen = choose("adaround", exact, found.inputs[0])
    decided = dict(round_layers(exact, chosen.stages, config, found.inputs, generator))
    steps = tuple(
        Codes(path, r.codes, r.scales, config.group, config.bits) for path, r in decided.items()
    )
    return Plan(steps, "adaround", asdict(config), _notes(chosen, decided, found.made_up))


def round_layers(
    exact: nn.Module,
    found: Sequence[Stage],
    config: Config,
    inputs: Sequence[Input],
    generator: torch.Generator,
) -> Iterator[tuple[str, Rounding]]:
    """The algorithm: layer after layer in the order of the forward pass.

    Each layer sees the inputs that the already rounded ones give it, and aims at the outputs of the
    float model ``exact``, which is in evaluation mode and stays as it is.
    """
    so_far = copy.deepcopy(exact)
    for aim in targets(exact, found, inputs, generator):
        result = round_layer(problem_of(so_far, aim, inputs), config, generator)
        new = quantizer.values(result.codes, result.scales, config.group)
        so_far.get_submodule(aim.stage.path).weight = nn.Parameter(new, requires_grad=False)
        yield aim.stage.path, result


def round_layer(problem: Problem, config: Config, generator: torch.Generator) -> Rounding:
    """Fix the scales by the weights' squared error, learn the rounding, and decide."""
    weight = problem.weight
    scales = quantizer.mse_scale(weight, config.bits, config.group, config.per_tensor)
    v = learn(problem, scales, config, generator)
    learned = _decide(weight, scales, v, config)
    nearest = quantizer.nearest(weight, scales, config.bits, config.group)
    error = problem.error(learned, scales, config.group)
    at_nearest = problem.error(nearest, scales, config.group)
    better = error < at_nearest
    codes = learned if better else nearest
    return Rounding(codes, scales, h_of(v), min(error, at_nearest), at_nearest, better)


def learn(problem: Problem, scales: Tensor, config: Config, generator: torch.Generator) -> Tensor:
    """Minimise eq. (25) over V by Adam on mini-batches; returns V, shaped like the weight."""
    weight = problem.weight
    low, high = quantizer.bounds(config.bits)
    step = quantizer.expand(scales, weight, config.group)
    position = quantizer.positions(weight, scales, config.group)
    below = position.floor()
    v = v_of(position - below).requires_grad_()
    optimizer = torch.optim.Adam([v], lr=config.lr)
    count = len(problem.rows)
    for iteration in range(config.iterations):
        drawn = torch.randint(count, (min(count, config.batch),), generator=generator)
        h = h_of(v)
        soft = step * (below + h).clamp(low, high)
        loss = reconstruction(problem.output(soft, problem.rows[drawn]), problem.target[drawn])
        beta = beta_at(iteration, config)
        if beta is not None:
            loss = loss + config.regularization * undecided(h, beta)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return v.detach()


def h_of(v: Tensor) -> Tensor:
    """The rectified sigmoid, eq. (23): 0 is down, 1 is up.

    >>> h_of(torch.tensor([-9.0, 0.0, 9.0]))
    tensor([0.0000, 0.5000, 1.0000])
    """
    return (torch.sigmoid(v) * (ZETA - GAMMA) + GAMMA).clamp(0, 1)


def v_of(fraction: Tensor) -> Tensor:
    """The V at which ``h_of`` is this fraction, so that training starts from the float weight.

    >>> h_of(v_of(torch.tensor([0.25, 0.5])))
    tensor([0.2500, 0.5000])
    """
    return -torch.log((ZETA - GAMMA) / (fraction - GAMMA) - 1)


def undecided(h: Tensor, beta: float) -> Tensor:
    """The regulariser, eq. (24): each h in the middle counts 1, each h at 0 or 1 counts 0.

    >>> undecided(torch.tensor([0.0, 0.5, 1.0]), beta=2.0)
    tensor(1.)
    """
    return (1 - (2 * h - 1).abs().pow(beta)).sum()


def beta_at(iteration: int, config: Config) -> float | None:
    """Beta at a step: none in the warm start, then from start to end along half a cosine.

    >>> [beta_at(t, Config(iterations=10)) for t in (0, 1, 2, 6)]
    [None, None, 20.0, 11.0]
    """
    warm = config.warm_start * config.iterations
    if iteration < warm:
        return None
    done = (iteration - warm) / (config.iterations - warm)
    fall = (config.beta_start - config.beta_end) / 2
    return config.beta_end + fall * (1 + math.cos(math.pi * done))


def reconstruction(output: Tensor, target: Tensor) -> Tensor:
    """Squared error of (R, N), summed over the N channels, mean over the rows."""
    return (output - target).square().sum(1).mean()


def _check(config: Config) -> None:
    quantizer.bounds(config.bits)
    if config.per_tensor and config.group is not None:
        raise InputError(f"adaround: per_tensor=True with group={config.group}; choose one of them")
    if min(config.iterations, config.batch, config.samples) < 1:
        raise InputError("adaround: iterations, batch and samples are 1 or more")
    if not 0 <= config.warm_start < 1:
        raise InputError(f"adaround: warm_start={config.warm_start}; a share from 0 to below 1")


def _decide(weight: Tensor, scales: Tensor, v: Tensor, config: Config) -> Tensor:
    """Codes after the last step: up where h is at least one half."""
    low, high = quantizer.bounds(config.bits)
    below = quantizer.positions(weight, scales, config.group).floor()
    return (below + (v >= 0)).clamp(low, high).to(torch.int8)


def _notes(chosen: Chosen, decided: Mapping[str, Rounding], made_up: bool) -> tuple[str, ...]:
    lines = chosen.left_out | {
        "f_a is the identity, no activation seen directly behind": [
            s.path for s in chosen.stages if not s.following and s.function is None
        ],
        "nearest rounding was at least as good and kept": [
            path for path, rounding in decided.items() if not rounding.learned
        ],
    }
    random = ("calibrated on random inputs, as no data was given",) if made_up else ()
    return random + tuple(f"{what}: {', '.join(paths)}" for what, paths in lines.items() if paths)


def claims(seeds: Sequence[int], quick: bool) -> Iterator[Measurement]:
    """Measure what the record claims: about a minute on two cores when quick, five minutes else.

    A network of 16,600 weights on the digits; 256 unlabelled training images to calibrate on,
    everything reported from the 360 test images. Same scales for every rule.
    """
    images = digits.load()
    steps = Config(iterations=400, lr=0.025) if quick else Config(iterations=2000, lr=0.005)
    with one_thread():
        trained = [rounded.network(images, seed) for seed in seeds]
        learned = [
            _all_bits(net, images, steps, seed) for net, seed in zip(trained, seeds, strict=True)
        ]
        results = [
            *_comparison(trained, learned, images, steps, tuple(seeds)),
            *_decisions(trained, learned, tuple(seeds)),
            rounded.random_first_layer(trained, images, tuple(seeds)),
            rounded.against_enumeration(
                images, lambda toy, g: round_layer(toy, steps, g)[:2], steps.bits, tuple(seeds)
            ),
        ]
    yield from results
    few = Config(group=rounded.GROUP, iterations=2)  # neither size nor speed depends on the steps
    generator = torch.Generator().manual_seed(seeds[0])
    yield from rounded.native(
        "int4", lambda net, x: plan(net, few, data=[x], example=x, generator=generator), seeds[0]
    )


def _all_bits(net: nn.Module, images: digits.Images, steps: Config, seed: int) -> Learned:
    """The roundings of all layers by path, for each number of bits."""
    generator, inputs = torch.Generator().manual_seed(seed), [images.train[:256]]
    found = choose("adaround", net, inputs[0]).stages
    return {
        bits: dict(round_layers(net, found, replace(steps, bits=bits), inputs, generator))
        for bits in BITS
    }


def _comparison(
    trained: Sequence[nn.Module],
    learned: Sequence[Learned],
    images: digits.Images,
    steps: Config,
    seeds: tuple[int, ...],
) -> Iterator[Measurement]:
    runs = []
    for net, found, seed in zip(trained, learned, seeds, strict=True):
        rules = rounded.simple_rules(torch.Generator().manual_seed(seed))
        models: dict[rounded.Key, nn.Module] = {}
        for bits, layers in found.items():
            models |= {(n, bits): rounded.rounded_by(net, r, bits) for n, r in rules.items()}
            codes = [Codes(path, r.codes, r.scales, None, bits) for path, r in layers.items()]
            models["AdaRound", bits] = Plan(tuple(codes)).apply(net)
        runs.append(rounded.judged(net, models, images))
    said = f"{steps.iterations} steps a layer, lr {steps.lr}"
    yield from rounded.comparison(runs, "AdaRound", BITS, seeds, said)


def _decisions(
    trained: Sequence[nn.Module], learned: Sequence[Learned], seeds: tuple[int, ...]
) -> Iterator[Measurement]:
    """How many h are 0 or 1 at the end, and the longest way of a weight on its grid."""
    decided = {bits: [_decided(found[bits]) for found in learned] for bits in BITS}
    each = ", ".join(f"{fmean(decided[bits]):.3f} at {bits} bits" for bits in BITS)
    yield Measurement(
        "binary-h", fmean(decided[4]), pstdev(decided[4]), seeds=seeds,
        note=f"the value is that at 4 bits, as in the paper; {each}",
    )  # fmt: skip
    ways = [
        quantizer.longest_way(net.get_parameter(f"{path}.weight"), r.codes, r.scales, bits)
        for net, found in zip(trained, learned, strict=True)
        for bits, layers in found.items()
        for path, r in layers.items()
    ]
    yield Measurement("one-step", max(ways), seeds=seeds, note="longest of all layers and bits")


def _decided(layers: Mapping[str, Rounding]) -> float:
    h = torch.cat([rounding.h.flatten() for rounding in layers.values()])
    return float(((2 * h - 1).abs() > 0.99).float().mean())
