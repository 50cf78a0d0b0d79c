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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from octavo.errors import InputError
from octavo.reference_impls.inputs import Data, Input, batches, call, output_of
from octavo.reference_impls.measurement import Measurement
from octavo.reference_impls.plan import Plan, Stripes, Weights
from octavo.reference_impls.saliency import prunable
from octavo.reference_impls.selection import exponential, global_top

Keeps = Mapping[str, Tensor]  # by path of a Conv2d: bool (N, Kh, Kw)
Cost = Callable[[Keeps], int]  # weights left


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


class Skeleton(nn.Module):
    """One factor a stripe, as a parametrization of a convolution's weight: W becomes W * I."""

    alive: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        ones = torch.ones_like(weight[:, :1], requires_grad=False)  # (N, 1, Kh, Kw)
        self.factors = nn.Parameter(ones.detach())
        self.register_buffer("alive", torch.ones_like(ones, dtype=torch.bool))

    def forward(self, weight: Tensor) -> Tensor:
        """W * I, (N, C, Kh, Kw); the gradient of a cut stripe is zero."""
        return weight * (self.factors * self.alive)

    def kept(self, weight: Tensor) -> Tensor:
        """Which stripes of `weight` are left, bool (N, Kh, Kw) on the CPU."""
        return self.alive.expand_as(weight[:, :1])[:, 0].cpu().clone()

    @torch.no_grad()
    def cut(self, delta: float) -> None:
        """Cut the stripes at or under the threshold, but never the strongest of all."""
        size = self.factors.abs() * self.alive
        self.alive &= (size > delta) | (size == size.max())
        self.factors.mul_(self.alive)


def learn(
    net: nn.Module, data: Data, config: Config, attach: Callable[[Tensor], Skeleton] = Skeleton,
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


def attached(
    net: nn.Module, attach: Callable[[Tensor], Skeleton] = Skeleton
) -> dict[str, Skeleton]:
    """Put a skeleton on every Conv2d of `net`, in place; by path."""
    paths = [p for p in prunable(net) if isinstance(net.get_submodule(p), nn.Conv2d)]
    if not paths:
        raise InputError("stripe-pruning cuts filters: the model has no Conv2d")
    skeletons = {p: attach(prunable(net)[p]) for p in paths}
    for path, skeleton in skeletons.items():
        parametrize.register_parametrization(net.get_submodule(path), "weight", skeleton)
    return skeletons


def set_scales(net: nn.Module, scale: float) -> None:
    """Start every batch norm's scale at the given value, in place."""
    for module in net.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.affine:
            nn.init.constant_(module.weight, scale)


@torch.no_grad()
def cut_to(skeletons: Mapping[str, Skeleton], budget: float, cost: Cost) -> None:
    """Cut the weakest factors of all layers together until the weights left fit the budget."""
    size = {path: s.factors.abs() for path, s in skeletons.items()}
    alive = {path: s.alive for path, s in skeletons.items()}
    best = {path: alive[path] & (s == (s * alive[path]).max()) for path, s in size.items()}
    low, high = 1, int(sum(int(a.sum()) for a in alive.values()))
    while low < high:  # the most stripes that fit
        middle = (low + high + 1) // 2
        fits = cost(_either(global_top(size, middle, alive), best)) <= budget
        low, high = (middle, high) if fits else (low, middle - 1)
    for path, keep in _either(global_top(size, low, alive), best).items():
        skeletons[path].alive &= keep
        skeletons[path].factors.mul_(keep)


def direct_cost(net: nn.Module) -> Cost:
    """Weights in the stripes that are kept, all layers together."""
    channels = {path: w.shape[1] for path, w in _conv_weights(net).items()}
    return lambda keeps: sum(int(k.sum()) * channels[path] for path, k in keeps.items())


def _conv_weights(net: nn.Module) -> dict[str, Tensor]:
    return {p: m.weight for p, m in net.named_modules() if isinstance(m, nn.Conv2d)}


def _either(left: Keeps, right: Keeps) -> dict[str, Tensor]:
    return {path: left[path].to(keep.device) | keep for path, keep in right.items()}


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
        parts = zip(x.chunk(groups, 1), weight.chunk(groups), keep.chunk(groups), strict=True)
        each = [broken(*p, stride=stride, padding=padding, dilation=dilation) for p in parts]
        return _with_bias(torch.cat(each, 1), bias)
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
    return _with_bias(out, bias)


def _with_bias(out: Tensor, bias: Tensor | None) -> Tensor:
    return out if bias is None else out + bias.view(1, -1, 1, 1)


def claims(seeds: Sequence[int], quick: bool) -> Iterator[Measurement]:
    """Measure what the record claims."""
    raise NotImplementedError
