"""Curves of milliseconds that may cross: one kernel and its peers over a density or a length."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from math import exp, log
from typing import Any

from octavo.kernels.timing import Call, median_ms


def curve(
    title: str,
    x_label: str,
    xs: Sequence[float],
    calls: Callable[[float], Mapping[str, Call]],
    *,
    x_scale: str = "log",
    rounds: int = 3,
) -> dict[str, Any]:
    """Median milliseconds of the calls at each x, one thread; ours is the first of them.

    `crossing` is where ours stops or starts to be faster than the second, None where it does not.
    """
    ms: dict[str, list[float]] = {}
    for x in xs:
        for name, call in calls(x).items():
            found = median_ms(call, rounds=rounds, clock=time.thread_time)
            ms.setdefault(name, []).append(round(found, 5))
    ours, peer = list(ms.values())[:2]
    return {
        "title": title,
        "x_label": x_label,
        "x_scale": x_scale,
        "y_label": "ms",
        "lines": [{"name": name, "x": list(xs), "y": y} for name, y in ms.items()],
        "crossing": crossing(xs, [b / a for a, b in zip(ours, peer, strict=True)], x_scale),
    }


def crossing(xs: Sequence[float], ratios: Sequence[float], x_scale: str) -> float | None:
    """The first x where the ratio passes 1, on straight lines between logarithms of the ratio.

    So it lies where the curves cross in a plot whose milliseconds are logarithmic, as is x where
    its scale says so.

    >>> crossing([1.0, 2.0, 4.0], [8.0, 2.0, 0.5], "linear")
    3.0
    >>> crossing([1.0, 4.0], [2.0, 0.5], "log")
    2.0
    >>> crossing([1.0, 2.0], [3.0, 2.0], "linear") is None
    True
    """
    to, back = (log, exp) if x_scale == "log" else (float, float)
    points = list(zip(map(to, xs), map(log, ratios), strict=True))
    for (x, a), (following, b) in pairwise(points):
        if (a < 0) != (b < 0):
            return round(back(x - (following - x) * a / (b - a)), 4)
    return None
