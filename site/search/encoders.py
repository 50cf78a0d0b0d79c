"""What search finds with each encoder, and what the encoder costs: the recorded run, as a page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from octavo.site import plots
from octavo.site.holdings import Holdings
from octavo.site.markup import command, facts, section, table, text

Run = Mapping[str, Any]
TEACHER = "minilm"
# What was set before the run: encoder, mode, share of the teacher's nDCG@10, times its speed.
GOALS = (("small", "dense", 0.97, 4), ("static", "hybrid", 0.95, None))
STATIC_BYTES, STATIC_RATE = 2_000_000, 5_000
INTRO = (
    "<p>MiniLM is the teacher. <code>small</code> is its student with two layers in 8-bit codes; "
    "<code>static</code> is a table of word pieces, product-quantized, and what search uses unless "
    "another is asked for; <code>static-float</code> is the same table before quantization.</p>"
)


def body(holdings: Holdings) -> str:
    """The table, the goals and the plot of the newest run, or the command that makes one."""
    if not holdings.encoders:
        return INTRO + "<p>No run recorded yet.</p>" + command("octavo bench search")
    run = holdings.encoders[-1]
    lines = "".join(f"<li>{line}</li>" for line in _goals(run))
    provenance = [
        ("Command", f"<code>{text(run['command'])}</code>"),
        ("Machine", text(run["cpu"])),
        ("Date", text(run["date"])[:10]),
    ]
    return (
        INTRO
        + section("What it finds", _found(run) + f"<ul>{lines}</ul>", "found")
        + section("What it costs", _costs(run), "costs")
        + section("Size against what is found", _plot(run), "size", "plots")
        + f'<div class="provenance">{facts(provenance)}</div>'
    )


def _found(run: Run) -> str:
    rows = [
        [text(row["encoder"]), text(row["mode"]), text(row["half"])]
        + [f"{row[key]:.3f}" for key in ("ndcg", "mrr", "recall")]
        for row in run["rows"]
    ]
    return table(["Encoder", "Mode", "Half", "nDCG@10", "MRR@10", "Recall@10"], rows, (3, 4, 5))


def _costs(run: Run) -> str:
    rows = [
        [
            text(each["origin"]),
            str(each["width"]),
            f"{each['bytes'] / 1e6:.2f}",
            f"{each['abstracts_per_second']:,.0f}",
        ]
        for each in run["encoders"]
    ]
    head = ["Encoder", "Numbers a vector", "MB", "Abstracts a second of one core"]
    return table(head, rows, (1, 2, 3))


def _goals(run: Run) -> list[str]:
    """Each goal with the value of the test half, and whether it is reached."""
    ndcg = {(r["encoder"], r["mode"]): r["ndcg"] for r in run["rows"] if r["half"] == "test"}
    costs = {each["name"]: each for each in run["encoders"]}
    said = []
    for name, mode, least, times in GOALS:
        if {name, TEACHER} <= costs.keys():
            share = ndcg[name, mode] / ndcg[TEACHER, mode]
            what = f"{name}, {mode}: at least {least:.0%} of MiniLM's nDCG@10"
            said.append(_goal(what, f"{share:.1%}", share >= least))
            rates = [costs[each]["abstracts_per_second"] for each in (name, TEACHER)]
            if times is not None:
                ratio = rates[0] / rates[1]
                what = f"{name}: at least {times} times MiniLM's abstracts a second"
                said.append(_goal(what, f"{ratio:.1f} times", ratio >= times))
    own = costs["static"]
    size, rate = own["bytes"], own["abstracts_per_second"]
    said.append(_goal("static: at most 2 MB", f"{size / 1e6:.2f} MB", size <= STATIC_BYTES))
    what = f"static: at least {STATIC_RATE:,} abstracts a second of one core"
    return [*said, _goal(what, f"{rate:,.0f}", rate >= STATIC_RATE)]


def _goal(what: str, value: str, reached: bool) -> str:
    return f"Goal: {what}. Measured: {value}. {'Reached.' if reached else '<b>Missed.</b>'}"


def _plot(run: Run) -> str:
    order = sorted(run["encoders"], key=lambda each: float(each["bytes"]))
    ndcg = {(r["encoder"], r["mode"]): r["ndcg"] for r in run["rows"] if r["half"] == "test"}
    lines = [
        {
            "name": mode,
            "x": [each["bytes"] / 1e6 for each in order],
            "y": [ndcg[each["name"], mode] for each in order],
        }
        for mode in ("dense", "hybrid")
    ]
    series = {"title": "Test half", "x_label": "MB of weights", "x_scale": "log"}
    return plots.figure(series | {"y_label": "nDCG@10", "lines": lines}, "encoders")
