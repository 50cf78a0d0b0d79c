"""Each kernel against torch's own path for the same work: one core, same process, in turn.

A row's bar is the least ratio (torch's milliseconds / ours, median over interleaved rounds) that
its first peer must show. Time is that of the thread, so that most of what a busy machine takes is
left out. Ratios hold on the machine that measured them and nowhere else.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import torch

from octavo.kernels import backend
from octavo.kernels.timing import Call, ratio

BAR = 1.0  # faster than torch's own path for the same thing
Row = dict[str, Any]


class Case(NamedTuple):
    """One measurement: our call, the peers' calls (the barred one first), its operations."""

    kernel: str
    shape: str
    operations: float  # on what is kept: 2 a multiply-add
    ours: Call
    peers: dict[str, Call]
    bar: float = BAR
    moved: float = 0.0  # bytes read and written, where memory is the limit


def measure(quick: bool) -> list[Row]:
    """Time every kernel and its peers on one thread; quick takes the small shapes only."""
    with _one_thread(), torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls its own sparse and quantized tensors beta
        return [_row(case, rounds=5 if quick else 9) for case in _cases(quick)]


def _row(case: Case, rounds: int) -> Row:
    """Measure one case against each peer in interleaved rounds."""
    timed = {
        name: ratio(case.ours, peer, rounds=rounds, clock=time.thread_time)
        for name, peer in case.peers.items()
    }
    first = next(iter(timed.values()))
    ours_ms = min(t.first_ms for t in timed.values())
    return {
        "kernel": case.kernel,
        "shape": case.shape,
        "backend": backend(),
        "ms": round(ours_ms, 5),
        "gops": round(case.operations / ours_ms / 1e6, 2),
        "gb_per_s": round(case.moved / ours_ms / 1e6, 2) if case.moved else None,
        "share_of_limit": None,
        "peers": {name: round(t.ratio, 3) for name, t in timed.items()},
        "bar": case.bar,
        "passed": first.ratio >= case.bar,
    }


def _cases(quick: bool) -> Iterator[Case]:
    """The cases of every bars.py, each made when asked for, so that only one is held."""
    for home in sorted(Path(__file__).parent.glob("*/bars.py")):
        yield from import_module(f"octavo.kernels.{home.parent.name}.bars").cases(quick)


def seeded(seed: int = 0) -> torch.Generator:
    """A generator of its own for each tensor of a case."""
    return torch.Generator().manual_seed(seed)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Run torch and the kernels on one thread, then give the others back."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
