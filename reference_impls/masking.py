"""From scores to a plan of masks: what every method that scores single weights shares.

A method brings one tensor of scores a layer; here is how many stay, over which scope they are
compared, how layers that share a weight share its mask, and what a reader must be told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn

from octavo.reference_impls.plan import Mask, Plan, Step, Weights
from octavo.reference_impls.saliency import left_dense, prunable, tied
from octavo.reference_impls.selection import global_top, keep_count, layer_top
from octavo.reference_impls.settings import one_of

Patterns = dict[str, Tensor]  # by module path: bool, shaped like the weight
SCOPES = ("global", "layer")


def chosen(
    scores: Mapping[str, Tensor],
    density: float,
    scope: str = "global",
    alive: Mapping[str, Tensor] | None = None,
) -> Patterns:
    """What stays: the largest scores over all layers together, or the same share of each layer.

    `alive` holds what may stay at all, in a global choice; None is everything.

    >>> scores = {"a": torch.tensor([5.0, 4.0]), "b": torch.tensor([3.0, 1.0])}
    >>> {path: keep.tolist() for path, keep in chosen(scores, 0.5).items()}
    {'a': [True, True], 'b': [False, False]}
    >>> {path: keep.tolist() for path, keep in chosen(scores, 0.5, "layer").items()}
    {'a': [True, False], 'b': [True, False]}

    Raises:
        InputError: a scope or density that is not allowed, or scores that are not finite.
    """
    one_of("scope", scope, SCOPES)
    if scope == "layer":
        return layer_top(scores, density)
    total = sum(s.numel() for s in scores.values())
    return global_top(scores, keep_count(density, total), alive)


def mask_plan(
    model: nn.Module,
    patterns: Mapping[str, Tensor],
    method: str,
    config: Any,
    *before: Step,
    unreached: Sequence[str] = (),
) -> Plan:
    """A Mask for every layer (layers that share a weight share it) after the steps `before`.

    `config` is the method's, None if it has none; the layers `unreached` take no part. Notes name
    what is left dense and which layers are left without any weight.
    """
    paths = tied(model)
    masks = (Mask(p, keep) for path, keep in patterns.items() for p in paths[path])
    empty = [path for path, keep in patterns.items() if not bool(keep.any())]
    said = {
        "left dense, never reached from the input": unreached,
        "left dense": left_dense(model),
        "no weight left (layer collapse)": empty,
    }
    notes = tuple(f"{what}: {', '.join(where)}" for what, where in said.items() if where)
    return Plan((*before, *masks), method, {} if config is None else asdict(config), notes)


def trained(net: nn.Module) -> Weights:
    """The state of a network that was trained, as a step of a plan: a copy on the CPU."""
    return Weights("", {name: t.detach().cpu().clone() for name, t in net.state_dict().items()})


class Held:
    """Keep the zeros of a pattern at zero while a network trains: call after every update."""

    def __init__(self, net: nn.Module, patterns: Mapping[str, Tensor]) -> None:
        weights = prunable(net)
        self._held = [(weights[p], keep.to(weights[p])) for p, keep in patterns.items()]

    def __call__(self) -> None:
        """Put the zeros back."""
        with torch.no_grad():
            for weight, keep in self._held:
                weight.mul_(keep)
