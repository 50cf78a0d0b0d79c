"""Theme colours as CSS: each accent is moved until it can be read on the page, light and dark."""

from __future__ import annotations

import colorsys
from collections.abc import Iterable

from octavo.catalog import Theme

LIGHT_PAPER, DARK_PAPER = "#fbfaf6", "#17181b"
READABLE = 5.0  # contrast; 4.5 is the least that body text may have


def stylesheet(themes: Iterable[Theme]) -> str:
    """A rule a theme and scheme: ``.theme-pruning { --accent: … }``."""
    held = list(themes)
    light = "\n".join(_rule(theme.id, readable(theme.accent, LIGHT_PAPER)) for theme in held)
    dark = [_rule(theme.id, readable(theme.accent, DARK_PAPER)) for theme in held]
    asked = "\n".join(f":root:not([data-scheme=light]) {rule}" for rule in dark)
    chosen = "\n".join(f":root[data-scheme=dark] {rule}" for rule in dark)
    return f"{light}\n@media (prefers-color-scheme: dark) {{\n{asked}\n}}\n{chosen}\n"


def readable(colour: str, paper: str) -> str:
    """The nearest lightness of a colour that stands out enough from the paper.

    >>> contrast(readable("#ffd000", LIGHT_PAPER), LIGHT_PAPER) >= READABLE
    True
    """
    h, lightness, s = colorsys.rgb_to_hls(*_rgb(colour))
    step = -0.01 if luminance(paper) > 0.5 else 0.01
    for _ in range(100):
        made = _hex(colorsys.hls_to_rgb(h, lightness, s))
        if contrast(made, paper) >= READABLE:
            return made
        lightness = min(1.0, max(0.0, lightness + step))
    return "#000000" if step < 0 else "#ffffff"


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours (WCAG 2).

    >>> contrast("#000000", "#ffffff")
    21.0
    """
    bright, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in _rgb(colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _rule(name: str, colour: str) -> str:
    return f".theme-{name} {{ --accent: {colour}; }}"


def _rgb(colour: str) -> tuple[float, float, float]:
    r, g, b = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return r, g, b


def _hex(rgb: tuple[float, float, float]) -> str:
    return "#" + "".join(f"{round(255 * c):02x}" for c in rgb)
