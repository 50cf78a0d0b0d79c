"""What is saved beside a plan: the values of a compressed model that its steps do not give."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from octavo.reference_impls.plan import Plan, Weights
from octavo.reference_impls.settle import Settled, settle
from octavo.reference_impls.storage import Tensors, size


def disk_bytes(original: nn.Module, settled: Settled, plan: Plan) -> int:
    """Bytes of the files that `Compressed.save` would write."""
    return size(*content(original, settled, plan))


def content(
    original: nn.Module, settled: Settled, plan: Plan
) -> tuple[Plan, Tensors, dict[str, Any]]:
    """What is written: the steps that are no plain values, the other values, and a signature.

    What the steps give is seen by doing them on a model of zeros; of masked weights only those that
    are kept are written.
    """
    lean = replace(plan, steps=tuple(step for step in plan.steps if not isinstance(step, Weights)))
    given = dict(_state(settle(_blank(original), lean).model))
    keeps = _keeps(settled)
    state = {
        name: (value[keeps[name]] if name in keeps else value).detach().clone()
        for name, value in _state(settled.model)
        if not torch.equal(given[name], value)
    }
    return lean, state, {"signature": signature(original)}


def with_values(model: nn.Module, lean: Plan, state: Tensors) -> Plan:
    """The plan with all values of the compressed model as its last step: the way back."""
    settled = settle(_blank(model), lean)
    keeps, values = _keeps(settled), dict(_state(settled.model))
    whole = (path for path, d in settled.decisions.items() if d.codes or d.books)
    given = {f"{path}.weight" for path in whole}
    with torch.no_grad():
        for name, value in state.items():
            place = (keeps[name],) if name in keeps else ...
            values[name][place] = value
    tensors = {name: v.detach() for name, v in values.items() if name in state or name not in given}
    return replace(lean, steps=(*lean.steps, Weights("", tensors)))


def _keeps(settled: Settled) -> Tensors:
    """Patterns by the name of their weight (its first name, where several modules share it)."""
    names = {id(t): name for name, t in reversed(list(_state(settled.model)))}
    weights = ((settled.model.get_submodule(p).weight, d) for p, d in settled.decisions.items())
    return {names[id(w)]: d.keep for w, d in weights if d.keep is not None}


def _state(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Parameters and saved buffers by name, each tensor once."""
    seen: set[int] = set()
    for name, value in model.state_dict(keep_vars=True).items():
        if isinstance(value, Tensor) and id(value) not in seen:
            seen.add(id(value))
            yield name, value


def _blank(model: nn.Module) -> nn.Module:
    blank = copy.deepcopy(model)
    with torch.no_grad():
        for _, value in _state(blank):
            value.zero_()
    return blank


def signature(model: nn.Module) -> str:
    """A short hash of the names and shapes of a model's state."""
    shapes = "\n".join(f"{name} {tuple(value.shape)}" for name, value in _state(model))
    return hashlib.sha256(shapes.encode()).hexdigest()[:16]
