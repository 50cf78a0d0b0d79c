"""What a compressed model costs: bytes, multiply-accumulates and milliseconds, three columns.

Bytes are those of the files that `Compressed.save` writes: with scales, patterns and headers.
Multiply-accumulates (MACs) are those of linear and convolution layers with weights that are not
zero. Milliseconds are medians of interleaved rounds on this machine, on the reader's example; only
their ratio is called a speed-up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from math import prod
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text
from torch import Tensor, nn

from octavo.reference_impls.inputs import Input, call, evaluating, output_of
from octavo.reference_impls.settle import Decision

DENSE_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED_LAYERS = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


@dataclass(frozen=True)
class Choice:
    """How one module runs and why. Milliseconds are None where nothing had to be measured."""

    path: str
    kind: str
    decision: str
    runs: str  # name of the native module, or "dense"
    why: str
    ms_dense: float | None
    ms_native: float | None
    deviation: float  # from the simulated module on the same input, relative to its largest output


@dataclass(frozen=True)
class Report:
    """Before and after, on one machine and one example."""

    method: str
    example: str
    machine: str
    backend: str
    bytes_before: int
    bytes_after: int
    macs_before: int
    macs_after: int
    ms_before: float
    ms_after: float
    memory_before: int  # bytes of parameters and buffers while running
    memory_after: int
    peak_before: int  # the same, and the tensors alive at the worst moment of a call
    peak_after: int
    deviation: float  # of the whole model from `plan.apply`, relative to its largest output
    choices: tuple[Choice, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]  # what the method says about its plan

    @property
    def speed_up(self) -> float:
        """Milliseconds before over milliseconds after."""
        return self.ms_before / self.ms_after

    def to_json(self) -> dict[str, Any]:
        """Everything as plain JSON values."""
        return {**asdict(self), "speed_up": self.speed_up}

    def __rich__(self) -> Group:
        kept = {c.why: c.path for c in self.choices if c.runs == "dense"}
        reasons = (f"dense, as {path}: {why}" for why, path in kept.items())
        warnings = (f"warning: {warning}" for warning in self.warnings)
        lines = (*reasons, *self.notes, *warnings)
        return Group(_totals(self), _choices(self), *map(Text, lines))


def macs(model: nn.Module, example: Input, decisions: Mapping[str, Decision]) -> int:
    """Multiply-accumulates of one call with weights that are not zero.

    >>> import torch
    >>> macs(nn.Sequential(nn.Linear(3, 5)), torch.ones(2, 3), {})
    30
    """
    total = 0
    with _counting(model, decisions) as counts, evaluating(model):
        call(model, example)
        total = sum(counts)
    return total


def state_bytes(model: nn.Module) -> int:
    """Bytes of all parameters and saved buffers; what is shared counts once."""
    tensors = model.state_dict(keep_vars=True).values()
    unique = {id(t): t for t in tensors if isinstance(t, Tensor)}
    return sum(t.numel() * t.element_size() for t in unique.values())


def describe(example: Input) -> str:
    """Dtype and shape of an input, in words.

    >>> import torch
    >>> describe({"ids": torch.zeros(1, 4, dtype=torch.int64)})
    'ids int64 (1, 4)'
    """
    if isinstance(example, Tensor):
        return f"{str(example.dtype).removeprefix('torch.')} {tuple(example.shape)}"
    if isinstance(example, Mapping):
        return ", ".join(f"{name} {describe(value)}" for name, value in example.items())
    if isinstance(example, tuple | list):
        return ", ".join(describe(value) for value in example)
    return repr(example)


@contextmanager
def _counting(model: nn.Module, decisions: Mapping[str, Decision]) -> Iterator[list[int]]:
    counts: list[int] = []
    handles = [
        module.register_forward_hook(_counter(module, decisions.get(path, Decision()), counts))
        for path, module in model.named_modules()
        if isinstance(module, DENSE_LAYERS + TRANSPOSED_LAYERS)
    ]
    try:
        yield counts
    finally:
        for handle in handles:
            handle.remove()


def _counter(module: Any, decision: Decision, counts: list[int]) -> Callable[..., None]:
    weights = module.weight.numel() if decision.keep is None else int(decision.keep.sum())
    channels = module.weight.shape[0]
    transposed = isinstance(module, TRANSPOSED_LAYERS)

    def count(_: nn.Module, args: tuple[Any, ...], result: Any) -> None:
        tensor = args[0] if transposed else output_of(result)
        counts.append(prod(tensor.shape) // channels * weights)

    return count


def _totals(report: Report) -> Table:
    table = Table(title=f"{report.method} on {report.example}, {report.machine}")
    for column in ("", "before", "after", "ratio"):
        table.add_column(column, justify="left" if not column else "right")
    rows = (
        ("bytes on disk", report.bytes_before, report.bytes_after, "{:,.0f}"),
        ("bytes in memory", report.memory_before, report.memory_after, "{:,.0f}"),
        ("peak bytes in memory", report.peak_before, report.peak_after, "{:,.0f}"),
        ("MACs", report.macs_before, report.macs_after, "{:,.0f}"),
        ("milliseconds", report.ms_before, report.ms_after, "{:.3f}"),
    )
    for name, before, after, form in rows:
        ratio = f"{before / after:.2f}x" if after else "-"
        table.add_row(name, form.format(before), form.format(after), ratio)
    return table


def _choices(report: Report) -> Table:
    table = Table(title=f"each layer ({report.backend} kernels)")
    for column in ("module", "decision", "runs", "dense ms", "native ms", "deviation"):
        table.add_column(column, justify="left" if column in ("module", "decision") else "right")
    for c in report.choices:
        times = ("-" if t is None else f"{t:.3f}" for t in (c.ms_dense, c.ms_native))
        deviation = f"{c.deviation:.0e}" if c.deviation else "-"
        table.add_row(c.path, c.decision, c.runs, *times, deviation)
    return table
