"""All methods of a theme side by side: a plot a task, what the numbers say, and a table of costs.

Cells and sentences come from recorded runs (see `curves`); a method without a curve stands in the
table alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from octavo.catalog import Method, Result, Theme
from octavo.site import curves, figures, plots
from octavo.site.curves import Cost, Curve
from octavo.site.holdings import VERDICTS, Holdings
from octavo.site.markup import Page, link, root, safe_id, section, table, text

LEAST = 2  # curves of one task that make a comparison
MOST = 6  # lines that a plot can tell apart
MARKS = (2.0, 10.0, 50.0, 100.0)  # compressions of the table and the sentences
NONE = '<span class="quiet">not recorded</span>'
NEEDS = {  # what a reader has, as facets of data and of retraining
    "With no data at all": ("none", None),
    "With a few inputs, no labels and no training": ("unlabelled-calibration", "none"),
    "With one training and none after it": ("full-training", "none"),
    "With a training to spend on what is left": ("full-training", "full"),
}


def pages(holdings: Holdings) -> Iterator[Page]:
    """A page for every theme with enough curves on some task."""
    for theme in holdings.taxonomy.themes.values():
        if compared(theme.id, holdings):
            yield one(theme, holdings)


def compared(theme: str, holdings: Holdings) -> bool:
    """Whether some task has curves enough of a theme's methods."""
    return any(len(lines) >= LEAST for lines in curves.by_task(theme, holdings).values())


def one(theme: Theme, holdings: Holdings) -> Page:
    """The comparison of one theme."""
    path = f"themes/{safe_id(theme.id)}/compare"
    name = f"{theme.name}: methods compared"
    tasks = curves.by_task(theme.id, holdings)
    plotted = "".join(_section(task, lines, holdings) for task, lines in tasks.items())
    body = (
        f'<header class="head"><p class="kicker" data-pagefind-ignore>{link("../", theme.name)}</p>'
        f"<h1>{text(name)}</h1>"
        '<p class="lead">On one task all see the same network, the same order of the data and the '
        "last epoch, over three seeds or more; a run marked quick trains for half as long. Up and "
        "to the right is better.</p></header>"
        + section("When to use which", _advice(theme.id, tasks, holdings), "advice")
        + plotted
        + section("What each one needs", _needs(theme.id, tasks, holdings, path), "needs", "wide")
    )
    about = f"Accuracy over compression, milliseconds and cost of the {theme.name.lower()} methods."
    return Page(path, name, body, about, theme.id, "themes")


def _section(task: str, lines: list[Curve], holdings: Holdings) -> str:
    about = holdings.taxonomy.tasks[task]
    said = f"<p>{text(about.description)}</p>{_ranking(lines)}"
    return section(about.name, said + _plot(about.name, task, lines), f"task-{task}", "wide")


def _plot(title: str, task: str, lines: list[Curve]) -> str:
    """Every method's own curve; of a single method, those of its baselines, too."""
    first = lines[0].run.series or {}
    ranked = sorted(lines, key=lambda curve: -max(map(float, curve.line["x"])))
    drawn = [dict(curve.line) | {"name": curve.name} for curve in ranked]
    shown = drawn if len(drawn) > 1 else first["lines"]
    return plots.figure({**first, "title": title, "lines": shown[:MOST]}, f"compare-{task}")


def _ranking(lines: Sequence[Curve]) -> str:
    """Who keeps most at each mark, and whom the spread cannot tell from the first."""
    said = []
    for mark in MARKS:
        ranked = curves.best(lines, mark)
        if len(ranked) < LEAST:
            continue
        first, *level = curves.level(lines, mark)
        words = f"At {mark:.0f} times fewer weights {_told(first, mark)} keeps most"
        if level:
            words += f"; within the spread of it: {', '.join(_told(c, mark) for c in level)}"
        if ranked[-1] not in (first, *level):
            words += f"; {_told(ranked[-1], mark)} keeps least"
        said.append(words + ".")
    return f"<p>{text(' '.join(said))}</p>" if said else ""


def _told(curve: Curve, mark: float) -> str:
    return f"{curve.name} ({_value(curve, mark)})"


def _value(curve: Curve, mark: float) -> str:
    found = curve.at(mark)
    return figures.spread(*found) if found else ""


