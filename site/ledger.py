"""The claims ledger: what a paper says, what was expected, what was measured here, the verdict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from octavo.catalog import Claim, Method, Result
from octavo.site.figures import expected, measured, number
from octavo.site.holdings import Holdings
from octavo.site.markup import command, facts, inline, table, text

CLASSES = {"holds": "holds", "trend only": "trend", "not reproduced": "missed"}
NOT_RUN = '<span class="verdict none">no run recorded yet</span>'


def verdict(run: Result | None) -> str:
    """A verdict as a word with a mark; the mark is never the only sign."""
    if run is None:
        return NOT_RUN
    return f'<span class="verdict {CLASSES.get(run.verdict, "none")}">{text(run.verdict)}</span>'


def claims_table(claims: Iterable[Claim], runs: Mapping[str, Result], prefix: str = "") -> str:
    """One row a claim; ``prefix`` keeps anchors apart where several methods share a page."""
    head = ["Claim", "Reported", "Expected here", "Measured", "Baseline", "Verdict"]
    return table(head, (_row(claim, runs.get(claim.id), prefix) for claim in claims))


def _row(claim: Claim, run: Result | None, prefix: str) -> list[str]:
    said = (
        f'<span id="{text(prefix)}claim-{text(claim.id)}">{inline(claim.statement)}</span>'
        f'<small class="where">{text(claim.where)}</small>'
        f"<details><summary>Setting</summary><p><b>Metric</b> {inline(claim.metric)}</p>"
        f"<p><b>Here</b> {inline(claim.setting)}</p>{_note(run)}</details>"
    )
    found = f'<b class="fig">{text(measured(run, claim.unit))}</b>' if run else ""
    return [
        said,
        inline(claim.reported),
        f'<span class="fig">{text(expected(claim))}</span>',
        found,
        _baseline(run),
        verdict(run),
    ]


def _note(run: Result | None) -> str:
    """What the run says about its value: networks, figures behind it, the worst case."""
    return f"<p><b>This run</b> {inline(run.note)}</p>" if run and run.note else ""


def _baseline(run: Result | None) -> str:
    if run is None or run.baseline is None:
        return ""
    name = f'<small class="where">{text(run.baseline_name)}</small>' if run.baseline_name else ""
    return f'<span class="fig">{text(number(run.baseline))}</span>{name}'


def provenance(method: Method, holdings: Holdings) -> str:
    """Where the numbers come from: command, commit, machine, versions, date."""
    runs = holdings.latest.get(method.id, {})
    if not runs and method.id not in holdings.implemented:
        return "<p>Not implemented yet: each expectation is written down before there is a run.</p>"
    if not runs:
        return (
            "<p>No run recorded yet. Each expectation was written down before any run. "
            "This command measures them:</p>" + command(f"octavo bench {method.id}")
        )
    seeds = sorted({seed for run in runs.values() for seed in run.seeds})
    newest = max(runs.values(), key=lambda run: run.date)
    versions = ", ".join(f"{name} {version}" for name, version in sorted(newest.versions.items()))
    warning = (
        '<p class="notice"><b>Stale.</b> The code has changed since this was measured.</p>'
        if holdings.stale(method.id)
        else ""
    )
    return warning + facts(
        [
            ("Command", f"<code>{text(newest.command)}</code>"),
            ("Commit", f"<code>{text(newest.commit[:12])}</code>"),
            ("Machine", text(newest.cpu) + (f", {text(newest.gpu)}" if newest.gpu else "")),
            ("Versions", text(versions)),
            ("Date", text(newest.date[:16].replace("T", " "))),
            ("Seeds", text(", ".join(str(seed) for seed in seeds))),
            ("Time", f"{number(sum(run.seconds for run in runs.values()))} s for all claims"),
            ("Run", "quick settings" if newest.quick else ""),
        ]
    )


def tally(holdings: Holdings) -> list[tuple[str, str, int]]:
    """Verdict, its class and its count, in order; then the claims without a run."""
    seen = holdings.verdicts
    rows = [(name, CLASSES[name], seen[name]) for name in CLASSES]
    return [*rows, ("no run recorded yet", "none", holdings.claims - sum(seen.values()))]
