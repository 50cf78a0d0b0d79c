"""Milliseconds that can be compared: two calls timed in turn, never one after the other."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

Call = Callable[[], object]


class Ratio(NamedTuple):
    """How many times faster the first call is: median over rounds of (second / first)."""

    ratio: float
    first_ms: float
    second_ms: float


def _once_ms(call: Call, repeats: int) -> float:
    """Milliseconds of one call, by the clock over `repeats` of them."""
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - start) * 1e3 / repeats


def _repeats(call: Call, sample_ms: float) -> int:
    """How many calls fill a sample of `sample_ms`."""
    call()
    return max(1, int(sample_ms / max(_once_ms(call, 1), 1e-4)))


def median_ms(call: Call, *, rounds: int = 9, sample_ms: float = 4.0) -> float:
    """Median milliseconds of a call over `rounds` samples of about `sample_ms` each.

    >>> median_ms(lambda: None) >= 0
    True
    """
    repeats = _repeats(call, sample_ms)
    return statistics.median(_once_ms(call, repeats) for _ in range(rounds))


def ratio(first: Call, second: Call, *, rounds: int = 9, sample_ms: float = 4.0) -> Ratio:
    """Time two calls in interleaved rounds, so that a busy spell falls on both.

    >>> ratio(lambda: sum(range(10)), lambda: sum(range(10_000))).ratio > 1
    True
    """
    counts = _repeats(first, sample_ms), _repeats(second, sample_ms)
    pairs = [(_once_ms(first, counts[0]), _once_ms(second, counts[1])) for _ in range(rounds)]
    return Ratio(
        statistics.median(b / a for a, b in pairs),
        statistics.median(a for a, _ in pairs),
        statistics.median(b for _, b in pairs),
    )
