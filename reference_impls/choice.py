"""Dense or native: measured for one layer on the input that reaches it, and checked there."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from octavo.errors import InputError
from octavo.kernels import backend
from octavo.kernels.timing import Clock, ratio
from octavo.reference_impls.natives import Candidate, candidates
from octavo.reference_impls.plan import Prefer
from octavo.reference_impls.report import Choice
from octavo.reference_impls.settle import Decision

EXACT = 1e-5  # two orders of one sum in float32, relative to the largest output
ROUNDS = 5


class DisagreementError(RuntimeError):
    """A native module does not compute what the plan says. This is a defect; please report it."""


@dataclass(frozen=True, eq=False)
class Layer:
    """One decided layer: where it is, its simulated module, and an input that reached it."""

    path: str
    module: nn.Module
    decision: Decision
    x: Tensor | None


@dataclass(eq=False)
class Timings:
    """Milliseconds (native, dense) by everything that they depend on, within one call."""

    known: dict[tuple[Any, ...], tuple[float, float]] = field(default_factory=dict)


def choose(layer: Layer, prefer: Prefer, timings: Timings) -> tuple[nn.Module, Choice]:
    """The module that shall run in the layer's place, and the reason for the report."""
    if prefer == "dense":
        return _dense(layer, "asked for")
    if layer.x is None:
        return _dense(layer, "its weight is read, but it is never called")
    found = candidates(layer.module, layer.decision)
    if isinstance(found, str):
        return _dense(layer, found)
    tried = [_measured(layer, candidate, timings) for candidate in found]
    usable = [t for t in tried if t.module is not None]
    if not usable:
        return _dense(layer, tried[0].why)
    best = min(usable, key=lambda t: t.ms_native / t.ms_dense)
    if prefer == "fastest" and best.ms_native >= best.ms_dense:
        return _dense(layer, f"{best.name} is not faster here", best)
    why = "asked for" if prefer == "native" else "faster here"
    assert best.module is not None
    return best.module, _choice(layer, best.name, why, best)


@dataclass(frozen=True, eq=False)
class _Tried:
    name: str
    module: nn.Module | None
    why: str = ""
    ms_native: float = 0.0
    ms_dense: float = 0.0
    deviation: float = 0.0


def _measured(layer: Layer, candidate: Candidate, timings: Timings) -> _Tried:
    """Build one native module, check it, and time it beside the dense one."""
    assert layer.x is not None
    try:
        module = candidate.build().eval().requires_grad_(False)
    except InputError as error:  # a shape or group that this kernel does not take
        return _Tried(candidate.name, None, str(error))
    deviation = _checked(layer, module, candidate)
    x = layer.x
    key = (candidate.name, *_signature(layer))
    if key not in timings.known:
        with torch.no_grad():
            times = ratio(lambda: module(x), lambda: layer.module(x), rounds=ROUNDS, clock=_clock())
        timings.known[key] = (times.first_ms, times.second_ms)
    return _Tried(candidate.name, module, "", *timings.known[key], deviation)


def _clock() -> Clock:
    """One thread is timed by its own processor time: other work on the machine changes little."""
    return time.thread_time if torch.get_num_threads() == 1 else time.perf_counter


def _checked(layer: Layer, module: Any, candidate: Candidate) -> float:
    """Deviation from the simulated layer, after both checks of this module's docstring."""
    with torch.no_grad():
        native, said, simulated = (f(layer.x) for f in (module, module.simulate, layer.module))
    inner, outer = deviation_of(native, said), deviation_of(native, simulated)
    wrong = inner if inner > EXACT else (0.0 if candidate.rounds else outer)
    if not wrong <= EXACT:
        raise DisagreementError(
            f"{layer.path}: {candidate.name} ({backend()}) deviates by {wrong:.1e}, "
            f"{EXACT:.0e} is allowed; OCTAVO_BACKEND=reference avoids the kernel"
        )
    return outer


def deviation_of(one: Tensor, other: Tensor) -> float:
    """Largest difference, relative to the largest value of `other`.

    >>> deviation_of(torch.tensor([1.0, 2.5]), torch.tensor([1.0, 2.0]))
    0.25
    """
    if one.shape != other.shape:
        return float("inf")
    scale = other.double().abs().max() if other.numel() else torch.tensor(0.0)
    worst = (one.double() - other.double()).abs().max() if other.numel() else scale
    return float(worst / scale) if scale else float(worst)


def _signature(layer: Layer) -> tuple[Any, ...]:
    """All that the time of a layer depends on."""
    d, weight = layer.decision, layer.module.weight
    density = None if d.keep is None else round(float(d.keep.float().mean()), 2)
    codes = None if d.codes is None else (d.codes.bits, d.codes.group)
    books = None if d.books is None else tuple(d.books.books.shape)
    assert layer.x is not None
    assert isinstance(weight, Tensor)
    shapes = (tuple(weight.shape), tuple(layer.x.shape), layer.module.extra_repr())
    return (type(layer.module).__name__, *shapes, density, codes, books)


def _dense(layer: Layer, why: str, tried: _Tried | None = None) -> tuple[nn.Module, Choice]:
    return layer.module, _choice(layer, "dense", why, tried)


def _choice(layer: Layer, runs: str, why: str, tried: _Tried | None) -> Choice:
    return Choice(
        path=layer.path,
        kind=type(layer.module).__name__,
        decision=_in_words(layer.decision),
        runs=runs,
        why=why,
        ms_dense=None if tried is None else tried.ms_dense,
        ms_native=None if tried is None else tried.ms_native,
        deviation=0.0 if tried is None or runs == "dense" else tried.deviation,
    )


def _in_words(decision: Decision) -> str:
    words = []
    if decision.keep is not None:
        what = "weights" if decision.stripes is None else "stripes"
        words.append(f"{float(decision.keep.float().mean()):.1%} of {what} kept")
    if decision.codes is not None:
        group = decision.codes.group
        words.append(f"{decision.codes.bits} bits a {f'group of {group}' if group else 'row'}")
    if decision.books is not None:
        _, size, piece = decision.books.books.shape
        words.append(f"pieces of {piece} from books of {size}")
    return ", ".join(words)
