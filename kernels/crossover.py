"""Will a compressed form of this layer be faster here, and from where on? Asked before compressing.

Each kernel folder may hold a `candidates.py` whose `candidates()` names the forms it can give a
dense layer: a native module is made of random weights of that shape and timed in turn with the
dense layer in float32. Where the verdict differs between two measured points of an axis (rows of
the input, or sparsity), the points between are bisected until neighbours of the grid are left.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from octavo.errors import InputError
from octavo.kernels.timing import Call, Clock, Ratio, ratio

FASTER = 1.05  # below this a difference is not told from noise
ROUNDS, SAMPLE_MS = 5, 2.0
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
IMAGES = (1, 2, 4, 8)
SPARSITIES = (*(round(0.05 * i, 2) for i in range(2, 20)), 0.98)

Make = Callable[[Any, float], nn.Module]
Watch = Callable[[str], None]
RatioAt = Callable[[float], Ratio]
Pair = Callable[[nn.Module, Tensor], Ratio]  # (native module, input) beside the dense layer


@dataclass(frozen=True)
class Candidate:
    """A compressed form of a layer, and how it is made of (dense layer, sparsity)."""

    name: str
    kernel: str
    makes: Mapping[type[nn.Module], Make]
    sparsities: tuple[float, ...] = (0.0,)  # several: any sparsity can be asked for


@dataclass(frozen=True)
class Crossing:
    """Where a form is faster along one axis, by the points that were measured."""

    axis: str  # "rows", "images" or "sparsity"
    points: tuple[tuple[float, float], ...]  # (place, times as fast as dense), in order
    faster: tuple[tuple[float, float], ...]  # first and last point of each stretch that is faster

    def __str__(self) -> str:
        ends = (self.points[0][0], self.points[-1][0])
        if self.faster and self.faster != (ends,):
            return " and ".join(map(self._stretch, self.faster))
        word = "everywhere" if self.faster else "nowhere"
        return f"{word} from {self._say(ends[0])} to {self._say(ends[1])}"

    def _stretch(self, ends: tuple[float, float]) -> str:
        first, last = ends
        if last == self.points[-1][0]:
            return f"from {self._say(first)} on"
        if first == self.points[0][0]:
            return f"up to {self._say(last)}"
        return f"from {self._say(first)} to {self._say(last)}"

    def _say(self, place: float) -> str:
        if self.axis == "sparsity":
            return f"{place:.0%} zeros"
        return f"{place:g} {self.axis if place != 1 else self.axis[:-1]}"


@dataclass(frozen=True)
class Answer:
    """One form of one layer beside the dense layer, medians of interleaved rounds."""

    form: str
    kernel: str
    sparsity: float
    ms: float
    dense_ms: float
    ratio: float  # times as fast as dense
    bytes: int
    faster: bool
    crossing: Crossing


@dataclass(frozen=True)
class Refusal:
    """A form that no kernel gives this layer, and why."""

    form: str
    kernel: str
    why: str


def candidates() -> tuple[Candidate, ...]:
    """The forms of every candidates.py beside a kernel, by folder."""
    homes = sorted(Path(__file__).parent.glob("*/candidates.py"))
    found = (import_module(f"octavo.kernels.{home.parent.name}.candidates") for home in homes)
    return tuple(candidate for module in found for candidate in module.candidates())


@contextmanager
def threads(count: int) -> Iterator[Clock]:
    """Give torch and the kernels `count` threads; the clock to time them by; then put back.

    One thread is timed by its own processor time, so that a busy machine changes little; several
    are timed by the wall, and want a quiet machine.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield time.thread_time if count == 1 else time.perf_counter
    finally:
        torch.set_num_threads(before)


def linear(n: int, k: int) -> nn.Linear:
    """A dense layer (N, K) of random weights, as a question about a shape needs it.

    Raises:
        InputError: a side below 1.
    """
    if n < 1 or k < 1:
        raise InputError(f"crossover: a layer {n}x{k}; both sides must be at least 1")
    layer = nn.Linear(k, n, bias=False)
    with torch.no_grad():
        layer.weight.normal_(generator=torch.Generator().manual_seed(0))
    return layer.requires_grad_(False)


def shape(text: str) -> tuple[int, int]:
    """`OUTxIN` as two numbers.

    >>> shape("768x3072")
    (768, 3072)
    """
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part.isascii() and part.isdigit() for part in parts):
        raise InputError(f"crossover: {text!r} is no shape; write OUTxIN, as in 768x3072")
    return int(parts[0]), int(parts[1])


