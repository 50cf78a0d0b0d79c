"""From a plan to the real thing: modules that are smaller, or run on kernels, and are checked.

Every decided layer gets the faster of its simulated dense module and its native modules, measured
on the input that really reaches it in the reader's example. Two checks raise `DisagreementError`:

    native(x)  against  native.simulate(x)      the kernel computes what it says
    native(x)  against  the simulated module    where nothing is rounded

A kernel that rounds activations to integers deviates from the simulated layer; how far is reported,
for each layer and for the whole model.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import nn

from octavo.errors import InputError
from octavo.kernels import backend
from octavo.kernels.timing import ratio
from octavo.reference_impls import machine
from octavo.reference_impls.choice import (
    EXACT,
    ROUNDS,
    DisagreementError,
    Layer,
    Timings,
    choose,
    deviation_of,
)
from octavo.reference_impls.inputs import Input, call, capture, evaluating, example_for, output_of
from octavo.reference_impls.memory import peak_bytes
from octavo.reference_impls.plan import Plan, Prefer
from octavo.reference_impls.report import Choice, Report, describe, macs, state_bytes
from octavo.reference_impls.settle import Settled, settle, shared
from octavo.reference_impls.values import disk_bytes

LOOSE = 0.05  # a deviation that the reader is warned of


def materialise(
    model: nn.Module, plan: Plan, example: Input = None, *, prefer: Prefer = "fastest"
) -> nn.Module:
    """A model in evaluation mode that runs `plan`; `.report` on it is a `Report`.

    `prefer` is "fastest" (dense or native, layer by layer, as measured), "native" or "dense".

    Raises:
        InputError: the plan does not fit the model, or no example can be guessed.
        DisagreementError: a kernel does not compute what the plan says.
    """
    return realise(model, settle(model, plan), plan, example, prefer)


def realise(
    original: nn.Module, settled: Settled, plan: Plan, example: Input, prefer: Prefer
) -> nn.Module:
    """As `materialise`, for a plan that is carried out already."""
    if prefer not in ("fastest", "native", "dense"):
        raise InputError(f"prefer={prefer!r}; it must be 'fastest', 'native' or 'dense'")
    example = example_for(original) if example is None else example
    model = copy.deepcopy(settled.model).eval().requires_grad_(False)
    choices = _replace(model, settled, example, prefer)
    before = copy.deepcopy(original).eval().requires_grad_(False)
    deviation = _whole(model, settled, example, choices)
    times = ratio(_run(before, example), _run(model, example), rounds=ROUNDS)
    report = Report(
        method=plan.method,
        example=describe(example),
        machine=machine.cpu(),
        backend=backend(),
        bytes_before=state_bytes(original),
        bytes_after=disk_bytes(original, settled, plan),
        macs_before=macs(before, example, {}),
        macs_after=macs(settled.model, example, settled.decisions),
        ms_before=times.first_ms,
        ms_after=times.second_ms,
        memory_before=state_bytes(before),
        memory_after=state_bytes(model),
        peak_before=state_bytes(before) + peak_bytes(before, example),
        peak_after=state_bytes(model) + peak_bytes(model, example),
        deviation=deviation,
        choices=choices,
        warnings=(),
        notes=plan.notes,
    )
    model.report = _warned(report, original, settled)  # type: ignore[assignment]
    return model


def _replace(
    model: nn.Module, settled: Settled, example: Input, prefer: Prefer
) -> tuple[Choice, ...]:
    """Put the chosen module in the place of every decided one."""
    calls = capture(model, settled.decisions, [example])
    timings = Timings()
    choices = []
    for path, decision in settled.decisions.items():
        x = calls[path][0].input if calls[path] else None
        layer = Layer(path, model.get_submodule(path), decision, x)
        chosen, choice = choose(layer, prefer, timings)
        _put(model, layer.module, chosen)
        choices.append(choice)
    _no_fused_path(model)
    return tuple(choices)


def _put(model: nn.Module, old: nn.Module, new: nn.Module) -> None:
    """Replace a module wherever the model holds it."""
    if old is new:
        return
    for parent in list(model.modules()):
        for name, child in parent._modules.items():
            if child is old:
                parent._modules[name] = new


def _no_fused_path(model: nn.Module) -> None:
    """Torch's encoder layers would read `linear1.weight` instead of calling the module."""
    for module in model.modules():
        if isinstance(module, nn.TransformerEncoderLayer):
            module.activation_relu_or_gelu = 0


def _run(model: nn.Module, example: Input) -> Callable[[], object]:
    def run() -> object:
        with torch.no_grad():
            return call(model, example)

    return run


def _whole(
    model: nn.Module, settled: Settled, example: Input, choices: tuple[Choice, ...]
) -> float:
    """Deviation of the whole model from the simulated one on the reader's example."""
    with evaluating(settled.model):
        expected = output_of(call(settled.model, example))
        found = output_of(call(model, example))
    deviation = deviation_of(found, expected)
    rounded = any(c.runs.startswith(("Int", "PqLinear")) for c in choices)
    if not rounded and not deviation <= 10 * EXACT:
        raise DisagreementError(
            f"the materialised model deviates by {deviation:.1e} from plan.apply"
        )
    return deviation


def _warned(report: Report, original: nn.Module, settled: Settled) -> Report:
    warnings = []
    if report.ms_after > report.ms_before:
        warnings.append(
            f"slower than the original on this machine and example: "
            f"{report.ms_before:.3f} -> {report.ms_after:.3f} ms"
        )
    if report.deviation > LOOSE:
        warnings.append(
            f"int8 activations move the output by {report.deviation:.0%} of its largest value; "
            "prefer='dense' keeps them in float"
        )
    decided = {f"{path}.weight" for path in settled.decisions}
    for name, others in shared(settled.model).items():
        if decided & {name, *others}:
            warnings.append(f"{name} is shared with {', '.join(others)}: all of them are changed")
    return replace(report, warnings=tuple(warnings))
