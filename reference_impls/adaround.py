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
    enumerate_roundings,
    problem_of,
    targets,
)
from octavo.reference_impls.report import Report
from octavo.reference_impls.tasks import digits, nets, rounded
from octavo.reference_impls.tasks.pruned import one_thread
from octavo.reference_impls.train import accuracy, classify

ZETA, GAMMA = 1.1, -0.1  # eq. (23)
BITS = (4, 3, 2)
PERCEPTRON, GROUP, BATCHES = (1024, 2048, 1024), 128, (1, 16)  # what is timed


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
        pairs = zip(trained, seeds, strict=True)
        runs = [_run(net, images, steps, seed) for net, seed in pairs]
        results = [
            *_comparison(runs, tuple(seeds), steps),
            _random_first_layer(trained, images, tuple(seeds)),
            _against_enumeration(images, tuple(seeds), steps),
        ]
    yield from results
    yield from _native(seeds[0], quick)


class _Run(NamedTuple):
    """One seed: accuracy in % and error by (rule, bits); undecided h and steps moved by bits."""

    accuracy: dict[tuple[str, int], float]
    error: dict[tuple[str, int], dict[str, float]]
    decided: dict[int, float]
    moved: dict[int, float]


def _run(net: nn.Module, images: digits.Images, steps: Config, seed: int) -> _Run:
    run = _Run({}, {}, {}, {})
    generator = torch.Generator().manual_seed(seed)
    inputs = [images.train[:256]]
    found = choose("adaround", net, inputs[0]).stages
    for bits in BITS:
        results = dict(round_layers(net, found, replace(steps, bits=bits), inputs, generator))
        codes = [Codes(path, r.codes, r.scales, None, bits) for path, r in results.items()]
        models = {"AdaRound": Plan(tuple(codes)).apply(net)}
        for name, rule in rounded.simple_rules(generator).items():
            models[name] = rounded.rounded_by(net, rule, bits)
        for name, model in models.items():
            run.accuracy[name, bits] = 100 * accuracy(model, images.test, images.test_labels)
            run.error[name, bits] = rounded.layer_errors(net, model, images.test)
        h = torch.cat([r.h.flatten() for r in results.values()])
        run.decided[bits] = float(((2 * h - 1).abs() > 0.99).float().mean())
        run.moved[bits] = max(_moved(net.get_submodule(p), r, bits) for p, r in results.items())
    return run


def _moved(layer: nn.Module, result: Rounding, bits: int) -> float:
    """The longest way of a weight inside the clipping range, in steps of its grid."""
    assert isinstance(layer.weight, Tensor)
    low, high = quantizer.bounds(bits)
    position = quantizer.positions(layer.weight, result.scales)
    inside = (position >= low) & (position <= high)
    return float((result.codes - position)[inside].abs().max())


def _comparison(
    runs: Sequence[_Run], seeds: tuple[int, ...], steps: Config
) -> Iterator[Measurement]:
    names = list(dict.fromkeys(name for name, _ in runs[0].accuracy))
    hits = {n: {b: [r.accuracy[n, b] for r in runs] for b in BITS} for n in names}
    errors = {n: {b: [fmean(r.error[n, b].values()) for r in runs] for b in BITS} for n in names}
    said = f"{steps.iterations} steps a layer, lr {steps.lr}"
    for bits in BITS:
        gains = [_gain(run, bits) for run in runs]
        yield Measurement(
            f"error-{bits}bit", fmean(gains), pstdev(gains), 1.0, "nearest", seeds,
            rounded.curves("Error of layer outputs", "mean squared error", errors, "log"),
            f"geometric mean over the five layers, all rounded, held-out images; {said}",
        )  # fmt: skip
    for bits in BITS:
        points = [a - n for a, n in zip(hits["AdaRound"][bits], hits["nearest"][bits], strict=True)]
        each = ", ".join(f"{name} {fmean(hits[name][bits]):.1f}" for name in names)
        yield Measurement(
            f"accuracy-{bits}bit", fmean(points), pstdev(points), fmean(hits["nearest"][bits]),
            "nearest", seeds, rounded.curves("Test accuracy", "accuracy, %", hits),
            f"accuracy in %: {each}; {said}",
        )  # fmt: skip
    decided = {bits: [run.decided[bits] for run in runs] for bits in BITS}
    each = ", ".join(f"{fmean(decided[bits]):.3f} at {bits} bits" for bits in BITS)
    yield Measurement(
        "binary-h", fmean(decided[4]), pstdev(decided[4]), None, None, seeds,
        note=f"at 4 bits, the paper's; {each}; {said}",
    )  # fmt: skip
    moved = max(way for run in runs for way in run.moved.values())
    yield Measurement("one-step", moved, seeds=seeds, note="the longest way of all layers and bits")


