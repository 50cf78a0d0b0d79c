"""What papers on rounding measure: a small trained network, its outputs and its accuracy after."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import fmean, pstdev
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from octavo.reference_impls import quantizer
from octavo.reference_impls.hooks import Stage, following, stages, watched
from octavo.reference_impls.measurement import Measurement
from octavo.reference_impls.plan import Plan
from octavo.reference_impls.reconstruction import LAYERS, Problem, enumerate_roundings
from octavo.reference_impls.report import Report
from octavo.reference_impls.tasks import digits, nets
from octavo.reference_impls.train import accuracy, classify, fit

Rule = Callable[[Tensor, Tensor, int], Tensor]  # (weight, scales, bits) -> codes
Key = tuple[str, int]  # rule, bits
Table = Mapping[str, Mapping[int, Sequence[float]]]  # rule -> bits -> a value for each seed

PERCEPTRON, GROUP, BATCHES = (1024, 2048, 1024), 128, (1, 16)  # what is timed
WIDTHS, EPOCHS = (16, 16, 32, 32), 10


class Run(NamedTuple):
    """One seed: test accuracy in %, and the error of each layer by path, for rule and bits."""

    accuracy: dict[Key, float]
    error: dict[Key, dict[str, float]]


def network(images: digits.Images, seed: int) -> nn.Module:
    """A convolutional network of 16,600 weights, trained on the digits; frozen, in eval mode."""
    torch.manual_seed(seed)
    net = nets.vgg(1, digits.CLASSES, WIDTHS, size=8)
    generator = torch.Generator().manual_seed(seed)
    fit(net, images.train, images.train_labels, epochs=EPOCHS, generator=generator)
    return net.requires_grad_(False).eval()


def simple_rules(generator: torch.Generator) -> dict[str, Rule]:
    """Nearest, stochastic, floor and ceil, each as a function of weight, scales and bits."""
    return {
        "nearest": quantizer.nearest,
        "stochastic": lambda w, s, b: quantizer.stochastic(w, s, b, generator=generator),
        "floor": quantizer.floor,
        "ceil": quantizer.ceil,
    }


def rounded_by(net: nn.Module, rule: Rule, bits: int, paths: Sequence[str] = ()) -> nn.Module:
    """A copy with the weights rounded by a rule: all layers, or those at ``paths``."""
    result = copy.deepcopy(net)
    for path, layer in result.named_modules():
        if isinstance(layer, LAYERS) and (not paths or path in paths):
            scales = quantizer.mse_scale(layer.weight, bits)
            codes = rule(layer.weight, scales, bits)
            layer.weight.data = quantizer.values(codes, scales)
    return result


def layer_errors(exact: nn.Module, rounded: nn.Module, x: Tensor) -> dict[str, float]:
    """Mean squared difference of each layer's output (after BatchNorm and activation) on ``x``.

    Each network runs as a whole, so the error of a layer holds what came in from those before it.
    """
    found = stages(exact, LAYERS, x)
    ours, theirs = _outputs(rounded, found, x), _outputs(exact, found, x)
    return {path: float((ours[path] - theirs[path]).square().mean()) for path in theirs}


def judged(net: nn.Module, models: Mapping[Key, nn.Module], images: digits.Images) -> Run:
    """Accuracy and layer errors of rounded networks, all on the test images."""
    return Run(
        {k: 100 * accuracy(m, images.test, images.test_labels) for k, m in models.items()},
        {k: layer_errors(net, m, images.test) for k, m in models.items()},
    )


def comparison(
    runs: Sequence[Run], ours: str, bits: Sequence[int], seeds: tuple[int, ...], said: str
) -> Iterator[Measurement]:
    """Measurements error-4bit, accuracy-4bit and so on: one rule of ``runs`` against nearest."""
    names = list(dict.fromkeys(name for name, _ in runs[0].accuracy))
    hits = {n: {b: [r.accuracy[n, b] for r in runs] for b in bits} for n in names}
    errors = {n: {b: [fmean(r.error[n, b].values()) for r in runs] for b in bits} for n in names}
    for b in bits:
        gains = [_gain(run, ours, b) for run in runs]
        yield Measurement(
            f"error-{b}bit", fmean(gains), pstdev(gains), 1.0, "nearest", seeds,
            curves("Error of layer outputs", "mean squared error", errors, "log"),
            f"geometric mean over the layers, all rounded, held-out images; {said}",
        )  # fmt: skip
    for b in bits:
        points = [a - n for a, n in zip(hits[ours][b], hits["nearest"][b], strict=True)]
        each = ", ".join(f"{name} {fmean(hits[name][b]):.1f}" for name in names)
        yield Measurement(
            f"accuracy-{b}bit", fmean(points), pstdev(points), fmean(hits["nearest"][b]),
            "nearest", seeds, curves("Test accuracy", "accuracy, %", hits),
            f"accuracy in %: {each}; {said}",
        )  # fmt: skip


def _gain(run: Run, name: str, bits: int) -> float:
    """Error of nearest over that of another rule, geometric mean of the layers' ratios."""
    ours, theirs = run.error[name, bits], run.error["nearest", bits]
    return math.exp(fmean(math.log(theirs[path] / ours[path]) for path in ours))


