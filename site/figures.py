"""Numbers as a book sets them: significant digits, thin powers of ten, true minus signs."""

from __future__ import annotations

import math

from octavo.catalog import Claim, Result

RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
SIGNS = {">=": "≥", "<=": "≤", "==": "=", ">": ">", "<": "<", "within": "within"}


def number(value: float) -> str:
    """A figure with four significant digits.

    >>> number(1234567), number(0.123456), number(-2.5), number(3e-12), number(1e-5)
    ('1,234,567', '0.1235', '−2.5', '3 × 10⁻¹²', '10⁻⁵')
    """
    if not math.isfinite(value):
        return "not a number" if math.isnan(value) else ("∞" if value > 0 else "−∞")
    if value == int(value) and abs(value) < 1e9:
        return f"{int(value):,}".replace("-", "−")
    if not 1e-3 <= abs(value) < 1e7:
        mantissa, _, exponent = f"{value:.2e}".partition("e")
        raised = power(10.0 ** int(exponent), always=True)
        lead = "" if float(mantissa) == 1 else f"{float(mantissa):g} × "
        return (lead + raised).replace("-", "−")
    digits = max(0, 3 - math.floor(math.log10(abs(value))))
    short = f"{value:,.{digits}f}"
    short = short.rstrip("0").rstrip(".") if "." in short else short
    return short.replace("-", "−")


def power(value: float, always: bool = False) -> str:
    """A power of ten: written out from 0.01 to 10,000, raised beyond.

    >>> power(100), power(1e6), power(1e-3)
    ('100', '10⁶', '10⁻³')
    """
    if value <= 0:
        return number(value)
    exponent = math.log10(value)
    if always or not 0.01 <= value <= 1e4:
        if abs(exponent - round(exponent)) < 1e-9:
            return "10" + str(round(exponent)).translate(RAISED)
        return f"{value:.2g}"
    return f"{value:,g}"


def expected(claim: Claim) -> str:
    """What was written down before the run: ``≥ 4 times``."""
    unit = f" {claim.unit}" if claim.unit else ""
    if claim.expect == "within":
        return f"{number(claim.value)} ± {number(claim.tolerance)}{unit}"
    slack = f" ± {number(claim.tolerance)}" if claim.tolerance else ""
    return f"{SIGNS.get(claim.expect, claim.expect)} {number(claim.value)}{slack}{unit}"


def measured(run: Result, unit: str | None) -> str:
    """The measured value with its spread over seeds."""
    shown = number(run.value) if run.spread is None else spread(run.value, run.spread)
    return shown + (f" {unit}" if unit else "")


def spread(value: float, deviation: float) -> str:
    """A value and its deviation, both to the deviation's second digit.

    >>> spread(1.28745, 0.02574), spread(0.001, 0.00002), spread(90.25, 0.0)
    ('1.287 ± 0.026', '0.001 ± 2 × 10⁻⁵', '90.25 ± 0')
    """
    if not 1e-3 <= abs(deviation) < 1e3 or not math.isfinite(value):
        return f"{number(value)} ± {number(deviation)}"
    digits = max(0, 1 - math.floor(math.log10(abs(deviation))))
    return f"{value:,.{digits}f} ± {deviation:,.{digits}f}".replace("-", "−")