def answer(
    candidate: Candidate,
    layer: nn.Module,
    x: Tensor,
    clock: Clock = time.perf_counter,
    watch: Watch | None = None,
) -> tuple[Answer, ...] | Refusal:
    """Time one form of `layer` at x (rows, K) or (images, C, H, W), at each sparsity it names."""
    make = candidate.makes.get(type(layer))
    if make is None:
        return Refusal(candidate.name, candidate.kernel, f"no kernel for {type(layer).__name__}")

    def beside(native: nn.Module, given: Tensor) -> Ratio:
        calls: tuple[Call, Call] = (lambda: native(given), lambda: layer(given))
        return ratio(*calls, rounds=ROUNDS, sample_ms=SAMPLE_MS, clock=clock)

    try:
        with torch.inference_mode():
            tell = watch or (lambda text: None)
            return tuple(_answers(candidate, partial(make, layer), x, beside, tell))
    except InputError as error:  # a shape or group that this kernel does not take
        return Refusal(candidate.name, candidate.kernel, str(error))


def _answers(
    candidate: Candidate,
    made: Callable[[float], nn.Module],
    x: Tensor,
    beside: Pair,
    tell: Watch,
) -> Iterator[Answer]:
    sizes: dict[float, int] = {}

    def at_sparsity(sparsity: float) -> Ratio:
        tell(f"{candidate.name} {sparsity:.0%}" if sparsity else candidate.name)
        native = made(sparsity)
        sizes[sparsity] = _bytes(native)
        return beside(native, x)

    known = {sparsity: at_sparsity(sparsity) for sparsity in candidate.sparsities}
    if len(candidate.sparsities) > 1:
        where = bisect("sparsity", SPARSITIES, known, at_sparsity)
    else:
        native = made(candidate.sparsities[0])
        where = _along_rows(candidate.name, partial(beside, native), x, known, tell)
    for sparsity, timed in known.items():
        yield Answer(
            form=f"{candidate.name} {sparsity:.0%}" if len(known) > 1 else candidate.name,
            kernel=candidate.kernel,
            sparsity=sparsity,
            ms=timed.first_ms,
            dense_ms=timed.second_ms,
            ratio=timed.ratio,
            bytes=sizes[sparsity],
            faster=timed.ratio >= FASTER,
            crossing=where,
        )


def _along_rows(
    name: str,
    beside: Callable[[Tensor], Ratio],
    x: Tensor,
    known: Mapping[float, Ratio],
    tell: Watch,
) -> Crossing:
    """Where one fixed form is faster, by the number of rows (of images for a convolution)."""
    axis, grid = ("images", IMAGES) if x.ndim == 4 else ("rows", ROWS)

    def at_rows(rows: float) -> Ratio:
        tell(f"{name}, {rows:g} {axis}")
        return beside(inputs((int(rows), *x.shape[1:])))

    (here,) = known.values()
    return bisect(axis, grid, {float(len(x)): here}, at_rows)


def bisect(axis: str, grid: Sequence[float], known: Mapping[float, Ratio], at: RatioAt) -> Crossing:
    """Measure both ends of `grid`, then halve every gap whose two ends differ in verdict.

    >>> times = lambda place: Ratio(place / 10, 1.0, 1.0)
    >>> str(bisect("rows", (1, 2, 4, 8, 16, 32), {4.0: times(4)}, times))
    'from 16 rows on'
    """
    ratios = {float(place): timed.ratio for place, timed in known.items()}
    for end in (float(grid[0]), float(grid[-1])):
        if end not in ratios:
            ratios[end] = at(end).ratio
    while (place := _between(grid, ratios)) is not None:
        ratios[place] = at(place).ratio
    points = tuple(sorted(ratios.items()))
    runs = [list(run) for faster, run in groupby(points, lambda p: p[1] >= FASTER) if faster]
    return Crossing(axis, points, tuple((run[0][0], run[-1][0]) for run in runs))


def _between(grid: Sequence[float], ratios: Mapping[float, float]) -> float | None:
    """The middle of the grid's places in the first gap over which the verdict changes."""
    for low, high in pairwise(sorted(ratios)):
        inside = [place for place in grid if low < place < high]
        if inside and (ratios[low] >= FASTER) != (ratios[high] >= FASTER):
            return float(inside[len(inside) // 2])
    return None


def inputs(size: tuple[int, ...]) -> Tensor:
    """Random activations of a shape, the same each time."""
    return torch.randn(size, generator=torch.Generator().manual_seed(1))


def random_keep(weight: Tensor, sparsity: float) -> Tensor:
    """A random pattern, bool like `weight`, of which a share `sparsity` is zero."""
    return torch.rand(weight.shape, generator=torch.Generator().manual_seed(2)) >= sparsity


def _bytes(module: Any) -> int:
    """Bytes on disk of a native module: codes or values, scales, indices, bias."""
    return int(module.bytes_on_disk())
