"""Pruning neural networks without any data by iteratively conserving synaptic flow.

Paper: synflow (Tanaka, Kunin, Yamins, Ganguli, NeurIPS 2020, arXiv:2006.05467)

Make every weight positive, send ones through the network, and ask of each weight how much of what
comes out went through it. The more weights a layer has, the less flows through each of them: at
every unit as much goes out as came in, so all layers carry the same total, and a thin layer's
weights score high. Prune a little, score again, a hundred times: no layer is ever emptied while
another has weights to spare, and no data is needed.

| paper        | code         | meaning                                                          |
| ------------ | ------------ | ---------------------------------------------------------------- |
| theta        | weights      | the weights of all convolutions and linear layers                |
| R_SF         | the flow     | 1^T (prod_l abs(theta_l)) 1: the sum of the outputs              |
| S(theta)     | scores       | dR/dtheta * theta, never negative                                |
| rho          | 1 / density  | compression; density is the share of weights kept                |
| n            | iterations   | prunings in a row; step k keeps density^(k/n)                    |

    S(theta) = dR_SF / dtheta * theta             synaptic saliency of R_SF, section 4
    sum of S into a unit = sum of S out of it     theorem 1
    sum of S over a layer = R_SF                  theorem 2

By hand: two inputs, two hidden units, one output, all ones in. Hidden unit 1 gets 3 + 1 = 4 and
passes it on times 1; hidden unit 2 gets 2 and passes it on times 5. R_SF = 4 + 10 = 14, in both
layers, and 4 goes in and out of unit 1, 10 in and out of unit 2. Signs do not matter.

>>> net = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
>>> _ = net[0].weight.data.copy_(torch.tensor([[3.0, -1.0], [0.0, 2.0]]))
>>> _ = net[2].weight.data.copy_(torch.tensor([[1.0, -5.0]]))
>>> for path, s in scores(net, torch.zeros(1, 2)).items():
...     print(path, s.tolist())
0 [[3.0, 1.0], [0.0, 10.0]]
2 [[4.0, 10.0]]

Half of the six weights in one step: the path through unit 2 (10 and 10), and the 4 behind unit 1.

>>> kept = plan(net, Config(density=0.5, iterations=1), example=torch.zeros(1, 2))
>>> [step.keep.int().tolist() for step in kept.steps]
[[[0, 0], [0, 1]], [[1, 1]]]

Theorem 2 is about chains. A thin branch beside a wide one (the 1 x 1 shortcut of a residual block)
carries little of the flow and may be pruned away whole; the plan's notes name it.

Differs: biases and the shifts of norms take no part in the flow (R_SF has none; the released code
  adds their absolute values, which keep flow alive behind a layer that is already empty).
Differs: a trained batch norm is its positive factor only; its running mean is not subtracted.
Differs: layer, group and RMS norms, softmax and saturating activations are taken as fixed positive
  factors or as the identity, and embeddings give ones (see `flow`): the paper has no transformer,
  and a norm of the constant that ones give has no gradient at all.
Differs: where two results are multiplied (attention, gates) each gets half of the flow: counted
  in full, every block would send more flow into the layers before it than comes out of it.
Differs: of equal scores the earlier weight stays, so that the number kept is exact.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, pstdev
from typing import Any

import torch
from torch import Tensor, nn

from octavo.errors import InputError
from octavo.reference_impls import saliency
from octavo.reference_impls.flow import Flow, floats, ones
from octavo.reference_impls.inputs import Input, call, example_for
from octavo.reference_impls.measurement import Measurement
from octavo.reference_impls.plan import Mask, Plan
from octavo.reference_impls.saliency import left_dense, prunable, tied
from octavo.reference_impls.selection import exponential, global_top, keep_count
from octavo.reference_impls.tasks import digits, nets, pruned


@dataclass(frozen=True)
class Config:
    """What SynFlow lets the reader choose."""

    density: float = 0.1  # share of the weights kept; the paper sweeps 1 to 10^-5 and beyond
    iterations: int = 100  # section 6: n = 100


def plan(
    model: nn.Module,
    config: Config = Config(),
    *,
    data: Any = None,
    example: Input = None,
    generator: torch.Generator | None = None,
) -> Plan:
    """Decide which weights stay: algorithm 1 of the paper.

    Args:
        model: any module with Conv or Linear layers; it is left as it was.
        config: density and number of iterations.
        data: not needed.
        example: an input of the right shape; its values do not matter, and a small image costs
            less: every iteration is a forward and a backward pass in float64. Guessed if None.
        generator: not needed, nothing is random.

    Returns:
        A Plan with a Mask for every Conv and Linear weight. Notes name what is left dense.

    Raises:
        InputError: a bad density, a layer that cannot be scored (by path), or scores that overflow.
    """
    if config.iterations < 1:
        raise InputError(f"iterations={config.iterations}; at least 1, the paper takes 100")
    network = Network(model, example_for(model) if example is None else example)
    total = sum(k.numel() for k in network.keep.values())
    for k in range(1, config.iterations + 1):
        count = keep_count(exponential(config.density, k, config.iterations), total)
        network.prune(global_top(network.scores(), count, network.keep))
    return Plan(_masks(model, network), "synflow", asdict(config), _notes(model, network))


def scores(model: nn.Module, example: Input) -> dict[str, Tensor]:
    """The synaptic flow through every prunable weight, float64, by module path."""
    return Network(model, example).scores()


class Network:
    """A copy of a model with absolute float64 weights, thinned step by step; ones go in.

    keep: by path, which weights are still there. dense: layers the forward pass never reaches.
    """

    def __init__(self, model: nn.Module, example: Input) -> None:
        self._twin = copy.deepcopy(model).double().eval()
        for tensor in (*self._twin.parameters(), *self._twin.buffers()):
            if tensor.is_floating_point():
                tensor.data.abs_()
        self._ones = ones(example)
        self._weights = prunable(self._twin)
        self._whole = {path: w.detach().clone() for path, w in self._weights.items()}
        for parameter in self._twin.parameters():
            parameter.requires_grad_(False)
        for weight in self._weights.values():
            weight.requires_grad_(True)
        self.dense = tuple(path for path, g in self._gradients().items() if g is None)
        for path in self.dense:
            del self._weights[path], self._whole[path]
        self.keep = {p: torch.ones(w.shape, dtype=torch.bool) for p, w in self._whole.items()}

    def scores(self) -> dict[str, Tensor]:
        """dR/dtheta * theta for every weight."""
        gradients = self._gradients()
        return {
            path: torch.zeros_like(w) if (g := gradients[path]) is None else g * w.detach()
            for path, w in self._weights.items()
        }

    def prune(self, keep: Mapping[str, Tensor]) -> None:
        """Take out the weights that are not kept."""
        for path, weight in self._weights.items():
            weight.data.mul_(keep[path].to(weight.device))
        self.keep = dict(keep)

    def _gradients(self) -> dict[str, Tensor | None]:
        with torch.enable_grad(), Flow():
            outputs = list(floats(call(self._twin, self._ones)))
        flow = sum((out.double().sum() for out in outputs), torch.zeros((), dtype=torch.float64))
        if not flow.requires_grad:
            raise InputError("synflow: no output of the model depends on a Conv or Linear weight")
        gradients = torch.autograd.grad(flow, list(self._weights.values()), allow_unused=True)
        return dict(zip(self._weights, gradients, strict=True))


def _masks(model: nn.Module, network: Network) -> tuple[Mask, ...]:
    """A mask for every layer; layers that share a weight share their mask."""
    paths = tied(model)
    return tuple(Mask(p, keep) for path, keep in network.keep.items() for p in paths[path])


def _notes(model: nn.Module, network: Network) -> tuple[str, ...]:
    """What a reader must know of the masks: layers left alone, layers without any weight."""
    empty = [path for path, keep in network.keep.items() if not keep.any()]
    said = {
        "left dense, never reached from the input": network.dense,
        "left dense, not a Conv or Linear weight": left_dense(model),
        "no weight left, the flow takes another branch": empty,
    }
    return tuple(f"{what}: {', '.join(paths)}" for what, paths in said.items() if paths)


VGG16 = (16, 16, 32, 32, 64, 64, 64, *6 * (128,))  # the paper's VGG-16, a quarter as wide
VGG9 = (16, 16, 32, 32, 64, 64, 64, 64)  # for the claims that train
PERCEPTRON = (1024, 2048, 1024)  # that sparse-95 times
BATCHES = (1, 16, 64)
ONE_SHOT = ("magnitude", "SNIP", "GraSP")


def claims(seeds: Sequence[int], quick: bool) -> Iterator[Measurement]:
    """Measure what the record claims: some ten minutes on two cores, about two when quick."""
    with pruned.one_thread():
        results = [*_conservation(seeds), *_collapse(seeds, quick), _accuracy(seeds, quick)]
        results += _sparse(seeds[0], quick)
    yield from results


def _conservation(seeds: Sequence[int]) -> Iterator[Measurement]:
    gaps: dict[str, list[float]] = {}
    for seed in seeds:
        for net in (_vgg(seed, VGG9), _vgg(seed, VGG16)):
            flow, plain = scores(net, torch.ones(1, 1, 8, 8)), saliency.magnitude(net)
            for name, gap in (("units", pruned.unit_gap), ("layers", pruned.layer_gap)):
                gaps.setdefault(name, []).append(gap(flow))
                gaps.setdefault(f"{name} of magnitude", []).append(gap(plain))
    for name in ("units", "layers"):
        yield Measurement(
            f"conservation-{name}", max(gaps[name]), None, max(gaps[f"{name} of magnitude"]),
            "magnitude", tuple(seeds), note=f"largest of VGG {VGG9} and VGG {VGG16} over the seeds",
        )  # fmt: skip


def _collapse(seeds: Sequence[int], quick: bool) -> Iterator[Measurement]:
    images, networks = digits.load(), [_vgg(seed, VGG16) for seed in seeds]
    ways = [_ways(net, images, seed) for net, seed in zip(networks, seeds, strict=True)]
    left = [{name: way[name](1000) for name in ("SynFlow", *ONE_SHOT)} for way in ways]
    compressions = pruned.grid(networks[0], 0.05)
    thin = [_thinning(way, compressions, quick) for way in ways]
    note = f"VGG {VGG16}, 3 x 3 convolutions and a linear layer; the worst of the seeds"
    yield Measurement(
        "no-collapse-1000", min(pruned.thinnest(at["SynFlow"]) for at in left), None,
        max(pruned.thinnest(at[name]) for at in left for name in ONE_SHOT),
        "best of magnitude, SNIP, GraSP", tuple(seeds), _thinning_series(thin[0]), note,
    )  # fmt: skip
    running = [
        pruned.baselines(net, images, seed, training=False)
        for net, seed in zip(networks, seeds, strict=True)
    ]
    first = [pruned.baselines(_vgg(seed, VGG9), images, seed) for seed in seeds]
    for name in ONE_SHOT:
        other = min(pruned.emptied(way[name](1000)) for way in running)
        also = sum(pruned.emptied(way[name](1000)) > 0 for way in first)
        yield Measurement(
            f"collapse-{name.lower()}", min(pruned.emptied(at[name]) for at in left), None,
            max(pruned.emptied(at["SynFlow"]) for at in left), "SynFlow", tuple(seeds),
            note=f"{note}; scored in training mode, in evaluation mode it would be {other}; "
            f"VGG {VGG9}, the network tried first, loses a layer for {also} of {len(seeds)} seeds",
        )  # fmt: skip
    yield from _critical(seeds, thin, compressions[-1])


def _critical(
    seeds: Sequence[int], thin: Sequence[Mapping[str, Mapping[float, int]]], most: float
) -> Iterator[Measurement]:
    """How far below the maximal compression the first layer is empty, in decades."""
    below = {n: [math.log10(pruned.critical(t[n]) / most) for t in thin] for n in thin[0]}
    many, one = below["SynFlow"], below["SynFlow, one step"]
    tried = len(thin[0]["SynFlow"])
    yield Measurement(
        "critical-compression", fmean(many), pstdev(many), max(fmean(below[n]) for n in ONE_SHOT),
        "best of magnitude, SNIP, GraSP", tuple(seeds),
        note=f"VGG {VGG16}; one weight a layer is compression {most:,.0f}; {tried} tried up to it",
    )  # fmt: skip
    gains = [10 ** (a - b) for a, b in zip(many, one, strict=True)]
    yield Measurement(
        "iterations-matter", fmean(gains), pstdev(gains), 1.0, "one step", tuple(seeds),
        note=f"every layer alive up to compression {most * 10 ** fmean(one):,.0f} in one step, "
        f"{most * 10 ** fmean(many):,.0f} in 100",
    )  # fmt: skip


def _ways(net: nn.Module, images: digits.Images, seed: int) -> dict[str, pruned.Prune]:
    """Every way of pruning, as a function from a compression to what stays."""
    x = images.train[:1]
    return {
        "SynFlow": lambda compression: _kept(plan(net, Config(1 / compression), example=x)),
        "SynFlow, one step": pruned.once(scores(net, x)),
        **pruned.baselines(net, images, seed),
    }


def _thinning(
    ways: Mapping[str, pruned.Prune], compressions: Sequence[float], quick: bool
) -> dict[str, dict[float, int]]:
    """The thinnest layer against compression, tried finely from 1000 on; coarsely when quick."""
    last = len(compressions) - 1
    fine = [i for i, c in enumerate(compressions) if i % 10 == 0 or c >= 1000]
    ours, theirs = (range(40, last, 40), range(0, last, 8)) if quick else (fine, range(last))
    return {
        name: pruned.thinning(prune, compressions, [*(ours if name == "SynFlow" else theirs), last])
        for name, prune in ways.items()
    }


def _thinning_series(thin: Mapping[str, Mapping[float, int]]) -> dict[str, Any]:
    return pruned.curves("Weights left in the thinnest layer", "weights", pruned.gathered([thin]))


def _accuracy(seeds: Sequence[int], quick: bool) -> Measurement:
    images, epochs = digits.load(), 10 if quick else 20
    sweep = (100.0,) if quick else (10.0, 100.0, 1000.0)
    runs = []
    for seed in seeds:
        net = _vgg(seed, VGG9)
        ways = _ways(net, images, seed)
        del ways["SynFlow, one step"]
        runs.append(pruned.accuracies(net, ways, sweep, images, epochs, seed))
    found = pruned.gathered(runs)
    at_100 = {name: values[100.0] for name, values in found.items()}
    ours = at_100.pop("SynFlow")
    best = max(at_100, key=lambda name: fmean(at_100[name]))
    gains = [a - b for a, b in zip(ours, at_100[best], strict=True)]
    every = ", ".join(f"{name} {fmean(values):.1f}" for name, values in at_100.items())
    return Measurement(
        "accuracy-high-compression", fmean(gains), pstdev(gains), fmean(at_100[best]), best,
        tuple(seeds), pruned.curves("Test accuracy after training", "accuracy, %", found),
        f"accuracy in %: SynFlow {fmean(ours):.1f}, {every}; VGG {VGG9}, {epochs} epochs",
    )  # fmt: skip


def _sparse(seed: int, quick: bool) -> Iterator[Measurement]:
    torch.manual_seed(seed)
    net, steps = nets.mlp(PERCEPTRON).eval(), 10 if quick else 100
    thin = plan(net, Config(0.05, steps), example=torch.ones(1, PERCEPTRON[0]))
    reports = [pruned.native(thin, net, torch.randn(b, PERCEPTRON[0])) for b in BATCHES]
    before, after = reports[0].bytes_before, reports[0].bytes_after
    sizes = f"linear layers {PERCEPTRON} with ReLU, 5 % kept in {steps} steps"
    yield Measurement(
        "sparse-95-size", before / after, None, 1.0, "dense", (seed,),
        note=f"{sizes}: {before:,} bytes to {after:,}",
    )  # fmt: skip
    faster = [report.speed_up for report in reports]
    each = ", ".join(f"{f:.2f} at {b}" for f, b in zip(faster, BATCHES, strict=True))
    yield Measurement(
        "sparse-95-ms", min(faster), None, 1.0, "dense", (seed,),
        note=f"{sizes}; least of the batch sizes: {each}; {reports[0].backend} kernels on "
        f"{reports[0].machine}",
    )  # fmt: skip


def _kept(thin: Plan) -> dict[str, Tensor]:
    return {step.path: step.keep for step in thin.steps if isinstance(step, Mask)}


def _vgg(seed: int, widths: Sequence[int]) -> nn.Module:
    torch.manual_seed(seed)
    return nets.vgg(1, digits.CLASSES, widths, size=8)
