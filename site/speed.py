"""How fast a kernel is, from its recorded run: rows, bars, its place under the roofline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from octavo.site import figures, plots
from octavo.site.markup import command, facts, fold, plural, table, text

Run = Mapping[str, Any]  # a line of catalog/results/kernels/<kernel>.jsonl
Row = Mapping[str, Any]
BANDWIDTH = "_gb_per_s"
VERDICTS = {True: ("holds", "met"), False: ("missed", "missed"), None: ("none", "not measured")}
MEASURES = {"share_of_limit": "of the limit", "gops": "GOP/s", "gb_per_s": "GB/s"}
COMPUTE = ("_gflops", "_gops")
PROBES = {
    "fma_gflops": "float32 multiply-add",
    "vnni_gops": "int8 dot product",
    "fadd_gops": "float32 addition",
    "sad_gops": "absolute differences",
    "shuffle_gops": "byte shuffle",
    "l1_gb_per_s": "L1",
    "l2_gb_per_s": "L2",
    "l3_gb_per_s": "L3",
    "dram_gb_per_s": "memory",
}


def probe(name: str) -> str:
    """A probe in words.

    >>> probe("dram_gb_per_s"), probe("popcount_gops")
    ('memory', 'popcount')
    """
    plain = name.removesuffix(BANDWIDTH)
    for ending in COMPUTE:
        plain = plain.removesuffix(ending)
    return PROBES.get(name, plain.replace("_", " "))


def best_share(run: Run | None) -> float | None:
    """The largest share of a limit that any row of a run reaches."""
    shares = [row["share_of_limit"] for row in (run or {}).get("rows", ())]
    return max((share for share in shares if share is not None), default=None)


def barred(run: Run | None) -> list[Row]:
    """The rows of a run that have a bar, measured here or not."""
    return [row for row in (run or {}).get("rows", ()) if row.get("bar_id") or row.get("asked")]


def met(run: Run | None) -> str:
    """How many of the rows with a bar that could be measured reach it: `5 of 7`."""
    judged = [row["passed"] for row in barred(run) if row["passed"] is not None]
    return f"{sum(judged)} of {len(judged)}" if judged else ""


def rows_table(run: Run) -> str:
    """Every row: what was run, how long it took, how near it came to its limit."""
    head = ["Shape", "Run", "ms", "GOP/s", "GB/s", "Share of limit", "Against peers"]
    rows = [_row(row, run) for row in run["rows"]]
    kept = [i for i in range(len(head)) if any(row[i] for row in rows)]
    numbers = [place for place, i in enumerate(kept) if i in (2, 3, 4)]
    return table([head[i] for i in kept], ([row[i] for i in kept] for row in rows), numbers)


def _row(row: Row, run: Run) -> list[str]:
    return [
        text(row["shape"]),
        text(_state(row, run)),
        _figure(row.get("ms")),
        _figure(row.get("gops") or None),
        _figure(row.get("gb_per_s") or None),
        _share(row),
        _peers(row["peers"]),
    ]


def _state(row: Row, run: Run) -> str:
    """Warm or cold, threads where several, instruction set where not the run's own."""
    threads = row.get("threads") or 1
    parts = [str(row.get("state") or "")]
    parts += [plural(threads, "thread")] if threads > 1 else []
    parts += [str(row["backend"])] if row.get("backend") not in (None, run.get("backend")) else []
    return ", ".join(part for part in parts if part)


def _figure(value: float | None) -> str:
    """Three significant digits, or nothing."""
    return "" if value is None else figures.number(float(f"{value:.3g}"))


def _share(row: Row) -> str:
    share = row.get("share_of_limit")
    if share is None:
        return ""
    limit = f'<small class="where">{text(probe(row["limit"]))}</small>' if row.get("limit") else ""
    return f'<span class="fig">{share:.0%}</span>{limit}'


def _peers(peers: Mapping[str, float]) -> str:
    lines = "".join(
        f'<div class="peer"><b class="fig">{ratio:.2f}</b> {text(name)}</div>'
        for name, ratio in peers.items()
    )
    return f"<div>{lines}</div>" if lines else ""


def bars_table(run: Run) -> str:
    """Every row with a bar: what came beside what was asked, and if it was missed, why."""
    rows = barred(run)
    return table(["Row", "Reached", "Verdict"], (_bar(row, run) for row in rows)) if rows else ""


def _bar(row: Row, run: Run) -> list[str]:
    kind, word = VERDICTS[row["passed"]]
    state, reason = _state(row, run), row.get("reason")
    reached = "".join(
        f'<div class="peer"><b class="fig">{_of(each["of"], each["reached"])}</b> '
        f"≥ {_of(each['of'], each['least'])} {text(MEASURES.get(each['of'], each['of']))}</div>"
        for each in row.get("asked", ())
    )
    return [
        (f"<code>{text(row['bar_id'])}</code> " if row.get("bar_id") else "")
        + text(row["shape"])
        + (f", {text(state)}" if state else "")
        + (f'<p class="reason">{text(reason)}</p>' if reason else ""),
        f"<div>{reached}{_absent(row)}</div>" if reached or row.get("absent") else "",
        f'<span class="verdict {kind}">{word}</span>',
    ]


def _absent(row: Row) -> str:
    """Peers of a bar that were not installed, and so not asked."""
    names = ", ".join(row.get("absent") or ())
    return f'<small class="where">not installed here: {text(names)}</small>' if names else ""


