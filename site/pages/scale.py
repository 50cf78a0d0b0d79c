"""Ten thousand papers: what taking them in, their site and searching it cost, as recorded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from statistics import median
from typing import Any

from octavo.site.figures import number
from octavo.site.holdings import Holdings
from octavo.site.markup import Page, command, facts, section, table, text

Run = Mapping[str, Any]
GOAL_SECONDS, GOAL_BYTES = 60, 1_500_000
LEAD = (
    "The catalog among neighbours that nobody wrote, its own words in another order, each with "
    "authors, year, arXiv number and abstract: what work on a library of that size costs."
)


def pages(holdings: Holdings) -> Iterator[Page]:
    """The one page."""
    body = f'<header class="head"><h1>Ten thousand papers</h1><p class="lead">{LEAD}</p></header>'
    body += "".join(map(_run, holdings.scale)) or "<p>No run recorded yet.</p>"
    body += section("Run it", command("octavo bench scale"), "run")
    yield Page("scale", "Ten thousand papers", body, LEAD, section="benchmarks")


def _run(run: Run) -> str:
    heads = ["What", "Measured", "Seconds of a core", "Goal", "Reached"]
    provenance = facts(
        [
            ("Command", f"<code>{text(run['command'])}</code>"),
            ("Machine", text(f"{run['cpu']}; {run['cores']} cores")),
            ("Load before", f"{run['load_before']:.1f} processes"),
            ("Commit", f"<code>{text((run['commit'] or '')[:12])}</code>"),
            ("Date", text(run["date"][:10])),
        ]
    )
    return (
        section(
            "What it takes", f'<div class="stack">{table(heads, _rows(run), (1, 2))}</div>', "took"
        )
        + "<p>Beside other work the clock counts what the others take; the seconds of a core are "
        "this work's own, of all its processes.</p>" + f'<div class="provenance">{provenance}</div>'
    )


def _rows(run: Run) -> list[list[str]]:
    most = max(sum(first.values()) for first in run["first"])
    middle = median(sum(first.values()) for first in run["first"])
    times = run["milliseconds"]
    return [
        _timed(f"{run['records']:,} records taken in, tagged and indexed", run["ingest"]),
        _timed(f"a site of {run['papers']:,} papers, {run['pages']:,} pages", run["site"]),
        [
            "what a reader's first query fetches, gzip",
            f"{middle / 1e3:,.0f} kB (most {most / 1e3:,.0f})",
            "",
            f"{GOAL_BYTES / 1e6:.1f} MB",
            _mark(most <= GOAL_BYTES),
        ],
        ["a later query, half of them within", f"{number(times['median'])} ms", "", "", ""],
        ["a later query, 95 of 100 within", f"{number(times['p95'])} ms", "", "", ""],
    ]


def _timed(what: str, spent: Mapping[str, float]) -> list[str]:
    reached = spent["seconds"] <= GOAL_SECONDS
    took = [f"{number(spent['seconds'])} s", f"{number(spent['core_seconds'])} s"]
    return [what, *took, f"{GOAL_SECONDS} s", _mark(reached)]


def _mark(reached: bool) -> str:
    kind, word = ("holds", "yes") if reached else ("missed", "no")
    return f'<span class="verdict {kind}">{word}</span>'