def _gain(run: _Run, bits: int) -> float:
    """Nearest over AdaRound, geometric mean of the layers' ratios."""
    ours, theirs = run.error["AdaRound", bits], run.error["nearest", bits]
    return math.exp(fmean(math.log(theirs[path] / ours[path]) for path in ours))


def _random_first_layer(
    trained: Sequence[nn.Module], images: digits.Images, seeds: tuple[int, ...]
) -> Measurement:
    shares = []
    for net, seed in zip(trained, seeds, strict=True):
        rules = rounded.simple_rules(torch.Generator().manual_seed(seed))

        def loss(rule: rounded.Rule, net: nn.Module = net) -> float:
            model = rounded.rounded_by(net, rule, 4, ("0",))
            return float(classify(model, images.test, images.test_labels))

        at_nearest = loss(rules["nearest"])
        shares.append(fmean(loss(rules["stochastic"]) < at_nearest for _ in range(100)))
    return Measurement(
        "random-rounding-beats-nearest", fmean(shares), pstdev(shares), None, None, seeds,
        note="100 stochastic roundings a seed of the first convolution (144 weights); test loss",
    )  # fmt: skip


def _against_enumeration(
    images: digits.Images, seeds: tuple[int, ...], steps: Config
) -> Measurement:
    """One output of 16 weights on 4 x 4 patches of digits, 4 bits: neighbours go together."""
    patches = nn.functional.unfold(images.train[:256], 4, stride=2)  # (256, 16, 9)
    rows = patches.movedim(1, 2).reshape(-1, 16)  # (2304, 16)
    ratios, at_nearest = [], []
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed)
        weight = torch.randn(1, 16, generator=generator)
        toy = Problem(weight, None, rows.unsqueeze(1), rows @ weight.T, lambda x: x)
        result = round_layer(toy, steps, generator)
        best = enumerate_roundings(weight[0], result.scales[0], rows.T @ rows, steps.bits).loss
        ratios.append(result.error * len(rows) / best)
        at_nearest.append(result.error_nearest * len(rows) / best)
    return Measurement(
        "near-optimal-qubo", fmean(ratios), pstdev(ratios), fmean(at_nearest), "nearest", seeds,
        note="16 weights, 65,536 roundings, inputs are patches of digits",
    )  # fmt: skip


def _native(seed: int, quick: bool) -> Iterator[Measurement]:
    """Size and milliseconds of linear layers; neither depends on how long the rounding learned."""
    torch.manual_seed(seed)
    net, inner = nets.mlp(PERCEPTRON).eval(), Config(group=GROUP, iterations=2 if quick else 20)
    x = torch.randn(max(BATCHES), PERCEPTRON[0])
    codes = plan(net, inner, data=[x], example=x, generator=torch.Generator().manual_seed(seed))
    reports = [_report(codes, net, x[:batch]) for batch in BATCHES]
    before, after = reports[0].bytes_before, reports[0].bytes_after
    sizes = f"linear layers {PERCEPTRON} with ReLU, groups of {GROUP}"
    yield Measurement(
        "int4-size", before / after, None, 1.0, "dense float32", (seed,),
        note=f"{sizes}: {before:,} bytes to {after:,}",
    )  # fmt: skip
    faster = [report.speed_up for report in reports]
    each = ", ".join(f"{f:.2f} at {b}" for f, b in zip(faster, BATCHES, strict=True))
    yield Measurement(
        "int4-ms", min(faster), None, 1.0, "dense float32", (seed,),
        note=f"{sizes}; least of the batch sizes: {each}; {reports[0].backend} kernels on "
        f"{reports[0].machine}",
    )  # fmt: skip


def _report(codes: Plan, net: nn.Module, x: Tensor) -> Report:
    report = codes.materialise(net, x, prefer="native").report
    assert isinstance(report, Report)
    return report
