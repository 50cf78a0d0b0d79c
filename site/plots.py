"""Plots as SVG that belongs to the page: its type, its palette, light and dark alike.

Matplotlib sets the figure; colours then become CSS variables and inline styles become attributes,
so the same picture follows the reader's scheme and a strict content policy.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from octavo.site.figures import power
from octavo.site.markup import table, text

INK, FAINT, PAPER = "#010101", "#020202", "#030303"
LINES = tuple(f"#0400{i:02d}" for i in range(1, 7))  # stand-ins, replaced by --plot-1 … --plot-6
DASHES: tuple[tuple[float, ...], ...] = (  # in widths of the line
    (),
    (3.7, 1.6),
    (6.4, 1.6, 1, 1.6),
    (1, 1.65),
    (5, 1, 1, 1),
    (1, 1),
)
MARKS = ("o", "s", "^", "D", "v", "P")
OUTLINES = {  # of the marks, around the middle of a swatch
    "o": "M17 5a3 3 0 1 1-6 0a3 3 0 1 1 6 0z",
    "s": "M11.3 2.3h5.4v5.4h-5.4z",
    "^": "M14 2l3.2 6h-6.4z",
    "D": "M14 1.2l3.8 3.8l-3.8 3.8l-3.8-3.8z",
    "v": "M14 8l3.2-6h-6.4z",
    "P": "M13 1.8h2v2.2h2.2v2h-2.2v2.2h-2v-2.2h-2.2v-2h2.2z",
}
WIDTH = 1.6
SIZE = (4.5, 3.1)  # inches; a phone shows the type of it as large as it is
VARIABLES = {INK: "var(--ink)", FAINT: "var(--rule-strong)", PAPER: "var(--paper)"}
VARIABLES |= {colour: f"var(--plot-{i})" for i, colour in enumerate(LINES, 1)}
RC: dict[str, Any] = {
    "svg.fonttype": "none",
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 9.5,
    "ytick.labelsize": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.5,
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
        f'<figure class="plot" id="plot-{text(name)}">{svg(series, name)}{_legend(lines)}{caption}'
        f"<details><summary>The numbers of this plot</summary>{_numbers(series, lines)}</details>"
        "</figure>"
    )


def svg(series: Mapping[str, Any], name: str) -> str:
    """The picture alone."""
    settings: Any = RC | {"svg.hashsalt": name}
    with matplotlib.rc_context(settings):
        drawing = Figure(figsize=SIZE, layout="constrained")
        _draw(drawing.add_subplot(), series)
        sink = io.StringIO()
        drawing.savefig(sink, format="svg", transparent=True, metadata={"Date": None})
    return tame(sink.getvalue(), str(series.get("title") or name), _describe(series), name)


def _drawn(series: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The lines that have points; plain ones last, so that the others get the first colours."""
    lines = [line for line in series.get("lines", ()) if line.get("x") and line.get("y")]
    return sorted(lines, key=lambda line: line.get("draw") == "line")


class Look(NamedTuple):
    """How a line is drawn: `dashes` in widths of it, `mark` a letter of OUTLINES or nothing."""

    colour: str
    dashes: tuple[float, ...]
    mark: str
    line: bool = True


def looks(lines: Sequence[Mapping[str, Any]]) -> list[Look]:
    """A look a line; plain ones are of ink, without marks, and count by themselves."""
    coloured = len([line for line in lines if line.get("draw") != "line"])
    made = []
    for number, line in enumerate(lines):
        if number >= coloured:
            made.append(Look(INK, DASHES[(number - coloured) % 6], ""))
        else:
            i = number % 6
            made.append(Look(LINES[i], DASHES[i], MARKS[i], line.get("draw") != "dots"))
    return made


def _legend(lines: Sequence[Mapping[str, Any]]) -> str:
    """The lines by name, beside a sample of each; nothing where none has a name."""
    named = zip(lines, looks(lines), strict=True)
    return key([(str(line["name"]), _sample(look)) for line, look in named if line.get("name")])


def key(entries: Sequence[tuple[str, str]]) -> str:
    """Names and the shapes that stand for them, as a list under a plot."""
    items = "".join(
        f'<li><svg viewBox="0 0 28 10" aria-hidden="true">{shape}</svg>{text(name)}</li>'
        for name, shape in entries
    )
    return f'<ul class="legend">{items}</ul>' if items else ""


def _sample(look: Look) -> str:
    colour = VARIABLES[look.colour]
    dashes = " ".join(f"{WIDTH * each:.3g}" for each in look.dashes)
    drawn = f' stroke-dasharray="{dashes}"' if dashes else ""
    line = f'<path d="M0 5h28" fill="none" stroke="{colour}" stroke-width="{WIDTH}"{drawn}/>'
    mark = f'<path d="{OUTLINES[look.mark]}" fill="{colour}"/>' if look.mark else ""
    return (line if look.line else "") + mark


def _draw(axes: Axes, series: Mapping[str, Any]) -> None:
    lines = _drawn(series)
    for line, look in zip(lines, looks(lines), strict=True):
        x, y = [float(v) for v in line["x"]], [float(v) for v in line["y"]]
        dashes = (0, look.dashes) if look.dashes else "-"
        axes.plot(
            *(x, y),
            color=look.colour,
            linestyle=dashes if look.line else "none",
            marker=look.mark,
            linewidth=WIDTH,
            markersize=4.5,
            alpha=0.75 if look.colour == INK else None,
        )
        if line.get("sd"):
            low = [a - float(b) for a, b in zip(y, line["sd"], strict=False)]
            high = [a + float(b) for a, b in zip(y, line["sd"], strict=False)]
            axes.fill_between(x, low, high, color=look.colour, alpha=0.14, linewidth=0)
    axes.set_xscale(series.get("x_scale") or "linear")
    axes.set_yscale(series.get("y_scale") or "linear")
    for axis in (axes.xaxis, axes.yaxis):
        if axis.get_scale() == "log":
            if axis.get_view_interval()[1] < 60 * axis.get_view_interval()[0]:
                axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axis.set_major_formatter(FuncFormatter(lambda value, _: power(value)))
            axis.set_minor_formatter(NullFormatter())
    if axes.get_xscale() == "linear" and all(float(x).is_integer() for x in _places(lines)):
        axes.xaxis.set_major_locator(MaxNLocator(7, integer=True))
    if series.get("crossing") is not None:
        axes.axvline(float(series["crossing"]), color=INK, linewidth=0.9, linestyle=(0, (2, 3)))
    axes.set_xlabel(str(series.get("x_label") or ""))
    axes.set_ylabel(str(series.get("y_label") or ""))
    axes.set_axisbelow(True)


def _places(lines: Sequence[Mapping[str, Any]]) -> Iterator[float]:
    return (x for line in lines for x in line["x"])


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
