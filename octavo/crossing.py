"""What compressing would bring on this machine: the layers that are asked about, and the answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text
from torch import Tensor, nn

from octavo.errors import InputError
from octavo.kernels import backend, crossover
from octavo.kernels.crossover import Answer, Refusal
from octavo.kernels.timing import Clock
from octavo.reference_impls import machine
from octavo.reference_impls.inputs import Input, capture, example_for

LAYERS = (nn.Linear, nn.Conv2d)
Document = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Question:
    """A dense layer, an input that reaches it, and where it stands in the reader's model."""

    layer: nn.Module
    x: Tensor  # (rows, K) or (images, C, H, W)
    paths: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The layer in words: `768x3072, 16 rows`."""
        weight: Any = self.layer.weight
        out, *rest = weight.shape
        if self.x.ndim == 4:
            sides = "x".join(map(str, self.x.shape[2:]))
            window = "x".join(map(str, rest[1:]))
            return f"{out}x{rest[0]} {window} convolution, {len(self.x)} x {sides} pixels"
        return f"{out}x{rest[0]}, {len(self.x)} row{'s' if len(self.x) > 1 else ''}"


def of_shape(text: str, rows: int) -> list[Question]:
    """The question about one linear layer, `OUTxIN`, at `rows` rows of input."""
    n, k = crossover.shape(text)
    return [Question(crossover.linear(n, k), crossover.inputs((_positive(rows), k)))]


def _positive(rows: int) -> int:
    if rows < 1:
        raise InputError(f"crossover: --rows {rows}; at least 1")
    return rows


def of_model(model: nn.Module, rows: int | None = None, example: Input = None) -> list[Question]:
    """A question for each different linear layer or convolution that an example runs through.

    `rows` asks about another number of rows (images for a convolution) than the example brings.

    Raises:
        InputError: none is reached, or no example can be guessed.
    """
    paths = [path for path, module in model.named_modules() if type(module) in LAYERS]
    reached = capture(model, paths, [example_for(model) if example is None else example])
    alike: dict[tuple[Any, ...], list[str]] = {}
    first: dict[tuple[Any, ...], Tensor] = {}
    for path in paths:
        if not reached[path]:
            continue
        layer, x = model.get_submodule(path), _rows(reached[path][0].input)
        x = x if rows is None else crossover.inputs((_positive(rows), *x.shape[1:]))
        key = (layer.extra_repr(), tuple(x.shape))
        alike.setdefault(key, []).append(path)
        first.setdefault(key, x)
    if not alike:
        raise InputError(f"{type(model).__name__} calls no Linear or Conv2d; give a shape OUTxIN")
    return [
        Question(model.get_submodule(places[0]).requires_grad_(False), first[key], tuple(places))
        for key, places in alike.items()
    ]


def _rows(x: Tensor) -> Tensor:
    """Activations as rows (M, K); images stay images."""
    return x.contiguous() if x.ndim == 4 else x.reshape(-1, x.shape[-1])


def steps(questions: list[Question]) -> int:
    """How many answers `document` waits for, for a progress bar."""
    return len(questions) * len(crossover.candidates())


def document(
    questions: list[Question], threads: int, watch: Callable[[str], None], done: Callable[[], None]
) -> Document:
    """Every form of every layer on `threads` threads: what `--json` prints."""
    if threads < 1:
        raise InputError(f"crossover: --threads {threads}; at least 1")
    with crossover.threads(threads) as clock:
        layers = [_layer(question, clock, watch, done) for question in questions]
    facts = {"machine": machine.processor(), "backend": backend(), "threads": threads}
    return {**facts, "faster_means": crossover.FASTER, "layers": layers}


def _layer(
    question: Question, clock: Clock, watch: Callable[[str], None], done: Callable[[], None]
) -> Document:
    found = list(_forms(question, clock, watch, done))
    rows = [_row(each) for each in found if isinstance(each, Answer)]
    weight: Any = question.layer.weight
    return {
        "layer": question.title,
        "paths": list(question.paths),
        "input": list(question.x.shape),
        "dense_ms": min((row["dense_ms"] for row in rows), default=None),
        "dense_bytes": weight.numel() * weight.element_size(),
        "answers": rows,
        "refused": [asdict(each) for each in found if isinstance(each, Refusal)],
    }


def _forms(
    question: Question, clock: Clock, watch: Callable[[str], None], done: Callable[[], None]
) -> Iterator[Answer | Refusal]:
    for candidate in crossover.candidates():
        found = crossover.answer(candidate, question.layer, question.x, clock, watch)
        yield from found if isinstance(found, tuple) else (found,)
        done()


def _row(answer: Answer) -> Document:
    verdict = "faster here" if answer.faster else "not faster here"
    times = {name: float(f"{getattr(answer, name):.4g}") for name in ("ms", "dense_ms", "ratio")}
    where = asdict(answer.crossing)
    where["points"] = [(place, float(f"{ratio:.4g}")) for place, ratio in answer.crossing.points]
    said = {"verdict": verdict, "faster_at": str(answer.crossing)}
    return {**asdict(answer), **times, "crossing": where, **said}


def tables(known: Document) -> Group:
    """The answers for people, a table a layer."""
    return Group(*(_table(layer, known) for layer in known["layers"]))


def _table(layer: Document, known: Document) -> Group:
    view = Table(title=f"{layer['layer']}\n{_where(known)}")
    for column in ("form", "ms", "times as fast", "MB", "of dense", ""):
        view.add_column(column, justify="left" if column in ("form", "") else "right")
    for row in layer["answers"]:
        verdict = Text(row["verdict"], style="green" if row["faster"] else "red")
        share = f"{row['bytes'] / layer['dense_bytes']:.1%}"
        view.add_row(
            row["form"],
            f"{row['ms']:.4g}",
            f"{row['ratio']:.2f}",
            _mb(row["bytes"]),
            share,
            verdict,
        )
    return Group(view, *map(Text, _lines(layer)))


def _lines(layer: Document) -> Iterator[str]:
    """What stands under a table: the dense layer, where each form is faster, what has no kernel."""
    if layer["answers"]:
        yield f"dense float32: {layer['dense_ms']:.4g} ms, {_mb(layer['dense_bytes'])} MB"
    if layer["paths"]:
        yield f"at {', '.join(layer['paths'])}"
    for form, row in {row["form"].split()[0]: row for row in layer["answers"]}.items():
        yield f"{form} is faster {row['faster_at']}"
    for each in layer["refused"]:
        yield f"{each['form']}: {each['why']}"


def _where(known: Document) -> str:
    """Kernels, machine and threads, in words."""
    count = known["threads"]
    threads = f"{count} thread{'s' if count > 1 else ''}"
    return f"{known['backend']} kernels, {known['machine']}, {threads}"


def _mb(size: int) -> str:
    return f"{size / 1e6:.3f}" if size < 1e8 else f"{size / 1e6:.0f}"
