"""What the ledgers say of a theme's methods, side by side: curves by task, and what each one costs.

A claim whose record names a task carries the curve of its method there: the first line of the
recorded series over compression. Nothing is typed: every figure is read from a recorded run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from octavo.catalog import Method, Result
from octavo.site.holdings import Holdings

NEAR = 1.3  # how far a point may lie from a compression that is asked for, as a ratio


class Value(NamedTuple):
    """A mean and the deviation over seeds."""

    mean: float
    spread: float


class Curve(NamedTuple):
    """A method's own line on one task, and the run that it is from."""

    method: Method
    run: Result

    @property
    def line(self) -> Mapping[str, Any]:
        """Compressions `x`, means `y`, deviations `sd`."""
        line: Mapping[str, Any] = (self.run.series or {})["lines"][0]
        return line

    @property
    def name(self) -> str:
        """The method's name; a quick run says so, its training is shorter."""
        return self.method.name + (" (quick)" if self.run.quick else "")

    def at(self, compression: float) -> Value | None:
        """The value at the point nearest to a compression, if that is near enough."""
        x = [float(each) for each in self.line["x"]]
        distances = [max(each / compression, compression / each) for each in x]
        at = distances.index(min(distances))
        if distances[at] > NEAR:
            return None
        spreads = self.line.get("sd") or [0.0] * len(x)
        return Value(float(self.line["y"][at]), float(spreads[at]))


class Cost(NamedTuple):
    """Before and after, of the network that a method's claim on milliseconds names."""

    before: float
    after: float


def by_task(theme: str, holdings: Holdings) -> dict[str, list[Curve]]:
    """By task, in the order of the taxonomy, the curves of a theme's methods."""
    found: dict[str, list[Curve]] = {task: [] for task in holdings.taxonomy.tasks}
    for method in of(theme, holdings):
        for claim in method.claims:
            run = holdings.latest[method.id].get(claim.id)
            if claim.task and run and run.series and run.series.get("lines"):
                found[claim.task].append(Curve(method, run))
    return {task: curves for task, curves in found.items() if curves}


def of(theme: str, holdings: Holdings) -> list[Method]:
    """A theme's methods that have a recorded run."""
    methods = (holdings.methods[each] for each in holdings.implemented)
    return [m for m in methods if m.theme == theme and holdings.latest.get(m.id)]


def timed(runs: Mapping[str, Result]) -> list[Result]:
    """The runs of claims about milliseconds."""
    return [run for claim, run in runs.items() if claim.endswith("-ms")]


def cost(runs: Sequence[Result], unit: str) -> Cost | None:
    """What went in and came out in bytes or MACs, as the notes of these runs say it.

    Notes have it as "16 bytes to 2" or "16 to 2 bytes".
    """
    told = re.compile(rf"([\d,]+) (?:{unit} to ([\d,]+)|to ([\d,]+) {unit})")
    for run in runs:
        if found := told.search(run.note or ""):
            before, after = (float(n.replace(",", "")) for n in found.groups() if n)
            return Cost(before, after)
    return None


def best(curves: Sequence[Curve], compression: float) -> list[Curve]:
    """The curves with a value there, the highest first."""
    reached = [(value.mean, curve) for curve in curves if (value := curve.at(compression))]
    return [curve for _, curve in sorted(reached, key=lambda pair: -pair[0])]


def level(curves: Sequence[Curve], compression: float) -> list[Curve]:
    """Those of `best` that the spread over seeds cannot tell from the first."""
    ranked = best(curves, compression)
    values = [value for curve in ranked if (value := curve.at(compression))]
    return [
        curve
        for curve, value in zip(ranked, values, strict=True)
        if values[0].mean - value.mean <= max(values[0].spread, value.spread)
    ]
