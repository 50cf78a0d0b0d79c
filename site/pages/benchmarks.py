"""Every claim with its verdict: what did not hold first, then each method in a fold of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from octavo.catalog import Claim, Method, Result
from octavo.site import ledger, speed
from octavo.site.figures import expected, measured
from octavo.site.holdings import VERDICTS, Holdings
from octavo.site.markup import Page, inline, link, plural, section, table, text

MISSED = ("Claim", "Expected here", "Measured", "Verdict")
WORSE = VERDICTS[:0:-1]  # worst first, without those that hold


def pages(holdings: Holdings) -> Iterator[Page]:
    """The one page."""
    claiming = sorted((m for m in holdings.methods.values() if m.claims), key=lambda m: m.name)
    ready = [m for m in claiming if m.id in holdings.implemented or holdings.latest.get(m.id)]
    ready.sort(key=lambda m: not holdings.latest.get(m.id))
    later = [method for method in claiming if method not in ready]
    body = (
        '<header class="head"><h1>Benchmarks</h1><p class="lead">What papers claim, next to what '
        "this code measured. Expectations are written before the run and never adjusted to it."
        f"</p></header>{_tally(holdings)}{_ways()}"
        + section("What did not hold", _misses(holdings), "misses", "stack misses")
        + section("Kernels below their bar", _kernels(holdings), "kernels", "narrow")
        + section("Every claim, by method", _folds(ready, holdings), "methods", "ledger folds")
        + section(
            "Written down, not implemented yet", _folds(later, holdings), "later", "ledger folds"
        )
        + ("" if claiming else '<p class="quiet">No claim is written down yet.</p>')
    )
    yield Page("benchmarks", "Benchmarks", body, "All claims and verdicts.", section="benchmarks")


def _tally(holdings: Holdings) -> str:
    rows = "".join(
        f'<li><span class="verdict {kind}">{text(name)}</span> <b class="fig">{count:,}</b></li>'
        for name, kind, count in ledger.tally(holdings)
    )
    return f'<ul class="tally">{rows}</ul>'


def _ways() -> str:
    """What is measured on pages of its own."""
    named = [
        ("kernels/", "each kernel against its limit"),
        ("kernels/#models", "whole models in every form"),
        ("search/measured/", "search in the browser"),
        ("search/encoders/", "its encoders"),
        ("tagging/", "the tagger"),
        ("scale/", "ten thousand papers"),
    ]
    links = ", ".join(link(f"../{path}", name) for path, name in named)
    return f"<p>Measured apart: {links}.</p>"


def _misses(holdings: Holdings) -> str:
    """A row a claim that was measured and does not hold, the worst first."""
    found = [
        (WORSE.index(run.verdict), method, claim, run)
        for method in holdings.methods.values()
        for claim in method.claims
        if (run := holdings.latest.get(method.id, {}).get(claim.id)) and run.verdict in WORSE
    ]
    found.sort(key=lambda each: (each[0], each[1].name))
    rows = [_miss(method, claim, run) for _, method, claim, run in found]
    return table(MISSED, rows) if rows else ""


def _miss(method: Method, claim: Claim, run: Result) -> list[str]:
    place = link(f"#{method.id}-claim-{claim.id}", method.name)
    return [
        f'{place}<p class="reason">{inline(claim.statement)}</p>',
        f'<span class="fig">{text(expected(claim))}</span>',
        f'<span class="fig">{text(measured(run, claim.unit))}</span>',
        ledger.verdict(run),
    ]


def _kernels(holdings: Holdings) -> str:
    """Kernels of whose measured rows some lie below what was asked, with how many do."""
    rows = []
    for name, run in holdings.speeds.items():
        judged = [row["passed"] for row in speed.barred(run) if row["passed"] is not None]
        below = judged.count(False)
        if below:
            place = link(f"../kernels/{name}/#bars", name)
            rows.append([f"<code>{place}</code>", f"{below} of {len(judged)}"])
    return table(["Kernel", "Rows below"], rows, (1,)) if rows else ""


def _folds(methods: list[Method], holdings: Holdings) -> str:
    return "".join(_fold(method, holdings) for method in methods)


def _fold(method: Method, holdings: Holdings) -> str:
    runs = holdings.latest.get(method.id, {})
    return (
        f'<details class="accented theme-{text(method.theme)}" id="{text(method.id)}">'
        f"<summary><h3>{text(method.name)}</h3> "
        f'<span class="quiet">{_counts(method, runs)}</span></summary>'
        f"<p>{link(f'../methods/{method.id}/', 'The method')}</p>"
        + ledger.claims_table(method.claims, runs, f"{method.id}-")
        + f'<div class="provenance">{ledger.provenance(method, holdings)}</div></details>'
    )


def _counts(method: Method, runs: Mapping[str, Result]) -> str:
    """How many claims there are, and how many of each verdict."""
    seen = [run.verdict for run in runs.values()]
    said = [f"{seen.count(verdict)} {verdict}" for verdict in VERDICTS if verdict in seen]
    return ", ".join(said) if said else plural(len(method.claims), "claim")
