"""Each kernel against its peers and the machine's limits: one core, same process, in turn.

Time is that of the thread, so that most of what a busy machine takes is left out; where a case
takes two threads it is that of the wall. Ratios are medians over interleaved rounds. They hold on
the machine that measured them and nowhere else.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import torch

from octavo.kernels import backend, roofline, runtime
from octavo.kernels.bars import Bar, Case, bar_of
from octavo.kernels.roofline import COMPUTE, MEMORY, Probes
from octavo.kernels.timing import median_ms, ratio

Row = dict[str, Any]
Watch = Callable[[str], None]


class Speed(NamedTuple):
    """What a run found: the machine's limits, a row a case, curves that may cross, a kernel each.

    `seconds` is the wall time of each kernel's cases.
    """

    probes: Probes
    rows: list[Row]
    crossovers: dict[str, list[Row]]
    seconds: dict[str, float]


def kernels() -> list[str]:
    """The kernels that have cases, by name."""
    return sorted(home.parent.name for home in Path(__file__).parent.glob("*/bars.py"))


def measure(quick: bool, names: Sequence[str] | None = None, watch: Watch | None = None) -> Speed:
    """Time kernels and their peers; quick takes few shapes. `watch` hears each name, when done."""
    _let_malloc_keep()
    found = Speed(roofline.probes(), [], {}, {})
    with one_thread(), torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls its own sparse and quantized tensors beta
        for name in kernels() if names is None else names:
            start = time.perf_counter()
            home = import_module(f"octavo.kernels.{name}.bars")
            for case in home.cases(quick):  # each made when asked for: only one is held
                found.rows.append(_row(case, found.probes, rounds=5 if quick else 9))
            curves = getattr(home, "crossovers", None)
            found.crossovers[name] = list(curves(quick)) if curves is not None else []
            found.seconds[name] = round(time.perf_counter() - start, 3)
            if watch is not None:
                watch(name)
    return found


def _let_malloc_keep() -> None:
    """Free one large tensor: malloc then keeps what is freed up to its size, of ours and of peers.

    Any process that has run a model is in this state; in a fresh one each answer's pages are new,
    and their faults take up to ten times as long as packing a million codes.
    """
    torch.zeros(31 << 20, dtype=torch.uint8)


def cases(quick: bool) -> Iterator[Case]:
    """The cases of every kernel, each made when asked for, so that only one is held."""
    for name in kernels():
        yield from import_module(f"octavo.kernels.{name}.bars").cases(quick)


def _row(case: Case, probes: Probes, rounds: int) -> Row:
    """Measure one case against each peer in interleaved rounds, and hold it against its bar."""
    clock = time.thread_time if case.threads == 1 else time.perf_counter
    with one_thread(), case.beside(), _forced(case.on):
        timed = {
            name: ratio(case.ours, peer, rounds=rounds, clock=clock)
            for name, peer in case.peers.items()
        }
        each_ms = [t.first_ms for t in timed.values()]
        ms = min(each_ms or [median_ms(case.ours, rounds=rounds, clock=clock)])
    ratios = {name: round(t.ratio, 3) for name, t in timed.items()}
    return judged(case, ms, ratios, share_of_limit(case, ms, probes), case.on or backend())


def judged(
    case: Case, ms: float, ratios: dict[str, float], limit: tuple[float | None, str | None],
    backend: str,
) -> Row:  # fmt: skip
    """The row of a case, held against its bar; limit is the share reached and the probe."""
    row: Row = {
        "kernel": case.kernel,
        "shape": case.shape,
        "state": case.state,
        "threads": case.threads,
        "backend": backend,
        "ms": round(ms, 6),
        "gops": round(case.operations / ms / 1e6, 2),
        "gb_per_s": round(case.moved / ms / 1e6, 2) if case.moved else None,
        "intensity": round(case.operations / case.moved, 3) if case.moved else None,
        "limit": limit[1],
        "share_of_limit": limit[0],
        "peers": ratios,
    }
    verdict = _verdict(bar_of(case), row)
    barred = [each["of"] for each in verdict["asked"] if each["of"] in ratios]
    first = {name: ratios[name] for name in barred}  # the hardest to beat
    return row | verdict | {"peers": first | ratios, "bar_id": case.bar_id}


def share_of_limit(case: Case, ms: float, probes: Probes) -> tuple[float | None, str | None]:
    """The nearest of the case's limits: the share reached, and the probe's name."""
    compute, moved = (case.units or case.operations) / ms / 1e6, case.moved / ms / 1e6
    reached = [(compute, COMPUTE[name]) for name in case.limits if name in COMPUTE]
    reached += [(moved, MEMORY[name]) for name in case.limits if name in MEMORY]
    shares = [(round(rate / probes[probe], 3), probe) for rate, probe in reached if probe in probes]
    return max(shares, default=(None, None))


def _verdict(bar: Bar, row: Row) -> Row:
    """Whether a row reaches its bar, and what was asked of it. `bar` is the hardest peer's ratio.

    `passed` is None where nothing was asked, as on another backend or without the peers.
    """
    here = bar.backend in (None, row["backend"])
    ratios = [_asked(name, least, row["peers"].get(name)) for name, least in bar.peers.items()]
    asked = sorted((each for each in ratios if each["reached"] is not None), key=_margin)
    absent = [each["of"] for each in ratios if each["reached"] is None]
    rates = {"share_of_limit": bar.share, "gops": bar.gops, "gb_per_s": bar.gb_per_s}
    asked += [
        _asked(name, least, row[name])
        for name, least in rates.items()
        if least is not None and row[name] is not None
    ]
    if bar.microseconds is not None:
        asked.append(_asked("calls/us", round(1 / bar.microseconds, 3), round(1e-3 / row["ms"], 3)))
    asked = asked if here else []
    return {
        "bar": next((each["least"] for each in asked if each["of"] in bar.peers), None),
        "asked": asked,
        "absent": absent,  # peers that the bar names and that are not installed
        "passed": all(_margin(each) >= 1 for each in asked) if asked else None,
        "reason": _reason(bar, asked) if here else f"only on {bar.backend}",
    }


@contextmanager
def _forced(name: str | None) -> Iterator[None]:
    """Run the kernels on another backend meanwhile."""
    if name is not None:
        runtime.native.use(name)
    try:
        yield
    finally:
        if name is not None:
            runtime.native.use(backend())


def _asked(name: str, least: float, reached: float | None) -> Row:
    return {"of": name, "least": least, "reached": reached}


def _margin(asked: Row) -> float:
    """How many times what was asked was reached."""
    return float(asked["reached"] / asked["least"])


def _reason(bar: Bar, asked: list[Row]) -> str | None:
    """Why a bar is missed: what is written in bars.toml, and what was reached of what."""
    short = [
        f"{each['of']} {each['reached']:.3g} of {each['least']:.3g}"
        for each in asked
        if _margin(each) < 1
    ]
    return "; ".join([*([bar.reason] if bar.reason else []), *short]) if short else None


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch and the kernels on one thread, then give the others back."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
