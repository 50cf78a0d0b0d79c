"""Milliseconds that can be compared: two calls timed in turn, never one after the other."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

Call = Callable[[], object]
Clock = Callable[[], float]


class Ratio(NamedTuple):
    """How many times faster the first call is: median over rounds of (second / first)."""

    ratio: float
    first_ms: float
    second_ms: float


def _once_ms(call: Call, repeats: int, clock: Clock) -> float:
    """Milliseconds of one call, by the clock over `repeats` of them."""
    start = clock()
    for _ in range(repeats):
        call()
    return (clock() - start) * 1e3 / repeats


def _repeats(call: Call, sample_ms: float, clock: Clock) -> int:
    """How many calls fill a sample of `sample_ms`."""
    call()
    return max(1, int(sample_ms / max(_once_ms(call, 1, clock), 1e-4)))


def median_ms(
    call: Call, *, rounds: int = 9, sample_ms: float = 4.0, clock: Clock = time.perf_counter
) -> float:
    """Median milliseconds of a call over `rounds` samples of about `sample_ms` each.

    >>> median_ms(lambda: None) >= 0
    True
    """
    repeats = _repeats(call, sample_ms, clock)
    return statistics.median(_once_ms(call, repeats, clock) for _ in range(rounds))


def ratio(
    first: Call,
    second: Call,
    *,
    rounds: int = 9,
    sample_ms: float = 4.0,
    clock: Clock = time.perf_counter,
) -> Ratio:
    """Time two calls in interleaved rounds, so that a busy spell falls on both.

    On one thread `clock=time.thread_time` leaves out what other processes take.

    >>> ratio(lambda: sum(range(10)), lambda: sum(range(10_000))).ratio > 1
    True
    """
    counts = [_repeats(call, sample_ms, clock) for call in (first, second)]
    pairs = [
        (_once_ms(first, counts[0], clock), _once_ms(second, counts[1], clock))
        for _ in range(rounds)
    ]
    return Ratio(
        statistics.median(b / a for a, b in pairs),
        statistics.median(a for a, _ in pairs),
        statistics.median(b for _, b in pairs),
    )
