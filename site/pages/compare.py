"""All methods of a theme side by side: one plot a task, one table, and what the numbers say.

A curve is a method's own first line of a recorded series over compression, measured on the task
that the methods of its shelf share. Nothing here is typed: cells and sentences come from results.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from octavo.catalog import Method, Theme
from octavo.site import figures, plots
from octavo.site.holdings import VERDICTS, Holdings
from octavo.site.markup import Page, link, root, safe_id, section, table, text

LEAST = 2  # curves that make a comparison
MOST = 6  # lines that a plot can tell apart
MARKS = (10.0, 50.0)  # compressions of the table
NEAR = 1.3  # how far a point may lie from them, as a ratio
EARLY = ("at-initialization", "during-training")
TASKS = {
    ("accuracy, %", True): "Digits, pruned before or while training",
    ("accuracy, %", False): "Digits, a trained network pruned and trained again",
    ("rank correlation", False): "The MiniLM encoder, pruned without training",
}


class Curve(NamedTuple):
    """A method's own line on one task."""

    method: Method
    line: Mapping[str, Any]


def pages(holdings: Holdings) -> Iterator[Page]:
    """A page for every theme with enough curves on some task."""
    for theme in holdings.taxonomy.themes.values():
        if tasks := curves(theme.id, holdings):
            yield one(theme, tasks, holdings)


def curves(theme: str, holdings: Holdings) -> dict[str, list[Curve]]:
    """By task, the curves of a theme's methods; tasks with too few are left out."""
    found: dict[str, list[Curve]] = {title: [] for title in TASKS.values()}
    for method_id in holdings.implemented:
        method = holdings.methods[method_id]
        if method.theme != theme:
            continue
        trained = "short" in method.facets.get("retraining", ())
        early = not trained and any(s in EARLY for s in method.facets.get("schedule", ()))
        seen = set()
        for run in holdings.latest[method_id].values():
            series = run.series or {}
            label = str(series.get("y_label"))
            task = TASKS.get((label, early and label == "accuracy, %"))
            if task and task not in seen and series.get("x_label") == "compression":
                seen.add(task)
                found[task].append(Curve(method, series["lines"][0]))
    return {task: lines for task, lines in found.items() if len(lines) >= LEAST}


def one(theme: Theme, tasks: Mapping[str, list[Curve]], holdings: Holdings) -> Page:
    """The comparison of one theme."""
    path = f"themes/{safe_id(theme.id)}/compare"
    name = f"{theme.name}: methods compared"
    plotted = "".join(
        section(task, _panel(task, lines, i), f"task-{i}", "wide")
        for i, (task, lines) in enumerate(tasks.items(), 1)
    )
    body = (
        f'<header class="head"><p class="kicker" data-pagefind-ignore>{link("../", theme.name)}</p>'
        f"<h1>{text(name)}</h1>"
        '<p class="lead">Each method\'s own curve, measured here: same network, same order of the '
        "data, last epoch, three seeds or more. What it costs stands in the table.</p></header>"
        + plotted
        + section("What each one needs", _needs(tasks, holdings, path), "needs", "wide")
    )
    about = f"Accuracy over compression, milliseconds and cost of the {theme.name.lower()} methods."
    return Page(path, name, body, about, theme.id, "themes")


def _panel(task: str, lines: list[Curve], number: int) -> str:
    ranked = sorted(lines, key=lambda c: -(_at(c.line, MARKS[-1]) or 0.0))
    shown = [dict(c.line) | {"name": c.method.name} for c in ranked[:MOST]]
    label = "rank correlation" if "MiniLM" in task else "accuracy, %"
    series = {
        "title": task, "x_label": "compression", "y_label": label, "x_scale": "log", "lines": shown,
    }  # fmt: skip
    return _sentence(ranked) + plots.figure(series, f"compare-{number}")


def _sentence(ranked: list[Curve]) -> str:
    """Who is first at each mark, by the numbers."""
    said = []
    for mark in MARKS:
        values = {c.method.name: v for c in ranked if (v := _at(c.line, mark)) is not None}
        if len(values) >= 2:
            first, second, *_ = sorted(values, key=lambda name: -values[name])
            last = min(values, key=lambda name: values[name])
            said.append(
                f"At {mark:.0f} times fewer weights {first} keeps most "
                f"({figures.number(values[first])}), then {second} "
                f"({figures.number(values[second])}); {last} keeps least "
                f"({figures.number(values[last])})."
            )
    return f"<p>{text(' '.join(said))}</p>" if said else ""


def _at(line: Mapping[str, Any], mark: float) -> float | None:
    """The value of a line at the point nearest to a compression, if that is near enough."""
    points = [
        (max(x / mark, mark / x), float(y)) for x, y in zip(line["x"], line["y"], strict=True)
    ]
    distance, value = min(points)
    return value if distance <= NEAR else None


def _needs(tasks: Mapping[str, list[Curve]], holdings: Holdings, path: str) -> str:
    up = root(path)
    methods = {c.method.id: c.method for lines in tasks.values() for c in lines}
    head = ["Method", "Milliseconds, dense over pruned", "Data", "Retraining", "Claims"]
    rows = []
    for method_id, method in methods.items():
        runs = holdings.latest[method_id]
        fast = [r for claim, r in runs.items() if claim.endswith("-ms")]
        verdicts = [r.verdict for r in runs.values()]
        counts = ", ".join(f"{verdicts.count(v)} {v}" for v in VERDICTS if v in verdicts)
        rows.append([
            link(f"{up}methods/{method_id}/", method.name),
            " · ".join(figures.measured(r, "times") for r in fast) or "not measured",
            _values(method, "data"),
            _values(method, "retraining"),
            text(counts),
        ])  # fmt: skip
    return f'<div class="stack">{table(head, rows)}</div>'


def _values(method: Method, facet: str) -> str:
    return text(", ".join(v.replace("-", " ") for v in method.facets.get(facet, ())))
