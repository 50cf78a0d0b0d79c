"""What a claim expects, and whether a measured value meets it."""

from __future__ import annotations

from collections.abc import Callable

from octavo.catalog.records import Claim, Trend

HOLDS, TREND, NOT = "holds", "trend only", "not reproduced"
VERDICTS = (HOLDS, TREND, NOT)

EXPECTATIONS: dict[str, Callable[[float, float, float], bool]] = {
    ">=": lambda value, bound, slack: value >= bound - slack,
    "<=": lambda value, bound, slack: value <= bound + slack,
    ">": lambda value, bound, slack: value > bound - slack,
    "<": lambda value, bound, slack: value < bound + slack,
    "within": lambda value, bound, slack: abs(value - bound) <= slack,
    "==": lambda value, bound, slack: abs(value - bound) <= slack,
}


def verdict(claim: Claim, value: float) -> str:
    """The expectation met: ``holds``; else the trend: ``trend only``; else ``not reproduced``.

    >>> from octavo.catalog import Claim, Trend
    >>> gain = Claim("gain", "…", "Table 1", "points", "+2", "digits", ">=", 1.0,
    ...              trend=Trend(">", 0.0))
    >>> [verdict(gain, value) for value in (1.5, 0.2, -0.1, float("nan"))]
    ['holds', 'trend only', 'not reproduced', 'not reproduced']
    """
    if _met(claim, value):
        return HOLDS
    return TREND if claim.trend and _met(claim.trend, value) else NOT


def _met(wish: Claim | Trend, value: float) -> bool:
    return EXPECTATIONS[wish.expect](value, wish.value, wish.tolerance)
