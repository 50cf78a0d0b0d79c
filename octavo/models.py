"""Whole models, materialised in every form and run end to end beside torch's own paths.

Weights are random and nothing is trained, so a deviation says how far a form moves the output of
this network, never what it costs in accuracy. One thread, timed by its own processor time, each
model in turn with the dense one.
"""

from __future__ import annotations

import copy
import io
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Group
from rich.table import Table
from torch import Tensor, nn

from octavo import bench, catalog
from octavo.kernels import backend, crossover
from octavo.kernels.timing import Clock, ratio
from octavo.reference_impls import forms, machine
from octavo.reference_impls.choice import deviation_of
from octavo.reference_impls.plan import Prefer
from octavo.reference_impls.report import describe, state_bytes
from octavo.reference_impls.tasks import nets

Row = dict[str, Any]
Watch = Callable[[str], None]
SAMPLE_MS = 20.0
PREFERENCES: tuple[Prefer, ...] = ("native", "fastest")


@dataclass(frozen=True)
class Subject:
    """A model to be measured: how it is built (seed torch first), and the shape of its input."""

    name: str
    build: Callable[[], nn.Module]
    shape: tuple[int, ...]


SUBJECTS = (
    Subject("transformer encoder, 6 layers of 384", nets.encoder, (1, 128, 384)),
    Subject("ResNet-18 for 32 x 32 images", partial(nets.resnet18, 3, 10), (1, 3, 32, 32)),
)
QUICK = (
    Subject("transformer encoder, 2 layers of 128", partial(nets.encoder, 128, 2, 4), (1, 32, 128)),
    Subject("ResNet-18, 16 wide, 16 x 16", partial(nets.resnet18, 3, 10, 16), (1, 3, 16, 16)),
)


@dataclass(frozen=True, eq=False)
class _Dense:
    """The dense model, its input and output, and how others are timed beside it."""

    name: str
    model: nn.Module
    x: Tensor
    expected: Tensor
    clock: Clock
    rounds: int


def steps(quick: bool) -> int:
    """How many rows `measure` makes, for a progress bar."""
    return len(QUICK if quick else SUBJECTS) * (3 + len(forms.FORMS) * len(PREFERENCES))


def record(document: Row, root: Path = catalog.ROOT) -> None:
    """Append a run to `catalog/results/models.jsonl`."""
    facts = bench.provenance("models", Path(forms.__file__).resolve().parent)
    line = {**facts, "cpu": machine.processor(), **document}
    bench.append(root / "results" / "models.jsonl", [line])


def measure(quick: bool, watch: Watch | None = None) -> Row:
    """Every model in every form: the document that `--json` prints and the ledger keeps."""
    rows: list[Row] = []
    start = time.perf_counter()
    with crossover.threads(1) as clock, torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls its own quantized tensors deprecated
        for subject in QUICK if quick else SUBJECTS:
            for row in _rows(_dense(subject, clock, 3 if quick else 9)):
                rows.append(row)
                if watch is not None:
                    watch(f"{row['model']}: {row['form']}")
    seconds = round(time.perf_counter() - start, 3)
    return {"backend": backend(), "threads": 1, "quick": quick, "seconds": seconds, "rows": rows}


def _dense(subject: Subject, clock: Clock, rounds: int) -> _Dense:
    torch.manual_seed(0)
    model = subject.build().eval().requires_grad_(False)
    x = torch.randn(subject.shape)
    return _Dense(subject.name, model, x, model(x), clock, rounds)


def _rows(dense: _Dense) -> Iterator[Row]:
    """Torch's own paths, then every form, all layers native and the faster of the two."""
    yield _row(dense, "dense float32", dense.model, state_bytes(dense.model))
    half = copy.deepcopy(dense.model).bfloat16()
    yield _row(dense, "torch bfloat16", half, state_bytes(half), dense.x.bfloat16())
    eight = torch.ao.quantization.quantize_dynamic(dense.model, {nn.Linear}, dtype=torch.qint8)  # type: ignore[no-untyped-call]
    yield _row(dense, "torch int8 dynamic", eight, _saved_bytes(eight))
    for form in forms.FORMS:
        plan = forms.plan(dense.model, form)
        for prefer in PREFERENCES:
            made: Any = plan.materialise(dense.model, dense.x, prefer=prefer)
            report = made.report
            runs = Counter(choice.runs for choice in report.choices)
            yield _row(dense, form, made, report.bytes_after) | {
                "prefer": prefer,
                "deviation_simulated": report.deviation,
                "layers": dict(sorted(runs.items())),
            }


def _row(dense: _Dense, form: str, model: nn.Module, size: int, x: Tensor | None = None) -> Row:
    """Milliseconds of a model beside the dense one, and how far its output is from the dense."""
    given = dense.x if x is None else x
    timed = ratio(
        lambda: model(given),
        lambda: dense.model(dense.x),
        rounds=dense.rounds,
        sample_ms=SAMPLE_MS,
        clock=dense.clock,
    )
    return {
        "model": dense.name,
        "input": describe(dense.x),
        "form": form,
        "prefer": None,
        "ms": round(timed.first_ms, 4),
        "dense_ms": round(timed.second_ms, 4),
        "ratio": round(timed.ratio, 3),
        "bytes": size,
        "deviation_simulated": None,
        "deviation_dense": deviation_of(model(given).float(), dense.expected),
        "layers": {},
    }


def _saved_bytes(model: nn.Module) -> int:
    """Bytes of a state dictionary that torch saves: for modules that hide their weights in it."""
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    return file.tell()


def tables(document: Row) -> Group:
    """The rows for people, a table a model."""
    names = dict.fromkeys(row["model"] for row in document["rows"])
    return Group(*(_table(name, document) for name in names))


def _table(name: str, document: Row) -> Table:
    rows = [row for row in document["rows"] if row["model"] == name]
    view = Table(title=f"{name}, {rows[0]['input']}, {document['backend']} kernels, one thread")
    for column in ("form", "layers", "ms", "times as fast", "MB", "of plan", "of dense"):
        view.add_column(column, justify="left" if column in ("form", "layers") else "right")
    for row in rows:
        plan = row["deviation_simulated"]
        view.add_row(
            row["form"], row["prefer"] or "", f"{row['ms']:.3f}", f"{row['ratio']:.2f}",
            f"{row['bytes'] / 1e6:.2f}", "" if plan is None else f"{plan:.0e}",
            f"{row['deviation_dense']:.0e}",
        )  # fmt: skip
    return view
