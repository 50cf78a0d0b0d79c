"""What each kernel is measured on, and what it must reach: cases beside the kernel, bars as data.

`kernels/<name>/bars.py` yields cases: our call, the peers' calls, the operations and the bytes.
`kernels/bars.toml` says what a case with a `bar_id` must reach: the least ratio to each peer
(peer's milliseconds / ours), the least share of the machine's limit, or a rate. A case without
one is only required not to be slower than its first peer.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from octavo.errors import InputError
from octavo.kernels import roofline
from octavo.kernels.timing import Call

BAR = 1.0  # faster than torch's own path for the same thing
STATES = ("warm", "cold")


class Case(NamedTuple):
    """One measurement: our call, the peers' calls, its operations, the limit it runs into.

    `limit` names one probe of octavo.kernels.roofline or several, as in "vnni" or ("vnni",
    "dram"). `units` counts in the unit of a compute probe, where that is not `operations`.
    A case on two threads is timed by the wall.
    """

    kernel: str
    shape: str
    operations: float  # on what is kept: 2 a multiply-add
    ours: Call
    peers: dict[str, Call]
    bar: float = BAR
    moved: float = 0.0  # bytes read and written
    bar_id: str | None = None
    limit: str | tuple[str, ...] = ()
    units: float = 0.0
    state: str = "warm"  # or cold: each call reads its weights from memory, see in_turn()
    threads: int = 1
    on: str | None = None  # the backend to force; None is the one in use
    kept: float = 1.0  # share of the dense operations, where a bar asks by it
    beside: Callable[[], AbstractContextManager[object]] = nullcontext  # runs meanwhile

    @property
    def limits(self) -> tuple[str, ...]:
        """The names of the probes."""
        return (self.limit,) if isinstance(self.limit, str) else self.limit


@dataclass(frozen=True)
class Bar:
    """What a case must reach: a line of bars.toml. Ratios are peer / ours, by the peer's name."""

    id: str
    kernel: str
    shapes: str
    state: str = "warm"
    peers: Mapping[str, float] = field(default_factory=dict)
    kept_peers: Mapping[str, float] = field(default_factory=dict)  # ratios times the share kept
    share: float | None = None  # of the limit
    gops: float | None = None
    gb_per_s: float | None = None
    microseconds: float | None = None  # at most
    backend: str | None = None  # only there
    tests: str | None = None  # held by these tests, not by a measurement
    reason: str | None = None  # why it is missed, where it is known to be


@cache
def bars() -> Mapping[str, Bar]:
    """Every bar of bars.toml, by id.

    >>> bars()["K16-float"].peers["unfold cdist"]
    20.0
    """
    text = (Path(__file__).parent / "bars.toml").read_text(encoding="utf-8")
    read = [_bar(given) for given in tomllib.loads(text)["bar"]]
    found = {bar.id: bar for bar in read}
    if len(found) < len(read):
        raise InputError("bars.toml: two bars have the same id")
    return found


def _bar(given: dict[str, Any]) -> Bar:
    """One bar. Raises InputError for a key that is not known, or a state that is neither."""
    unknown = given.keys() - {each.name for each in fields(Bar)}
    bar = None if unknown else Bar(**given)
    if bar is None or bar.state not in STATES:
        raise InputError(f"bars.toml: {given.get('id')}: {', '.join(unknown) or given['state']}")
    return bar


def bar_of(case: Case) -> Bar:
    """The bar of a case; one that has none must not be slower than its first peer."""
    if case.bar_id is None:
        first = next(iter(case.peers), None)
        return Bar("", case.kernel, case.shape, peers={first: case.bar} if first else {})
    if case.bar_id not in bars():
        raise InputError(f"{case.kernel} {case.shape}: no bar {case.bar_id!r} in bars.toml")
    bar = bars()[case.bar_id]
    by_share = {name: least / case.kept for name, least in bar.kept_peers.items()}
    return replace(bar, peers={**bar.peers, **by_share})


def seeded(seed: int = 0) -> torch.Generator:
    """A generator of its own for each tensor of a case."""
    return torch.Generator().manual_seed(seed)


def in_turn(calls: Iterable[Call]) -> Call:
    """One call that makes them one after the other, for copies that the caches do not hold.

    >>> call = in_turn([lambda: 1, lambda: 2])
    >>> call(), call(), call()
    (1, 2, 1)
    """
    following = itertools.cycle(list(calls))
    return lambda: next(following)()


def bytes_of(*held: Tensor | Iterable[object]) -> int:
    """Bytes of tensors, and of the tensors in packed weights.

    >>> bytes_of(torch.zeros(3), (torch.zeros(2), 7))
    20
    """
    tensors = itertools.chain.from_iterable([h] if isinstance(h, Tensor) else h for h in held)
    return sum(tensor.nbytes for tensor in tensors if isinstance(tensor, Tensor))


def copies_that_stay_cold(size: int) -> int:
    """How many copies of so many bytes, used in turn, the caches do not hold."""
    return -(-roofline.cold_bytes() // size)


def on_threads(threads: int, call: Call) -> Call:
    """The call with so many threads: they are set once for the calls of a sample."""

    def made() -> object:
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        return call()

    return made


def cores() -> int:
    """Cores that this process may use."""
    mine = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    return mine or os.cpu_count() or 1


@contextmanager
def spinning() -> Iterator[None]:
    """Another process keeps one core busy meanwhile."""
    child = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(child.pid, {max(os.sched_getaffinity(0))})
    try:
        yield
    finally:
        child.kill()
        child.wait()
