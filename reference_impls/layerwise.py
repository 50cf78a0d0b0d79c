"""Prune a network layer by layer on a little data, without labels and without training.

Every layer is decided on what reaches it through the layers that are already pruned. The method
brings the decision for one layer: from the weight (N, K) and the second moments of its inputs to
what stays and the new weight. Patterns of N in every M inputs have one home here too.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from octavo.errors import InputError
from octavo.reference_impls.gram import calls, matrices, restored, together
from octavo.reference_impls.inputs import Input
from octavo.reference_impls.masking import mask_plan
from octavo.reference_impls.plan import Plan, Step, Weights
from octavo.reference_impls.saliency import prunable, tied
from octavo.reference_impls.selection import keep_count, top


class Layer(NamedTuple):
    """One decided layer: bool and float32, both (N, K)."""

    keep: Tensor
    weight: Tensor


Decide = Callable[[Tensor, Tensor], Layer]  # from weight (N, K) float64 and moments (K, K)


class Pattern(NamedTuple):
    """`n` of every `m` neighbouring inputs stay."""

    n: int
    m: int


def pattern_of(text: str) -> Pattern | None:
    """The pattern that a setting names; "" is none.

    >>> pattern_of("2:4")
    Pattern(n=2, m=4)

    Raises:
        InputError: text of another form, or n that is not from 1 to m.
    """
    found = re.fullmatch(r"(\d+):(\d+)", text)
    pattern = Pattern(int(found[1]), int(found[2])) if found else None
    if text and (pattern is None or not 1 <= pattern.n <= pattern.m):
        raise InputError(f"pattern={text!r}; write n:m with n from 1 to m, such as 2:4, or nothing")
    return pattern


def row_top(scores: Tensor, density: float, pattern: Pattern | None = None) -> Tensor:
    """The largest of each row (N, K): a share of it, or n of every m; of equals the earlier stays.

    The last of a row's groups may be shorter than m; it keeps at most n too.

    >>> row_top(torch.tensor([[1.0, 3.0, 2.0, 4.0]]), 0.5).int().tolist()
    [[0, 1, 0, 1]]
    >>> row_top(torch.tensor([[9.0, 8.0, 7.0, 1.0, 2.0, 3.0]]), 1.0, Pattern(1, 3)).int().tolist()
    [[1, 0, 0, 0, 0, 1]]
    """
    n, k = scores.shape
    count, width = (keep_count(density, k), k) if pattern is None else pattern
    missing = -k % width
    padded = nn.functional.pad(scores, (0, missing), value=-torch.inf).view(-1, width)
    order = padded.argsort(dim=1, descending=True, stable=True)
    keep = torch.zeros(padded.shape, dtype=torch.bool)
    keep.scatter_(1, order[:, :count], True)
    return keep.view(n, k + missing)[:, :k].contiguous()


def block_top(scores: Tensor, density: float) -> Tensor:
    """The largest of a whole block of scores, exactly the share of it."""
    return top(scores.reshape(-1), keep_count(density, scores.numel())).view(scores.shape)


def layer_by_layer(
    method: str, model: nn.Module, config: Any, inputs: Sequence[Input], decide: Decide
) -> Plan:
    """Decide every prunable layer in order, each on the inputs that the pruned ones before it give.

    Layers that the inputs never reach stay dense; a note of the plan names them.

    Raises:
        InputError: a layer (by path) of a kind whose input rows are not known.
    """
    net = copy.deepcopy(model).cpu()
    paths, patterns, missed = tied(model), {}, []
    steps: list[Step] = []
    weights, known = prunable(net), dict[str, Tensor]()
    counts = calls(net, weights, inputs)
    for index, (path, weight) in enumerate(weights.items()):
        if path not in known:
            known |= together(net, path, inputs, list(weights)[index + 1 :], counts)
        moment = known.pop(path, None)
        if moment is None:
            missed.append(path)
            continue
        keep, new = decided(net.get_submodule(path), weight.detach(), moment, decide)
        weight.data.copy_(new)
        patterns[path] = keep
        steps += (Weights(p, {"weight": new.clone()}) for p in paths[path])
    plan = mask_plan(model, patterns, method, config, *steps)
    if not missed:
        return plan
    note = f"left dense, never called on the data: {', '.join(missed)}"
    return Plan(plan.steps, plan.method, plan.config, (*plan.notes, note))


def decided(
    layer: nn.Module, weight: Tensor, moment: Tensor, decide: Decide
) -> tuple[Tensor, Tensor]:
    """What stays and the new weight, both shaped like `weight`; one decision a group."""
    parts = matrices(layer, weight).double()
    layers = [decide(part, m) for part, m in zip(parts, moment, strict=True)]
    keep = restored(layer, torch.stack([each.keep for each in layers]), weight.shape)
    new = restored(layer, torch.stack([each.weight for each in layers]), weight.shape)
    return keep, new.to(weight.dtype) * keep


def output_error(weight: Tensor, new: Tensor, moment: Tensor) -> float:
    """Mean squared change of a layer's outputs when (N, K) becomes `new`: tr(D M D^T) / N."""
    change = (new - weight).double()
    return float(((change @ moment) * change).sum() / len(change))
