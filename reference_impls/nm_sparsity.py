"""N:M sparsity from scratch: the mask follows the weights, the unused ones are held down.

Paper: nm-sparsity (Zhou, Ma, Zhu, Liu, Zhang, Yuan, Sun, Li, ICLR 2021, arXiv:2102.04010)

Of every M neighbouring inputs of an output only the N largest weights are used. Training keeps all
weights: the gradient of the used ones goes to all, so that a weight can come back. That alone makes
the mask flicker and training worse; pulling the pruned weights towards zero (SR-STE) settles it.

| paper     | code    | meaning                                                        |
| --------- | ------- | -------------------------------------------------------------- |
| W         | dense   | the weights that are trained                                   |
| W~        | used    | W where it is among the N largest of its M, else zero          |
| lambda_W  | pull    | how strongly the pruned weights are pulled to zero             |
| SAD       | flips   | how many places of the mask differ between two steps           |

    W_(t+1) = W_t - rate * (dL/dW~ + lambda_W * (1 - mask) * W_t)        eq. (8)

By hand: of 3, -1, 2, 0.5 two stay: 3 and 2. With a gradient of 1 everywhere and a pull of 0.1 the
gradients are 1, 1 - 0.1, 1, 1 + 0.05.

>>> dense = torch.tensor([[3.0, -1.0, 2.0, 0.5]], requires_grad=True)
>>> used = Used.apply(dense, Pattern(2, 4), 0.1)
>>> used.tolist()
[[3.0, 0.0, 2.0, 0.0]]
>>> used.sum().backward()
>>> [round(g, 3) for g in dense.grad[0].tolist()]
[1.0, 0.9, 1.0, 1.05]

Differs: neighbours are inputs in the order of the flattened weight (C, Kh, Kw), as our kernel takes
  them; the paper's are channels of one position. Every Conv and Linear layer is under the
  pattern unless `exclude` names it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from octavo.errors import InputError
from octavo.reference_impls import saliency
from octavo.reference_impls.inputs import Batch, Data, Input
from octavo.reference_impls.layerwise import Pattern, pattern_of, row_top
from octavo.reference_impls.masking import Patterns, mask_plan, trained
from octavo.reference_impls.measurement import Measurement
from octavo.reference_impls.plan import Plan
from octavo.reference_impls.tasks import pruned, shelf
from octavo.reference_impls.training import epochs, labelled, sgd, steps


@dataclass(frozen=True)
class Config:
    """What N:M training lets the reader choose."""

    pattern: str = "2:4"  # n of every m inputs stay
    pull: float = 2e-4  # section 4.2; 0 is the plain straight-through estimator
    epochs: int = 20
    lr: float = 0.1
    exclude: tuple[str, ...] = ()  # paths of layers that stay dense
    density: float | None = None  # another n / m for the m of the pattern; None: as it says


def plan(
    model: nn.Module,
    config: Config = Config(),
    *,
    data: Data = None,
    example: Input = None,
    generator: torch.Generator | None = None,
) -> Plan:
    """Train a copy of the model under the pattern.

    Args:
        model: any module with Conv or Linear layers that gives logits; it is left as it was.
        config: pattern, pull and training.
        data: batches (input, class numbers), walked over once an epoch.
        example: not needed.
        generator: not needed; the order of the data is the loader's.

    Returns:
        A Plan with the trained Weights and a Mask for every layer under the pattern.

    Raises:
        InputError: no data or class numbers, a pattern or an excluded path that is none.
    """
    batches, net = labelled("nm-sparsity", data), copy.deepcopy(model)
    patterns = learn(net, batches, config)
    return mask_plan(model, patterns, "nm-sparsity", config, trained(net))


class Used(torch.autograd.Function):
    """The weights that are used, with the gradient that SR-STE gives to all of them."""

    @staticmethod
    def forward(ctx: Any, dense: Tensor, pattern: Pattern, pull: float) -> Tensor:
        """Keep the n largest of every m inputs, (N, ...) to the same shape."""
        keep = kept(dense, pattern)
        ctx.save_for_backward(dense, keep)
        ctx.pull = pull
        return torch.where(keep, dense, 0.0)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """Straight through, and the pull on what is not used."""
        dense, keep = ctx.saved_tensors
        return grads[0] + ctx.pull * (~keep) * dense, None, None


class Sparse(nn.Module):
    """A layer's weight under the pattern, for as long as it trains."""

    def __init__(self, pattern: Pattern, pull: float) -> None:
        super().__init__()
        self.pattern, self.pull = pattern, pull

    def forward(self, dense: Tensor) -> Tensor:
        """The used weights."""
        used: Tensor = Used.apply(dense, self.pattern, self.pull)  # type: ignore[no-untyped-call]
        return used


