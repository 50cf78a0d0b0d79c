"""Whole models in every form: milliseconds, bytes and deviation of the recorded run."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from octavo.site import plots
from octavo.site.figures import number
from octavo.site.holdings import Holdings
from octavo.site.markup import command, facts, fold, table, text

Row = Mapping[str, Any]
HEAD = ("Form", "Layers", "ms", "Times as fast", "MB", "Off the plan", "Off dense")
KINDS = {None: "torch", "native": "all native", "fastest": "the faster of native and dense"}
INTRO = (
    "Random weights and no training: how far an output moves says what a form does to this "
    "network, not what it costs in accuracy. Layers under 16 wide stay dense; torch's dynamic int8 "
    "takes linear layers alone. A model is timed in turn with dense float32, one "
    "thread; deviations are relative to the largest output."
)


def body(holdings: Holdings) -> str:
    """The tables and plots of the newest run, or the command that makes one."""
    if not holdings.models:
        return "<p>No run recorded yet. This command measures it:</p>" + command(
            "octavo bench models"
        )
    run = holdings.models[-1]
    models = {
        row["model"]: [r for r in run["rows"] if r["model"] == row["model"]] for row in run["rows"]
    }
    drawn = "".join(
        _plot(place, name, rows) for place, (name, rows) in enumerate(models.items(), 1)
    )
    return (
        f'<p>{INTRO}</p><div class="plots">{drawn}</div>'
        + "".join(_table(name, rows) for name, rows in models.items())
        + f'<div class="provenance">{_provenance(run)}</div>'
    )


def _table(name: str, rows: Sequence[Row]) -> str:
    shown = table(HEAD, map(_row, rows), numbers=(2, 3, 4, 5, 6))
    return fold(f"{name}, {rows[0]['input']}", f'<div class="stack">{shown}</div>')


def _row(row: Row) -> list[str]:
    layers = ", ".join(f"{count} {name}" for name, count in row["layers"].items())
    named = f'<small class="where">{text(layers)}</small>' if layers else ""
    return [
        text(row["form"]),
        text(KINDS[row["prefer"]]) + named,
        number(float(f"{row['ms']:.3g}")),
        f"{row['ratio']:.2f}",
        f"{row['bytes'] / 1e6:.2f}",
        _moved(row["deviation_simulated"]),
        _moved(row["deviation_dense"]),
    ]


def _moved(value: float | None) -> str:
    return "" if value is None else number(float(f"{value:.1g}"))


def _plot(place: int, name: str, rows: Sequence[Row]) -> str:
    """Bars of how many times as fast as dense: a form each, its two ways side by side."""
    forms = list(dict.fromkeys(row["form"] for row in rows))
    title = f"Times as fast as dense float32, measured in turn: {name}."
    settings: Any = plots.RC | {"svg.hashsalt": f"whole-{place}", "axes.grid.axis": "x"}
    with matplotlib.rc_context(settings):
        drawing = Figure(figsize=(plots.SIZE[0], 4.4), layout="constrained")
        axes = drawing.add_subplot()
        for i, prefer in enumerate(KINDS):
            mine = [row for row in rows if row["prefer"] == prefer]
            shift = {None: 0.0, "native": 0.2, "fastest": -0.2}[prefer]
            where = [-forms.index(row["form"]) + shift for row in mine]
            colour, height = plots.LINES[i], 0.6 if prefer is None else 0.36
            axes.barh(where, [row["ratio"] for row in mine], height, color=colour)
        axes.axvline(1.0, color=plots.INK, linewidth=0.9, linestyle=(0, (2, 3)))
        axes.set_yticks([-i for i in range(len(forms))], forms)
        axes.set_xlabel("times as fast as dense float32")
        axes.set_axisbelow(True)
        sink = io.StringIO()
        drawing.savefig(sink, format="svg", transparent=True, metadata={"Date": None})
    said = "; ".join(f"{row['form']} {row['ratio']:.2f}" for row in rows)
    picture = plots.tame(sink.getvalue(), title, said, f"whole-{place}")
    block = '<path d="M4 0h20v10h-20z" fill="var(--plot-{})"/>'
    named = plots.key([(kind, block.format(i)) for i, kind in enumerate(KINDS.values(), 1)])
    return f'<figure class="plot">{picture}{named}<figcaption>{text(title)}</figcaption></figure>'


def _provenance(run: Row) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in sorted(run["versions"].items()))
    return facts(
        [
            ("Command", f"<code>{text(run['command'])}</code>"),
            ("Commit", f"<code>{text(run['commit'][:12])}</code>"),
            ("Machine", text(f"{run['cpu']}; {run['backend']} kernels, one thread")),
            ("Versions", text(versions)),
            ("Date", text(run["date"][:16].replace("T", " "))),
            ("Time", f"{run['seconds']:.0f} s"),
        ]
    )
