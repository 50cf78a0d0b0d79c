"""The speed of kernels: one run, held against the machine, shown, and kept in the catalog.

A full run of a kernel appends a line to `catalog/results/kernels/<kernel>.jsonl`, with all that is
needed to repeat it. A quick run is for looking and is never kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from octavo import bench, catalog
from octavo.errors import InputError
from octavo.kernels import backend, on_gpu, peers
from octavo.kernels import measured as speed
from octavo.kernels.bars import Bar, bars

QUIET = 0.85  # share of the best earlier run below which a probe says that the machine is busy
Run = dict[str, Any]


def names(asked: Sequence[str]) -> list[str]:
    """The kernels to run: those asked for, or all. Raises InputError for one that is none."""
    known = speed.kernels()
    for name in asked:
        if name not in known:
            raise InputError(f"bench: {name!r} is no kernel; kernels are {', '.join(known)}")
    return list(asked) or known


def run(
    asked: Sequence[str], quick: bool, watch: speed.Watch | None = None
) -> tuple[Run, list[Run]]:
    """Measure kernels: the document of the run, and a record for each kernel. Nothing is written.

    Raises:
        InputError: a name that is no kernel.
    """
    facts = _provenance(quick)  # before: the house may change while it is measured
    found = speed.measure(quick, names(asked), watch)
    there = on_gpu.measure(quick, names(asked))
    found.rows.extend(there.rows)
    facts["probes"] = found.probes | there.probes
    facts["noisy"] = busy(found.probes, facts["cpu"], facts["backend"])
    records = [
        {
            "kernel": name,
            **facts,
            "command": f"octavo bench {name}{' --quick' if quick else ''}",
            "seconds": seconds,
            "rows": [row for row in found.rows if row["kernel"] == name],
            "crossovers": found.crossovers[name],
            "unanswered": unanswered(name, found.rows),
        }
        for name, seconds in found.seconds.items()
    ]
    document = {**facts, "seconds": round(sum(found.seconds.values()), 3), "rows": found.rows}
    return document | {"crossovers": found.crossovers}, records


def together(documents: Sequence[Run]) -> Run:
    """One document of the runs of several kernels; of each probe the best that was seen."""
    probes: dict[str, float] = {}
    for each in documents:
        probes |= {name: max(rate, probes.get(name, 0.0)) for name, rate in each["probes"].items()}
    return documents[0] | {
        "probes": probes,
        "noisy": sorted({name for each in documents for name in each["noisy"]}),
        "seconds": round(sum(each["seconds"] for each in documents), 3),
        "rows": [row for each in documents for row in each["rows"]],
        "crossovers": {k: v for each in documents for k, v in each["crossovers"].items()},
    }


def unanswered(kernel: str, rows: Sequence[Run]) -> list[Run]:
    """Bars of a kernel that no row of a run answers, and why: a quick run has few shapes."""
    answered = {row["bar_id"] for row in rows}
    return [
        {"bar_id": bar.id, "shapes": bar.shapes, "reason": bar.reason or _absent(bar)}
        for bar in bars().values()
        if bar.kernel == kernel and bar.id not in answered
    ]


def _absent(bar: Bar) -> str:
    return f"only on {bar.backend}" if bar.backend else "not in this run"


def record(records: Sequence[Run], root: Path = catalog.ROOT) -> None:
    """Append each record to the file of its kernel: a line, or nothing."""
    for each in records:
        bench.append(root / "results" / "kernels" / f"{each['kernel']}.jsonl", [each])


def busy(probes: dict[str, float], cpu: str, used: str, root: Path = catalog.ROOT) -> list[str]:
    """Probes under 85 % of the best recorded on this processor and backend: it is not quiet."""
    runs = [run for name in speed.kernels() for run in catalog.kernel_runs(name, root)]
    here = (_model(cpu), used)
    before = [run["probes"] for run in runs if (_model(run["cpu"]), run["backend"]) == here]
    return [
        name
        for name, rate in probes.items()
        if rate < QUIET * max((past.get(name, 0.0) for past in before), default=0.0)
    ]


def _model(cpu: str) -> str:
    """The processor, without the number of threads that was set."""
    return cpu.partition(",")[0]


def table(document: Run) -> Group:
    """A run for people: the machine's limits, then each case beside its peers and its bar."""
    view = Table(title=f"{document['backend']} kernels, {document['seconds']:.0f} s")
    for column in ("kernel", "ms", "rate", "of the limit", "times as fast as", "bar"):
        view.add_column(column, justify="right" if column in ("ms", "rate") else "left")
    last = ""
    for row in document["rows"]:
        if row["kernel"] != last:
            view.add_section()
            last = row["kernel"]
        view.add_row(*_cells(row))
    return Group(Text(_limits(document)), view, Text(_sum(document)))


def _cells(row: Run) -> tuple[Text | str, ...]:
    name = Text(f"{row['kernel']} ", style="bold").append(row["shape"], style="not bold")
    note = [row["state"]] if row["state"] != "warm" else []
    note += [f"{row['threads']} threads"] if row["threads"] > 1 else []
    name.append(f" {', '.join(note)}", style="dim not bold")
    memory = (row["limit"] or "").endswith("gb_per_s")
    rate = f"{row['gb_per_s']:.3g} GB/s" if memory else f"{row['gops']:.3g} GOP/s"
    share = f"{row['share_of_limit']:.0%} {row['limit'].split('_')[0]}" if row["limit"] else ""
    ratios = "\n".join(f"{ratio:7.2f} {peer}" for peer, ratio in row["peers"].items())
    colour = {True: "green", False: "red", None: "dim"}[row["passed"]]
    verdict = {True: "passed", False: "missed", None: "not measured"}[row["passed"]]
    bar = Text(f"{row['bar_id'] or ''} {verdict}".strip(), style=colour)
    if row["reason"]:
        bar.append(f"\n{row['reason']}", style="not bold dim")
    return name, f"{row['ms']:.3g}", rate, share, ratios, bar


def _limits(document: Run) -> str:
    probes = ", ".join(f"{name} {rate:.4g}" for name, rate in document["probes"].items())
    noisy = document["noisy"]
    warning = f"\nnoisy: {', '.join(noisy)} under {QUIET:.0%} of an earlier run" if noisy else ""
    return f"{document['cpu']}: {probes or 'no probes'}{warning}"


def _sum(document: Run) -> str:
    judged = [row["passed"] for row in document["rows"] if row["passed"] is not None]
    return f"{sum(judged)} of {len(judged)} bars passed"


def _provenance(quick: bool) -> Run:
    facts = bench.provenance("kernels", Path(speed.__file__).resolve().parent)
    versions = facts["versions"] | {"peers": peers.versions()}
    return facts | {"versions": versions, "backend": backend(), "quick": quick}