def random_first_layer(
    trained: Sequence[nn.Module], images: digits.Images, seeds: tuple[int, ...]
) -> Measurement:
    """Share of 100 stochastic roundings of the first layer with a lower test loss than nearest."""
    shares = []
    for net, seed in zip(trained, seeds, strict=True):
        rules = simple_rules(torch.Generator().manual_seed(seed))

        def loss(rule: Rule, net: nn.Module = net) -> float:
            model = rounded_by(net, rule, 4, ("0",))
            return float(classify(model, images.test, images.test_labels))

        at_nearest = loss(rules["nearest"])
        shares.append(fmean(loss(rules["stochastic"]) < at_nearest for _ in range(100)))
    return Measurement(
        "random-rounding-beats-nearest", fmean(shares), pstdev(shares), None, None, seeds,
        note="100 stochastic roundings a seed of the first convolution (144 weights); test loss",
    )  # fmt: skip


def against_enumeration(
    images: digits.Images,
    solve: Callable[[Problem, torch.Generator], tuple[Tensor, Tensor]],
    bits: int,
    seeds: tuple[int, ...],
) -> Measurement:
    """Loss over that of the best of all roundings: 16 random weights on patches of digits.

    ``solve`` gives codes and scales of a problem.
    """
    patches = nn.functional.unfold(images.train[:256], 4, stride=2)  # (256, 16, 9)
    rows = patches.movedim(1, 2).reshape(-1, 16)  # (2304, 16): neighbours go together
    ratios, at_nearest = [], []
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed)
        weight = torch.randn(1, 16, generator=generator)
        toy = Problem(weight, None, rows.unsqueeze(1), rows @ weight.T, lambda x: x)
        codes, scales = solve(toy, generator)
        nearest = quantizer.nearest(weight, scales, bits)
        best = enumerate_roundings(weight[0], scales[0], rows.T @ rows, bits).loss / len(rows)
        ratios.append(toy.error(codes, scales, None) / best)
        at_nearest.append(toy.error(nearest, scales, None) / best)
    return Measurement(
        "near-optimal-qubo", fmean(ratios), pstdev(ratios), fmean(at_nearest), "nearest", seeds,
        note="16 weights, 65,536 roundings, inputs are patches of digits",
    )  # fmt: skip


def native(
    name: str, make: Callable[[nn.Module, Tensor], Plan], seed: int
) -> Iterator[Measurement]:
    """Measurements <name>-size and <name>-ms of a plan run on its kernels, against the dense net.

    ``make`` rounds a net of large linear layers in groups of ``GROUP``. The milliseconds are those
    of the batch size with which the plan does worst.
    """
    torch.manual_seed(seed)
    net, x = nets.mlp(PERCEPTRON).eval(), torch.randn(max(BATCHES), PERCEPTRON[0])
    codes, reports = make(net, x), []
    for batch in BATCHES:
        report = codes.materialise(net, x[:batch], prefer="native").report
        assert isinstance(report, Report)
        reports.append(report)
    sizes = f"linear layers {PERCEPTRON} with ReLU, groups of {GROUP}"
    before, after = reports[0].bytes_before, reports[0].bytes_after
    yield Measurement(
        f"{name}-size", before / after, None, 1.0, "dense float32", (seed,),
        note=f"{sizes}: {before:,} bytes to {after:,}",
    )  # fmt: skip
    faster = [report.speed_up for report in reports]
    each = ", ".join(f"{f:.2f} at {b}" for f, b in zip(faster, BATCHES, strict=True))
    yield Measurement(
        f"{name}-ms", min(faster), None, 1.0, "dense float32", (seed,),
        note=f"{sizes}; least of the batch sizes: {each}; {reports[0].backend} kernels on "
        f"{reports[0].machine}",
    )  # fmt: skip


def curves(title: str, y_label: str, table: Table, y_scale: str = "linear") -> dict[str, Any]:
    """A series for a plot: a line a rule over bits, mean and deviation over the seeds."""
    lines = [
        {
            "name": name,
            "x": sorted(at),
            "y": [fmean(at[bits]) for bits in sorted(at)],
            "sd": [pstdev(at[bits]) for bits in sorted(at)],
        }
        for name, at in table.items()
    ]
    return {
        "title": title, "x_label": "bits", "y_label": y_label,
        "x_scale": "linear", "y_scale": y_scale, "lines": lines,
    }  # fmt: skip


def _outputs(net: nn.Module, found: Sequence[Stage], x: Tensor) -> dict[str, Tensor]:
    kept: dict[str, Tensor] = {}

    def see(stage: Stage, output: Tensor) -> None:
        kept[stage.path] = following(net, stage)(output.clone())

    watched(net, found, [x], see)
    return kept
