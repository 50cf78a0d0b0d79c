"""Pruning filter in filter.

Paper: stripe-pruning (Meng, Cheng, Li, Luo, Guo, Lu, Sun, NeurIPS 2020, arXiv:2009.14410)

Between single weights (too fine to run fast) and whole filters (too coarse to cut much) lies the
stripe: all input channels of a filter at one position of its kernel. A skeleton of one factor a
stripe multiplies the filters while the network trains, an L1 penalty pulls the factors down, and a
stripe whose factor falls under a threshold is gone for good. What is left is multiplied into the
weights and runs as dense arithmetic: a 1 x 1 convolution for all stripes, a shift, an addition.

| paper | code     | meaning                                                    |
| ----- | -------- | ---------------------------------------------------------- |
| W     | weight   | filters, (N, C, K, K)                                      |
| I     | factors  | the filter skeleton, (N, 1, K, K), starts at one           |
| alpha | alpha    | strength of the L1 penalty on I                            |
| delta | delta    | a stripe with abs(I) at most delta is cut                  |

    L = sum of loss(f(x, W * I), y) + alpha * sum of abs(I)          the training loss
    abs(I[n, i, j]) <= delta  =>  stripe (n, i, j) is cut            the threshold

By hand: one filter of 1 x 2 over one channel, two stripes, weights 3 and 5. With the left stripe
cut, what is left sees the input one step to the right, and both ways of running it agree.

>>> x = torch.tensor([[[[1.0, 2.0, 4.0]]]])  # (B, C, H, W)
>>> weight, keep = torch.tensor([[[[3.0, 5.0]]]]), torch.tensor([[[False, True]]])
>>> F.conv2d(x, weight * keep.unsqueeze(1)).tolist()
[[[[10.0, 20.0]]]]
>>> broken(x, weight, keep).tolist()
[[[[10.0, 20.0]]]]

Differs: a cut stripe stays at zero whatever momentum is left on its factor; in the released code
  momentum may carry it over the threshold again.
Differs: the strongest stripe of a layer is never cut, so a large alpha cannot empty a layer.
Differs: with `density` the weakest factors of all layers together are cut after each epoch of the
  first half of training, down to that share of the weights; the paper has alpha alone.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from statistics import fmean, pstdev
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from octavo.errors import InputError
from octavo.kernels import backend
from octavo.kernels.modules import StripeConv2d
from octavo.kernels.timing import ratio
from octavo.reference_impls import machine
from octavo.reference_impls.inputs import Data, Input, batches, call, output_of
from octavo.reference_impls.measurement import Measurement
from octavo.reference_impls.plan import Plan, Stripes, Weights
from octavo.reference_impls.selection import exponential, global_top, keep_count
from octavo.reference_impls.skeleton import (
    Attach,
    Cost,
    Keeps,
    Skeleton,
    attached,
    chain_cost,
    cut_to,
    direct_cost,
    set_scales,
)  # fmt: skip
from octavo.reference_impls.tasks import digits, nets, pruned
from octavo.reference_impls.train import accuracy


@dataclass(frozen=True)
class Config:
    """What stripe pruning lets the reader choose. Sources: section 4, released CIFAR-10 command."""

    density: float | None = None  # share of convolution weights kept; None: what alpha leaves
    alpha: float = 1e-5  # CIFAR-10; short training needs more, its pull is lr * steps * alpha
    delta: float = 0.01  # released command
    epochs: int = 160  # section 4
    lr: float = 0.1  # section 4; times 0.1 after half and after three quarters of the epochs
    momentum: float = 0.9  # section 4
    weight_decay: float = 1e-4  # section 4
    bn_scale: float | None = None  # 0.5 in the paper, to start from scratch; None: as it is


def plan(
    model: nn.Module,
    config: Config = Config(),
    *,
    data: Data = None,
    example: Input = None,
    generator: torch.Generator | None = None,
) -> Plan:
    """Train a copy of the model with a skeleton and decide which stripes stay.

    Args:
        model: any module with Conv2d layers that gives logits; it is left as it was.
        config: penalty, threshold, budget and training.
        data: batches (input, class numbers), walked over once an epoch.
        example: not needed.
        generator: not needed; the order of the data is the loader's.

    Returns:
        A Plan: the trained values with the skeleton multiplied in, and Stripes for every Conv2d.

    Raises:
        InputError: no data or no targets, no Conv2d, or a convolution (by path) without a weight
            of its own.
    """
    if data is None:
        raise InputError(
            "stripe-pruning learns its skeleton: pass data=… of (input, class) batches"
        )
    net = copy.deepcopy(model)
    keeps = learn(net, data, config)
    trained = {name: t.detach().cpu().clone() for name, t in net.state_dict().items()}
    stripes = tuple(Stripes(path, keep) for path, keep in keeps.items())
    return Plan((Weights("", trained), *stripes), "stripe-pruning", asdict(config))


def learn(
    net: nn.Module, data: Data, config: Config, attach: Attach = Skeleton,
    cost: Cost | None = None,
) -> dict[str, Tensor]:  # fmt: skip
    """Train `net` in place with a skeleton, fold it in, and return what is kept by path.

    `attach` gives the skeleton of a weight and `cost` counts the weights left: with others than
    the default the same training prunes whole filters (the baseline of `claims`).
    """
    skeletons = attached(net, attach)
    count = cost or direct_cost(net)
    whole = count({path: s.alive for path, s in skeletons.items()})
    if config.bn_scale is not None:
        set_scales(net, config.bn_scale)
    half = max(1, config.epochs // 2)
    for epoch, _ in enumerate(epochs(net, data, config, list(skeletons.values())), 1):
        if config.density is not None:
            share = exponential(config.density, min(epoch, half), half)
            cut_to(skeletons, share * whole, count)
    for path in skeletons:
        parametrize.remove_parametrizations(net.get_submodule(path), "weight")  # W * I stays
    return {path: s.kept(net.get_parameter(f"{path}.weight")) for path, s in skeletons.items()}


def epochs(
    net: nn.Module, data: Data, config: Config, skeletons: Sequence[Skeleton]
) -> Iterator[float]:
    """Train epoch by epoch as the paper does; yields the mean loss of each."""
    optimizer = torch.optim.SGD(
        [p for p in net.parameters() if p.requires_grad],
        lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay,
    )  # fmt: skip
    drops = [config.epochs // 2, config.epochs * 3 // 4]
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, drops, 0.1)
    for _ in range(config.epochs):
        net.train()
        losses = []
        for inputs, labels in batches(data):
            optimizer.zero_grad()
            loss = _loss(net, inputs, labels)
            penalty = sum((s.factors.abs().sum() for s in skeletons), loss.new_zeros(()))
            (loss + config.alpha * penalty).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            for skeleton in skeletons:
                skeleton.cut(config.delta)
            losses.append(loss.item())
        if not losses:
            raise InputError("the data gave no batch; pass a loader or a list, not a used iterator")
        schedule.step()
        net.eval()
        yield sum(losses) / len(losses)


def _loss(net: nn.Module, inputs: Input, labels: Any) -> Tensor:
    if labels is None:
        raise InputError("stripe-pruning trains: the data needs targets, (input, class) batches")
    return F.cross_entropy(output_of(call(net, inputs)), labels)


Pair = tuple[int, int]


def broken(
    x: Tensor, weight: Tensor, keep: Tensor, bias: Tensor | None = None, *,
    stride: Pair = (1, 1), padding: Pair = (0, 0), dilation: Pair = (1, 1), groups: int = 1,
) -> Tensor:  # fmt: skip
    """Run a convolution by its stripes: one 1 x 1 convolution, shift, add (section 3).

    x is (B, C, H, W), weight (N, C / groups, Kh, Kw), keep bool (N, Kh, Kw). What is not kept
    is never read.

    Returns:
        (B, N, Ho, Wo), what conv2d gives for the weight with zeros in the cut stripes.
    """
    if groups > 1:
        shift = weight.new_zeros(len(weight)) if bias is None else bias
        chunks = (t.chunk(groups) for t in (weight, keep, shift))
        parts = zip(x.chunk(groups, 1), *chunks, strict=True)
        each = [broken(*p, stride=stride, padding=padding, dilation=dilation) for p in parts]
        return torch.cat(each, 1)
    at, rows, columns = keep.permute(1, 2, 0), *keep.shape[1:]
    stripes = weight.permute(2, 3, 0, 1)[at]  # (stripes, C), ordered by kernel position
    x = F.pad(x, (padding[1], padding[1], padding[0], padding[0]))
    products = torch.einsum("sc,bchw->bshw", stripes, x)  # the 1 x 1 convolution
    high, wide = (
        (side - step * (kernel - 1) - 1) // hop + 1
        for side, step, kernel, hop in zip(
            x.shape[2:], dilation, (rows, columns), stride, strict=True
        )
    )
    out = x.new_zeros(len(x), len(weight), high, wide)
    first = 0
    for i in range(rows):
        for j in range(columns):
            filters = at[i, j].nonzero()[:, 0]
            part = products[:, first : first + len(filters), i * dilation[0] :, j * dilation[1] :]
            out.index_add_(1, filters, part[:, :, :: stride[0], :: stride[1]][:, :, :high, :wide])
            first += len(filters)
    return out if bias is None else out + bias.view(1, -1, 1, 1)


WIDTHS = (16, 16, 32, 32, 64, 64)  # of the VGG for 8 x 8 digits
PENALTY = 0.01  # strong enough that its pull exceeds 1 in a short training: 10 * lr * steps * alpha
LAYERS = ((64, 32), (128, 16), (256, 8))  # channels in and out, side of the image
SHARE = 0.25  # of the stripes, in the layers that are timed


def claims(seeds: Sequence[int], quick: bool) -> Iterator[Measurement]:
    """Measure what the record claims: some ten minutes on two cores, about one when quick."""
    task = Task(digits.load(), 10 if quick else 60, tuple(seeds))
    with pruned.one_thread():
        trained = [_granularity(task, quick), _skeleton_only(task), _sparsifies(task)]
    yield _equality(seeds)
    yield from trained
    with pruned.one_thread():
        times = _milliseconds(seeds[0])
    yield times


@dataclass(frozen=True)
class Task:
    """What is trained on, for how long, and the seeds of weights and order of the data."""

    images: digits.Images
    epochs: int
    seeds: tuple[int, ...]

    def learn(
        self, net: nn.Module, seed: int, attach: Attach = Skeleton, cost: Cost | None = None,
        **config: float,
    ) -> tuple[float, Keeps]:  # fmt: skip
        """Train with a skeleton; the test accuracy and what is kept."""
        data = pruned.Shuffled(self.images, 64, torch.Generator().manual_seed(seed))
        settings = Config(epochs=self.epochs, bn_scale=0.5, **config)
        keeps = learn(net, data, settings, attach, cost)
        return accuracy(net, self.images.test, self.images.test_labels), keeps


def _vgg(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nets.vgg(1, digits.CLASSES, WIDTHS, size=8)


def _equality(seeds: Sequence[int]) -> Measurement:
    """Broken filters, in torch and on the kernel, against the convolution with zeros."""
    gaps = []
    for seed, kernel, step, edge in product(seeds, (1, 3, 5), (1, 2), (0, 1, 2)):
        torch.manual_seed(seed)
        conv = nn.Conv2d(32, 32, kernel, step, edge)
        keep, x = torch.rand(32, kernel, kernel) < 0.5, torch.randn(2, 32, 14, 14)
        masked = F.conv2d(x, conv.weight * keep.unsqueeze(1), conv.bias, step, edge)
        pairs = {"stride": (step, step), "padding": (edge, edge)}
        ran = broken(x, conv.weight, keep, conv.bias, **pairs)  # type: ignore[arg-type]
        for output in (ran, StripeConv2d.from_dense(conv, keep)(x)):
            gaps.append(float((output - masked).detach().abs().max()))
    return Measurement(
        "broken-equals-masked", max(gaps), seeds=tuple(seeds),
        note=f"{len(gaps) // 2} layers of 32 filters, kernels 1, 3, 5, strides 1, 2, paddings "
        f"0, 1, 2, half of the stripes; torch and the {backend()} kernel, outputs of order one",
    )  # fmt: skip


def _granularity(task: Task, quick: bool) -> Measurement:
    """Stripes against whole filters: the same training, the same weights left."""
    runs, sizes = [], []
    sweep = (0.1,) if quick else (0.3, 0.1, 0.05, 0.02)
    for seed in task.seeds:
        run: dict[str, dict[float, float]] = {"stripes": {}, "filters": {}}
        for density, (name, whole) in product(sweep, (("stripes", False), ("filters", True))):
            net, attach = _vgg(seed), partial(Skeleton, whole=whole)
            score, keeps = task.learn(net, seed, attach, cost := chain_cost(net), density=density)
            run[name][1 / density] = 100 * score
            if density == 0.1:
                sizes.append(f"{name} {cost(keeps):,}")
        runs.append(run)
    found = pruned.gathered(runs)
    ours, theirs = found["stripes"][10], found["filters"][10]
    gains = [a - b for a, b in zip(ours, theirs, strict=True)]
    return Measurement(
        "better-than-filter", fmean(gains), pstdev(gains), fmean(theirs), "filters", task.seeds,
        pruned.curves("Test accuracy by what is cut", "accuracy, %", found),
        f"accuracy in %: stripes {fmean(ours):.1f}, filters {fmean(theirs):.1f}; at most a tenth "
        f"of the weights left, inputs of cut filters not counted ({', '.join(sizes)}); "
        f"VGG {WIDTHS}, alpha {Config.alpha}, {task.epochs} epochs, the same training for both",
    )  # fmt: skip


def _skeleton_only(task: Task) -> Measurement:
    frozen = [(_vgg(seed).requires_grad_(False), seed) for seed in task.seeds]
    scores, chance = [task.learn(*f, alpha=0.0)[0] for f in frozen], 1 / digits.CLASSES
    return Measurement(
        "skeleton-only", fmean(scores) - chance, pstdev(scores), 0.0, "chance", task.seeds,
        note=f"accuracy {100 * fmean(scores):.1f} %; VGG {WIDTHS}, all else frozen "
        f"at random, {task.epochs} epochs",
    )  # fmt: skip


def _sparsifies(task: Task) -> Measurement:
    shares: dict[float, list[float]] = {}
    for seed, alpha in product(task.seeds, (PENALTY, 0.0)):
        keeps = task.learn(_vgg(seed), seed, alpha=alpha)[1].values()
        cut = 1 - sum(int(k.sum()) for k in keeps) / sum(k.numel() for k in keeps)
        shares.setdefault(alpha, []).append(cut)
    gains = [a - b for a, b in zip(shares[PENALTY], shares[0.0], strict=True)]
    return Measurement(
        "l1-sparsifies", fmean(gains), pstdev(gains), fmean(shares[0.0]), "no penalty", task.seeds,
        note=f"VGG {WIDTHS}, alpha {PENALTY} and 0, delta {Config.delta}, {task.epochs} epochs",
    )  # fmt: skip


def _milliseconds(seed: int) -> Measurement:
    lines, at, shares = [], {}, (1.0, 0.5, SHARE, 0.1)
    for channels, side in LAYERS:
        generator = torch.Generator().manual_seed(seed)
        conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False).requires_grad_(False)
        x = torch.randn(1, channels, side, side, generator=generator)
        order = {"0": torch.rand(channels, 3, 3, generator=generator)}
        keeps = [global_top(order, keep_count(share, channels * 9))["0"] for share in shares]
        cut = [StripeConv2d.from_dense(conv, keep) for keep in keeps]
        faster = [ratio(partial(stripes, x), partial(conv, x), rounds=31).ratio for stripes in cut]
        name = f"{channels} filters, {side} x {side}"
        lines.append({"name": name, "x": list(shares), "y": faster})
        at[name] = faster[shares.index(SHARE)]
    each = ", ".join(f"{times:.2f} for {name}" for name, times in at.items())
    axes = {"x_label": "share of stripes", "y_label": "dense over stripes", "x_scale": "linear"}
    return Measurement(
        "stripes-ms", min(at.values()), None, 1.0, "dense", (seed,),
        {"title": "Times faster than the dense convolution", **axes, "lines": lines},
        f"least of the layers, 3 x 3, batch 1, {SHARE:.0%} of the stripes at random: {each}; "
        f"{backend()} kernel on {machine.cpu()}",
    )  # fmt: skip