def _advice(theme: str, tasks: Mapping[str, list[Curve]], holdings: Holdings) -> str:
    """For what a reader has: the first on each task, at the highest mark that it reaches."""
    rows = []
    for need, (data, retraining) in NEEDS.items():
        mine = {
            task: [c for c in lines if _has(c.method, data, retraining)]
            for task, lines in tasks.items()
        }
        said = [s for task, own in mine.items() if (s := _first(task, own, tasks, holdings))]
        if said:
            rows.append(f"<li><b>{text(need)}.</b> {text(' '.join(said))}</li>")
    return f"<ul>{''.join(rows)}</ul>{_speeds(theme, holdings)}"


def _has(method: Method, data: str, retraining: str | None) -> bool:
    facets = method.facets
    fits = retraining is None or retraining in facets.get("retraining", ())
    return fits and data in facets.get("data", ())


def _first(
    task: str, mine: Sequence[Curve], tasks: Mapping[str, list[Curve]], holdings: Holdings
) -> str:
    """The first of these methods on a task, and how far from the first of all."""
    for mark in reversed(MARKS):
        ranked, every = curves.best(mine, mark), curves.best(tasks[task], mark)
        if not ranked or len(every) < LEAST:
            continue
        name = holdings.taxonomy.tasks[task].name
        said = f"{name}: {_told(ranked[0], mark)} at {mark:.0f} times fewer weights"
        if ranked[0] in curves.level(tasks[task], mark):
            return f"{said}, no other keeps more than its spread."
        return f"{said}; the first of all is {_told(every[0], mark)}."
    return ""


def _speeds(theme: str, holdings: Holdings) -> str:
    """How milliseconds follow what goes: single weights, patterns or whole units."""
    times: dict[str, list[float]] = {}
    for method in curves.of(theme, holdings):
        for run in curves.timed(holdings.latest[method.id]):
            kind = next(iter(method.facets.get("structure", ())), "other")
            times.setdefault(kind, []).append(run.value)
    said = [
        f"{kind} {figures.number(min(found))} to {figures.number(max(found))} times"
        if len(found) > 1
        else f"{kind} {figures.number(found[0])} times"
        for kind, found in times.items()
    ]
    lead = "Milliseconds, dense over pruned, follow what goes and not who chose it"
    return f"<p>{text(lead)}: {text('; '.join(said))}.</p>" if said else ""


def _needs(theme: str, tasks: Mapping[str, list[Curve]], holdings: Holdings, path: str) -> str:
    head = [
        "Method", *(f"Kept at {mark:.0f} times" for mark in MARKS), "Bytes", "MACs",
        "Milliseconds, dense over pruned", "Data", "Retraining", "Claims",
    ]  # fmt: skip
    rows = [
        _row(
            method, [c for own in tasks.values() for c in own if c.method == method], holdings, path
        )
        for method in curves.of(theme, holdings)
    ]
    said = (
        "Kept: accuracy or what its task counts, mean ± deviation over seeds. Bytes, MACs and "
        "milliseconds: of the network that the method's claim on milliseconds names, not of the "
        "task's."
    )
    costs = holdings.taxonomy.facets["retraining"].values.items()
    meant = " ".join(f"Retraining {name}: {meaning.lower()}" for name, meaning in costs)
    return f'<p>{text(said)} {text(meant)}</p><div class="stack">{table(head, rows)}</div>'


def _row(method: Method, mine: Sequence[Curve], holdings: Holdings, path: str) -> list[str]:
    runs = holdings.latest[method.id]
    fast = curves.timed(runs)
    verdicts = [run.verdict for run in runs.values()]
    counts = ", ".join(f"{verdicts.count(v)} {v}" for v in VERDICTS if v in verdicts)
    return [
        link(f"{root(path)}methods/{method.id}/", method.name),
        *(" · ".join(v for c in mine if (v := _value(c, mark))) or NONE for mark in MARKS),
        _shrunk(curves.cost(fast, "bytes")),
        _shrunk(curves.cost(fast, "MACs")),
        _milliseconds(fast),
        _values(method, "data"),
        _values(method, "retraining"),
        text(counts),
    ]  # fmt: skip


def _shrunk(cost: Cost | None) -> str:
    if cost is None:
        return NONE
    return f"{figures.number(cost.before / cost.after)} times fewer"


def _milliseconds(fast: Sequence[Result]) -> str:
    return " · ".join(figures.measured(run, "times") for run in fast) or NONE


def _values(method: Method, facet: str) -> str:
    return text(", ".join(v.replace("-", " ") for v in method.facets.get(facet, ())))
