"""The one call for the reader: a model in, a compressed model out, and back from disk.

>>> from torch import nn
>>> import tempfile, octavo
>>> make = lambda: nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4)).eval()
>>> small = octavo.compress(make(), "synflow", density=0.25)
>>> with tempfile.TemporaryDirectory() as folder:
...     small.save(folder)
...     again = octavo.load(make(), folder)
>>> x = torch.ones(1, 8)
>>> torch.equal(small.model(x), again.model(x))
True
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from octavo.errors import InputError
from octavo.reference_impls import find
from octavo.reference_impls.inputs import Data, Input, batches, example_for
from octavo.reference_impls.plan import Plan, Prefer, Weights
from octavo.reference_impls.settle import Settled, settle
from octavo.reference_impls.storage import Tensors
from octavo.reference_impls.storage import load as load_stored
from octavo.reference_impls.storage import save as save_stored
from octavo.reference_impls.storage import size as stored_size

if TYPE_CHECKING:
    from octavo.reference_impls.report import Report


@dataclass(frozen=True, eq=False)
class Compressed:
    """A compressed model: `model` simulates it in plain torch, `plan` is what the method decided.

    `original` is the model as it came (after `load`: the instance that was given).
    """

    original: nn.Module
    model: nn.Module
    plan: Plan
    example: Input

    def materialise(self, example: Input = None, *, prefer: Prefer = "fastest") -> nn.Module:
        """The real thing: native modules where they are faster, checked; `.report` says which."""
        from octavo.reference_impls.materialise import realise

        example = self.example if example is None else example
        return realise(self.original, self._settled(), self.plan, example, prefer)

    def report(self, example: Input = None, *, prefer: Prefer = "fastest") -> Report:
        """Bytes, MACs and milliseconds before and after, measured now on this machine."""
        report: Report = self.materialise(example, prefer=prefer).report  # type: ignore[assignment]
        return report

    def save(self, folder: str | Path) -> None:
        """Write plan and values; what the plan determines (zeros, codes) is not written twice."""
        save_stored(Path(folder), *_content(self.original, self._settled(), self.plan))

    def _settled(self) -> Settled:
        """The decisions of the plan over this very `model` (training may have gone on)."""
        return Settled(self.model, settle(self.original, self.plan).decisions)


def compress(
    model: nn.Module,
    method: str,
    *,
    data: Data = None,
    example: Input = None,
    seed: int = 0,
    **config: Any,
) -> Compressed:
    """Compress `model` by a method of the catalog. The model itself is left as it is.

    `data` is a DataLoader or any iterable of batches; `example` one input of the model (default:
    the first batch, else a guess from the first layer). `config` are fields of the method's Config.

    Raises:
        InputError: unknown method or key, data that is missing, or a module that the method cannot
            handle; the message says what is allowed.
    """
    module = find(method)
    settings = configure(module, method, config)
    data = list(data) if isinstance(data, Iterator) else data
    if example is None:
        example = example_for(model) if data is None else next(batches(data)).input
    generator = torch.Generator().manual_seed(seed)
    plan: Plan = module.plan(model, settings, data=data, example=example, generator=generator)
    return Compressed(model, plan.apply(model), plan, example)


def load(model: nn.Module, folder: str | Path, *, example: Input = None) -> Compressed:
    """Rebuild what `Compressed.save` wrote, from any instance of the original class.

    Raises:
        InputError: no plan there, a plan without values, or a model with other parameters.
    """
    stored = load_stored(Path(folder))
    if not stored.facts["with_state"]:
        raise InputError(f"{folder}: a plan without values; use Plan.load(folder).apply(model)")
    if stored.facts["signature"] != _signature(model):
        kind = type(model).__name__
        raise InputError(
            f"{folder}: this {kind} has other parameters than the model that was compressed; "
            "build it with the same configuration"
        )
    plan = _with_values(model, stored.plan, stored.state)
    if example is None:
        try:
            example = example_for(model)
        except InputError:
            example = None  # materialise() asks for it
    return Compressed(model, plan.apply(model), plan, example)


def configure(module: ModuleType, method: str, given: Mapping[str, Any]) -> Any:
    """The method's Config with the given values; lists become tuples.

    Raises:
        InputError: a key that the method does not have; the message lists those it has.
    """
    allowed = {field.name: field for field in dataclasses.fields(module.Config)}
    unknown = sorted(set(given) - set(allowed))
    if unknown:
        raise InputError(f"{method} has no setting {unknown[0]!r}; it has: {', '.join(allowed)}")
    plain = {key: tuple(v) if isinstance(v, list) else v for key, v in given.items()}
    try:
        return module.Config(**plain)
    except TypeError as error:
        raise InputError(f"{method}: {error}; its settings are: {', '.join(allowed)}") from None


def disk_bytes(original: nn.Module, settled: Settled, plan: Plan) -> int:
    """Bytes of the files that `Compressed.save` would write."""
    return stored_size(*_content(original, settled, plan))


def _content(
    original: nn.Module, settled: Settled, plan: Plan
) -> tuple[Plan, Tensors, dict[str, Any]]:
    """What is written: the steps that are no plain values, the other values, and a signature.

    What the steps give is seen by doing them on a model of zeros; of masked weights only those that
    are kept are written.
    """
    lean = dataclasses.replace(
        plan, steps=tuple(step for step in plan.steps if not isinstance(step, Weights))
    )
    given = dict(_state(settle(_blank(original), lean).model))
    keeps = _keeps(settled)
    state = {
        name: (value[keeps[name]] if name in keeps else value).detach().clone()
        for name, value in _state(settled.model)
        if not torch.equal(given[name], value)
    }
    return lean, state, {"signature": _signature(original)}


def _with_values(model: nn.Module, lean: Plan, state: Tensors) -> Plan:
    """The plan with all values of the compressed model as its last step: the way back."""
    settled = settle(_blank(model), lean)
    keeps, values = _keeps(settled), dict(_state(settled.model))
    given = {f"{path}.weight" for path, d in settled.decisions.items() if d.codes is not None}
    with torch.no_grad():
        for name, value in state.items():
            place = (keeps[name],) if name in keeps else ...
            values[name][place] = value
    tensors = {name: v.detach() for name, v in values.items() if name in state or name not in given}
    return dataclasses.replace(lean, steps=(*lean.steps, Weights("", tensors)))


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


def _signature(model: nn.Module) -> str:
    shapes = "\n".join(f"{name} {tuple(value.shape)}" for name, value in _state(model))
    return hashlib.sha256(shapes.encode()).hexdigest()[:16]
