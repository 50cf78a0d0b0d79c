"""What `claims()` of a method yields: one measured number for one claim of its record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Measurement:
    """A value measured for a claim, with what it was compared to in the same run.

    `spread` is the standard deviation over `seeds`. `series` holds the curves for a plot:
    `{"title", "x_label", "y_label", "x_scale": "log" | "linear",
    "lines": [{"name", "x": [...], "y": [...], "sd": [...] (may be left out)}]}`.
    `note` says in one line what a reader must know to read the number.
    """

    claim: str
    value: float
    spread: float | None = None
    baseline: float | None = None
    baseline_name: str | None = None
    seeds: tuple[int, ...] = ()
    series: Mapping[str, Any] | None = None
    note: str | None = None