def kept(weight: Tensor, pattern: Pattern) -> Tensor:
    """What the pattern keeps of a weight (N, ...): bool of the same shape."""
    scores = weight.detach().abs().flatten(1)
    return row_top(scores, 1.0, pattern).view(weight.shape)


def learn(net: nn.Module, data: Sequence[Batch], config: Config) -> Patterns:
    """Train `net` in place; afterwards its weights are the used ones. Returns what stays."""
    pattern = _pattern(config)
    paths = list(saliency.inner(net, config.exclude))
    _attach(net, paths, pattern, config.pull)
    for _ in epochs(net, data, config.epochs, sgd(net, config.lr), rate=steps):
        pass
    for path in paths:
        parametrize.remove_parametrizations(net.get_submodule(path), "weight")
    return {path: kept(net.get_parameter(f"{path}.weight"), pattern) for path in paths}


def _attach(net: nn.Module, paths: Sequence[str], pattern: Pattern, pull: float) -> None:
    for path in paths:
        layer = net.get_submodule(path)
        parametrize.register_parametrization(layer, "weight", Sparse(pattern, pull))


def _pattern(config: Config) -> Pattern:
    pattern = pattern_of(config.pattern)
    if pattern is None:
        raise InputError("nm-sparsity needs a pattern such as 2:4")
    if config.density is None:
        return pattern
    n = round(config.density * pattern.m)
    if not 1 <= n <= pattern.m or abs(n - config.density * pattern.m) > 1e-6:
        allowed = ", ".join(f"{k / pattern.m:g}" for k in range(1, pattern.m + 1))
        raise InputError(
            f"density={config.density}: of every {pattern.m} inputs a whole number stays: "
            f"{allowed}; another m comes with pattern=, such as 1:10"
        )
    return Pattern(n, pattern.m)


PATTERNS = ("2:4", "1:4", "2:8", "1:8")
HARD = "1:8"  # the pattern that the accuracy claims are about


def claims(seeds: Sequence[int], quick: bool) -> Iterator[Measurement]:
    """Measure what the record claims: minutes on two cores, about one when quick."""
    with shelf.one_thread():
        yield _exact(seeds)
        yield _flips(seeds, 6 if quick else 10)
        found = _accuracies(seeds, quick)
        yield _gain("over-ste", found, "SR-STE", "STE", HARD, seeds)
        yield _gain("over-one-shot", found, "SR-STE", "magnitude, then trained", HARD, seeds)
        yield _near(found, seeds, quick)
        yield shelf.kernel_ms("N:M sparsity", _timed, seeds[0], "pattern-ms")


