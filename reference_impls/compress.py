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

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from octavo.errors import InputError
from octavo.reference_impls import find
from octavo.reference_impls.inputs import Data, Input, batches, example_for
from octavo.reference_impls.plan import Plan, Prefer
from octavo.reference_impls.settle import Settled, settle
from octavo.reference_impls.storage import load as load_stored
from octavo.reference_impls.storage import save as save_stored
from octavo.reference_impls.values import content, signature, with_values

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
        save_stored(Path(folder), *content(self.original, self._settled(), self.plan))

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
    if stored.facts["signature"] != signature(model):
        kind = type(model).__name__
        raise InputError(
            f"{folder}: this {kind} has other parameters than the model that was compressed; "
            "build it with the same configuration"
        )
    plan = with_values(model, stored.plan, stored.state)
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