def _of(measure: str, value: float) -> str:
    """A measured or asked value: a share in percent, a ratio with two digits."""
    if measure == "share_of_limit":
        return f"{value:.0%}"
    return _figure(value) if measure in ("gops", "gb_per_s") else f"{value:.2f}"


def roofline(run: Run) -> dict[str, Any]:
    """The series of a roofline plot: ceilings of the probes, a dot for each row."""
    rows = [row for row in run["rows"] if row.get("intensity") and row.get("gops")]
    probes = {name: value for name, value in run.get("probes", {}).items() if value}
    peaks = _peaks(probes, {row.get("limit") for row in rows})
    if not rows or not peaks:
        return {}
    slopes = {name: value for name, value in probes.items() if name.endswith(BANDWIDTH)}
    ridges = [max(peaks.values()) / value for value in slopes.values()]
    spots = [row["intensity"] for row in rows]
    low, high = min(*spots, *ridges) / 2, max(*spots, *ridges) * 2
    lines = [*_slopes(slopes, max(peaks.values()), low), *_flats(peaks, slopes, high)]
    return {
        "title": "Operations a second against operations per byte, one dot a row.",
        "x_label": "operations per byte moved",
        "y_label": "GOP/s",
        "x_scale": "log",
        "y_scale": "log",
        "lines": [*lines, *_dots(rows, run)],
    }


def _peaks(probes: Mapping[str, float], limits: set[Any]) -> dict[str, float]:
    """Ceilings of arithmetic: those that limit a row, or all where none does."""
    flat = {name: value for name, value in probes.items() if name.endswith(COMPUTE)}
    return {name: value for name, value in flat.items() if name in limits} or flat


def _slopes(slopes: Mapping[str, float], peak: float, low: float) -> Iterator[dict[str, Any]]:
    for name, speed in sorted(slopes.items(), key=lambda pair: -pair[1]):
        x = [low, peak / speed]
        label = f"{probe(name)}, {_figure(speed)} GB/s"
        yield {"name": label, "draw": "line", "x": x, "y": [speed * each for each in x]}


def _flats(
    peaks: Mapping[str, float], slopes: Mapping[str, float], high: float
) -> Iterator[dict[str, Any]]:
    fastest = max(slopes.values(), default=0.0)
    for name, peak in sorted(peaks.items(), key=lambda pair: -pair[1]):
        x = [peak / fastest if fastest else high / 1e3, high]
        label = f"{probe(name)}, {_figure(peak)} GOP/s"
        yield {"name": label, "draw": "line", "x": x, "y": [peak, peak]}


def _dots(rows: Sequence[Row], run: Run) -> Iterator[dict[str, Any]]:
    for state in dict.fromkeys(_state(row, run) for row in rows):
        mine = [row for row in rows if _state(row, run) == state]
        yield {
            "name": state or "rows",
            "names": [f"{row['shape']}, {state}" if state else row["shape"] for row in mine],
            "draw": "dots",
            "x": [row["intensity"] for row in mine],
            "y": [row["gops"] for row in mine],
        }


def drawings(run: Run) -> str:
    """The roofline, then a plot for each crossover."""
    name = str(run["kernel"])
    made = plots.figure(roofline(run), f"{name}-roofline")
    for number, series in enumerate(run.get("crossovers", ()), 1):
        made += plots.figure(_crossover(series), f"{name}-crossover-{number}")
    return made


def _crossover(series: Mapping[str, Any]) -> dict[str, Any]:
    """A crossover plot: milliseconds on a log axis, the crossing marked and said."""
    crossing = series.get("crossing")
    at = f"{series.get('x_label') or 'x'} = {_figure(crossing)}" if crossing else ""
    said = f"The lines cross at {at}." if at else "The lines do not cross here."
    title = str(series.get("title") or "").rstrip(".")
    return {**series, "title": f"{title}. {said}", "y_scale": "log"}


def provenance(run: Run) -> str:
    """Where the numbers come from: command, commit, machine, versions, date."""
    versions = dict(run.get("versions", {}))
    peers = versions.pop("peers", {})
    listed = [f"{name} {version}" for name, version in sorted({**versions, **peers}.items())]
    probes = [
        f"{probe(name)} {_figure(value)} " + ("GB/s" if name.endswith(BANDWIDTH) else "GOP/s")
        for name, value in run.get("probes", {}).items()
        if value and name.endswith((BANDWIDTH, *COMPUTE))
    ]
    return facts(
        [
            ("Command", f"<code>{text(run['command'])}</code>"),
            ("Commit", f"<code>{text(run['commit'][:12])}</code>"),
            ("Machine", text(f"{run['cpu']}, {run['backend']} kernels")),
            ("Limits here", text(", ".join(probes))),
            ("Versions", text(", ".join(listed))),
            ("Date", text(run["date"][:16].replace("T", " "))),
            ("Time", f"{_figure(run['seconds'])} s" if run.get("seconds") else ""),
            ("Run", "quick settings" if run.get("quick") else ""),
        ]
    )


def _all_rows(run: Run) -> str:
    return f'<div class="speed stack">{rows_table(run)}</div>'


def section_body(name: str, run: Run | None) -> str:
    """What was measured, or that nothing was, and the command that does."""
    if run is None:
        return "<p>No run recorded yet. This command measures it:</p>" + command(
            f"octavo bench {name}"
        )
    return (
        "<p>Against each peer: its milliseconds over ours, medians of rounds taken in turn.</p>"
        + fold(f"All {plural(len(run['rows']), 'row')}", _all_rows(run))
        + f'<div class="provenance">{provenance(run)}</div>'
    )