def _exact(seeds: Sequence[int]) -> Measurement:
    """Groups of a trained network that do not hold exactly two of four."""
    wrong = 0
    for seed in seeds:
        net = shelf.network(seed)
        for path, keep in learn(net, shelf.data(seed)[:3], Config(epochs=1)).items():
            rows = keep.flatten(1)
            whole = rows[:, : rows.shape[1] // 4 * 4].reshape(-1, 4)
            wrong += int((whole.sum(1) != 2).sum())
            wrong += int((net.get_parameter(f"{path}.weight")[~keep] != 0).sum())
    return Measurement("exact-pattern", wrong, seeds=tuple(seeds))


def _flips(seeds: Sequence[int], count: int) -> Measurement:
    """Places of the masks that change from step to step late in training, STE over SR-STE."""
    ratios = []
    for seed in seeds:
        changes = [_flickers(seed, pull, count) for pull in (0.0, Config.pull)]
        ratios.append(changes[0] / max(1, changes[1]))
    return Measurement(
        "fewer-flips", fmean(ratios), pstdev(ratios), 1.0, "SR-STE", tuple(seeds),
        note=f"mask changes summed over the second half of {count} epochs at 2:4, constant rate",
    )  # fmt: skip


def _flickers(seed: int, pull: float, count: int) -> int:
    net, pattern = shelf.network(seed), Pattern(2, 4)
    paths = list(saliency.prunable(net))
    _attach(net, paths, pattern, pull)
    dense = [net.get_parameter(f"{path}.parametrizations.weight.original") for path in paths]
    data = shelf.data(seed)
    left, flips = count * len(data), 0
    before: list[Tensor] = []

    def see() -> None:
        nonlocal left, flips, before
        left -= 1
        if left > count * len(data) // 2:
            return
        now = [kept(w, pattern) for w in dense]
        flips += sum(int((a != b).sum()) for a, b in zip(now, before or now, strict=True))
        before = now

    for _ in epochs(net, data, count, sgd(net, 0.05), after_step=see):
        pass
    return flips


Found = dict[str, dict[str, list[float]]]  # by way and pattern: accuracy, a value for each seed


def _accuracies(seeds: Sequence[int], quick: bool) -> Found:
    """Test accuracy by way and pattern; when quick only ours is tried at 2:4, too."""
    count = shelf.EPOCHS // 2 if quick else shelf.EPOCHS
    tried: dict[str, tuple[str, ...]] = dict.fromkeys(WAYS, (HARD,) if quick else PATTERNS)
    if quick:
        tried["SR-STE"] = ("2:4", HARD)
    return {
        name: {p: [way(seed, p, count) for seed in seeds] for p in tried[name]}
        for name, way in WAYS.items()
    }


def _trained(pull: float) -> Any:
    def way(seed: int, pattern: str, count: int) -> float:
        net = shelf.network(seed)
        learn(net, shelf.data(seed), Config(pattern, pull, count))
        return shelf.score(net)

    return way


def _one_shot(seed: int, pattern: str, count: int) -> float:
    """Half of the epochs dense, then pruned by magnitude, then the other half."""
    net, data = shelf.network(seed), shelf.data(seed)
    shelf.retrain(net, data, {}, count // 2, 0.1)
    found = pattern_of(pattern)
    assert found is not None
    keep = {path: kept(w, found) for path, w in saliency.prunable(net).items()}
    shelf.retrain(net, data, keep, count - count // 2, 0.05)
    return shelf.score(net)


WAYS = {"SR-STE": _trained(Config.pull), "STE": _trained(0.0), "magnitude, then trained": _one_shot}


def _gain(
    claim: str, found: Found, first: str, other: str, pattern: str, seeds: Sequence[int]
) -> Measurement:
    by_compression = {name: _curve(at) for name, at in found.items()}
    each = ", ".join(f"{name} {fmean(at[pattern]):.1f}" for name, at in found.items())
    return shelf.gain(
        claim, found[first][pattern], found[other][pattern], other, seeds,
        f"accuracy in % at {pattern}: {each}",
        pruned.curves("Test accuracy under N:M patterns", "accuracy, %", by_compression),
    )  # fmt: skip


def _curve(at: dict[str, list[float]]) -> dict[float, list[float]]:
    """By compression m / n; of two patterns with the same the one with larger groups."""
    ratios = {pattern: pattern_of(pattern) for pattern in at}
    return {r.m / r.n: at[pattern] for pattern, r in ratios.items() if r is not None}


def _near(found: Found, seeds: Sequence[int], quick: bool) -> Measurement:
    whole = [shelf.score(shelf.dense(seed, quick)) for seed in seeds]
    ours = found["SR-STE"]["2:4"]
    return shelf.gain("near-dense", ours, whole, "dense", seeds, "2:4, equal epochs")


def _timed(net: nn.Module) -> Plan:
    pattern = Pattern(2, 4)
    keep = {path: kept(w, pattern) for path, w in saliency.prunable(net).items()}
    return mask_plan(net, keep, "nm-sparsity", Config())
