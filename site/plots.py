"""Plots as SVG that belongs to the page: its type, its palette, light and dark alike.

Matplotlib sets the figure; colours then become CSS variables and inline styles become attributes,
so the same picture follows the reader's scheme and a strict content policy.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from octavo.site.figures import power
from octavo.site.markup import table, text

INK, FAINT, PAPER = "#010101", "#020202", "#030303"
LINES = tuple(f"#0400{i:02d}" for i in range(1, 7))  # stand-ins, replaced by --plot-1 … --plot-6
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1)), (0, (1, 1)))
MARKS = ("o", "s", "^", "D", "v", "P")
MOST_INSIDE = 4  # lines whose legend finds room between them
LOOKS: dict[str, dict[str, Any]] = {
    "both": {},
    "line": {"marker": "", "color": INK, "alpha": 0.75},
    "dots": {"linestyle": "none"},
}
VARIABLES = {INK: "var(--ink)", FAINT: "var(--rule-strong)", PAPER: "var(--paper)"}
VARIABLES |= {colour: f"var(--plot-{i})" for i, colour in enumerate(LINES, 1)}
RC: dict[str, Any] = {
    "svg.fonttype": "none",
    "font.size": 11,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 10.5,
    "ytick.labelsize": 10.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.5,
    "legend.frameon": False,
    "legend.fontsize": 11,
    "axes.linewidth": 0.8,
}


def figure(series: Mapping[str, Any], name: str) -> str:
    """A plot of a result's series with title, description and its numbers as a table.

    A line may say how to `draw` it ("both", "line", "dots") and have `names`, one a point; the
    series may have a `crossing`, a place on the x axis to mark.
    """
    title = str(series.get("title") or name)
    lines = _drawn(series)
    if not lines:
        return ""
    caption = f"<figcaption>{text(title)}</figcaption>"
    return (
        f'<figure class="plot" id="plot-{text(name)}">{svg(series, name)}{caption}'
        f"<details><summary>The numbers of this plot</summary>{_numbers(series, lines)}</details>"
        "</figure>"
    )


def svg(series: Mapping[str, Any], name: str) -> str:
    """The picture alone."""
    settings: Any = RC | {"svg.hashsalt": name}
    with matplotlib.rc_context(settings):
        tall = len(_drawn(series)) > MOST_INSIDE
        drawing = Figure(figsize=(6.4, 4.5 if tall else 3.7), layout="constrained")
        _draw(drawing.add_subplot(), series)
        sink = io.StringIO()
        drawing.savefig(sink, format="svg", transparent=True, metadata={"Date": None})
    return tame(sink.getvalue(), str(series.get("title") or name), _describe(series), name)


def _drawn(series: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The lines that have points; plain ones last, so that the others get the first colours."""
    lines = [line for line in series.get("lines", ()) if line.get("x") and line.get("y")]
    return sorted(lines, key=lambda line: line.get("draw") == "line")


def _draw(axes: Axes, series: Mapping[str, Any]) -> None:
    lines = _drawn(series)
    plain = len([line for line in lines if line.get("draw") != "line"])
    for number, line in enumerate(lines):
        i = number if number < plain else number - plain
        x, y = [float(v) for v in line["x"]], [float(v) for v in line["y"]]
        look: dict[str, Any] = {
            "color": LINES[i % 6],
            "linestyle": DASHES[i % 6],
            "marker": MARKS[i % 6],
        }
        look |= LOOKS[line.get("draw", "both")]
        axes.plot(x, y, label=str(line.get("name", "")), linewidth=1.6, markersize=4.5, **look)
        if line.get("sd"):
            low = [a - float(b) for a, b in zip(y, line["sd"], strict=False)]
            high = [a + float(b) for a, b in zip(y, line["sd"], strict=False)]
            axes.fill_between(x, low, high, color=LINES[i % 6], alpha=0.14, linewidth=0)
    axes.set_xscale(series.get("x_scale") or "linear")
    axes.set_yscale(series.get("y_scale") or "linear")
    for axis in (axes.xaxis, axes.yaxis):
        if axis.get_scale() == "log":
            if axis.get_view_interval()[1] < 60 * axis.get_view_interval()[0]:
                axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axis.set_major_formatter(FuncFormatter(lambda value, _: power(value)))
            axis.set_minor_formatter(NullFormatter())
    if series.get("crossing") is not None:
        axes.axvline(float(series["crossing"]), color=INK, linewidth=0.9, linestyle=(0, (2, 3)))
    axes.set_xlabel(str(series.get("x_label") or ""))
    axes.set_ylabel(str(series.get("y_label") or ""))
    axes.set_axisbelow(True)
    if len(lines) > MOST_INSIDE:
        axes.get_figure().legend(loc="outside lower left", ncols=2)  # type: ignore[union-attr]
    elif len(lines) > 1 or lines[0].get("name"):
        axes.legend(loc="best")


def tame(picture: str, title: str, description: str, name: str) -> str:
    """Keep the drawing, drop matplotlib's page furniture, move styles into attributes."""
    body = picture[picture.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.S)
    body = re.sub(r"<style[^>]*>.*?</style>", "", body, flags=re.S)
    body = re.sub(r"<!--.*?-->", "", body, flags=re.S)
    body = re.sub(r'\sstyle="([^"]*)"', lambda found: _attributes(found[1]), body)
    body = re.sub(r'(\sid="|href="#|url\(#)', rf"\1{text(name)}-", body)
    for colour, variable in VARIABLES.items():
        body = body.replace(colour, variable)
    box = re.search(r'viewBox="[^"]*"', body)
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'{box[0] if box else ""} role="img" aria-labelledby="{text(name)}-t {text(name)}-d">'
        f'<title id="{text(name)}-t">{text(title)}</title>'
        f'<desc id="{text(name)}-d">{text(description)}</desc>'
    )
    return re.sub(r"\n\s*", "\n", opening + body[body.index(">") + 1 :]).strip()


def _attributes(style: str) -> str:
    """Declarations of an inline style as SVG attributes; fonts are left to the page."""
    pairs = (part.split(":", 1) for part in style.split(";") if ":" in part)
    kept = [(k.strip(), v.strip()) for k, v in pairs]
    made = [(k, v) for k, v in kept if not k.startswith("font")]
    made += [
        ("font-size", m[1]) for k, v in kept if k == "font" and (m := re.search(r"([\d.]+)px", v))
    ]
    made += [(k, v.removesuffix("px")) for k, v in kept if k == "font-size"]
    return "".join(f' {k}="{v}"' for k, v in made)


def _describe(series: Mapping[str, Any]) -> str:
    names = [str(line.get("name", "")) for line in series.get("lines", ())]
    return (
        f"{series.get('y_label') or 'value'} against {series.get('x_label') or 'x'}; "
        f"lines: {', '.join(n for n in names if n) or 'one'}."
    )


def _numbers(series: Mapping[str, Any], lines: Sequence[Mapping[str, Any]]) -> str:
    head = ["Line", text(series.get("x_label") or "x"), text(series.get("y_label") or "y"), "±"]
    if not any(line.get("sd") for line in lines):
        head.pop()
    rows = [
        [text(name), f"{x:.4g}", f"{y:.4g}", f"{sd:.2g}" if sd is not None else ""][: len(head)]
        for line in lines
        for name, x, y, sd in zip(
            line.get("names") or [line.get("name", "")] * len(line["x"]),
            line["x"],
            line["y"],
            line.get("sd") or [None] * len(line["x"]),
            strict=False,
        )
    ]
    return table(head, rows, numbers=(1, 2, 3)[: len(head) - 1])
