"""Badges: a verdict as a small SVG that a README can show. No script, no font to fetch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from octavo.catalog import Method, Result
from octavo.site.figures import measured
from octavo.site.markup import text

COLOURS = {"holds": "#23704a", "trend only": "#8a6100", "not reproduced": "#a8352b"}
NEUTRAL, LABEL = "#5b5f66", "#24221e"
NARROW, WIDE = "fijlrt.,:;'|! ()[]", "mwMWABCDEGHKNOPQRUVXYZ%≥≤±×"


def claim(method: Method, claim_id: str, run: Result | None) -> str:
    """The badge of one claim: its verdict and the measured value."""
    found = next(each for each in method.claims if each.id == claim_id)
    said = f"{run.verdict}: {measured(run, found.unit)}" if run else "no run recorded yet"
    colour = COLOURS.get(run.verdict, NEUTRAL) if run else NEUTRAL
    return svg(f"{method.id} {claim_id}", said, colour)


def method(record: Method, runs: Mapping[str, Result]) -> str:
    """The badge of a method: how many of its claims came out how."""
    counts = Counter(run.verdict for run in runs.values())
    if not counts:
        return svg(record.id, "no run recorded yet", NEUTRAL)
    words = {"holds": "hold", "trend only": "trend only", "not reproduced": "not reproduced"}
    parts = [f"{counts[name]} {word}" for name, word in words.items() if counts[name]]
    said = f"{', '.join(parts)} of {len(record.claims)} claims"
    worst = next((v for v in reversed(COLOURS) if counts[v]), "holds")
    return svg(record.id, said, COLOURS[worst])


def svg(label: str, said: str, colour: str) -> str:
    """Two words side by side, white on colour; ``textLength`` makes any font fit the box."""
    left, right = width(label) + 12, width(said) + 12
    whole = left + right
    name = text(f"{label}: {said}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{whole}" height="20" '
        f'viewBox="0 0 {whole} 20" role="img" aria-label="{name}"><title>{name}</title>'
        f'<rect width="{left}" height="20" fill="{LABEL}"/>'
        f'<rect x="{left}" width="{right}" height="20" fill="{colour}"/>'
        '<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">'
        f'<text x="6" y="14" textLength="{left - 12}">{text(label)}</text>'
        f'<text x="{left + 6}" y="14" textLength="{right - 12}">{text(said)}</text></g></svg>\n'
    )


def width(said: str) -> int:
    """About how many pixels a text takes in Verdana at 11 pixels.

    >>> width("holds") < width("not reproduced")
    True
    """
    return round(sum(4.2 if c in NARROW else 8.4 if c in WIDE else 6.8 for c in said))
