"""Run the claims of methods, hold the values against the record, and keep the ledger.

A ledger line carries all that is needed to repeat it: command, commit, hash of the code, seeds,
versions, machine, seconds, date. Lines are only ever appended.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

import octavo
from octavo import catalog
from octavo.catalog import Claim, Result
from octavo.errors import InputError
from octavo.reference_impls import find, found, machine
from octavo.reference_impls.measurement import Measurement

SEEDS = (0, 1, 2)
PACKAGES = ("torch", "numpy", "scipy", "transformers", "sentence-transformers")
COLOURS = dict(zip(catalog.VERDICTS, ("green", "yellow", "red"), strict=True))
Watch = Callable[[Result], None]


@dataclass(frozen=True)
class Drift:
    """A claim whose verdict is not the recorded one any more."""

    method: str
    claim: str
    recorded: str
    now: str
    value: float

    def __str__(self) -> str:
        was = f"was {self.recorded!r}, is {self.now!r}"
        return f"{self.method} {self.claim}: {was} (measured {self.value:.6g})"


def run(
    method: str, seeds: Sequence[int] = SEEDS, quick: bool = False, watch: Watch | None = None
) -> list[Result]:
    """Measure the claims of one method. Nothing is written; `watch` sees each value as it comes.

    Raises:
        InputError: no such method, or its module measures a claim that its record does not have.
    """
    module = find(method)
    claims = {claim.id: claim for claim in catalog.methods()[method].claims}
    facts = _provenance(method, seeds, quick)
    results = []
    start = time.perf_counter()
    for measured in module.claims(tuple(seeds), quick):
        seconds, start = time.perf_counter() - start, time.perf_counter()
        claim = _claim(method, claims, measured)
        results.append(_result(method, claim, measured, {**facts, "seconds": round(seconds, 3)}))
        if watch is not None:
            watch(results[-1])
    return results


def record(method: str, results: Sequence[Result], root: Path = catalog.ROOT) -> None:
    """Append results to the ledger of a method: all of them or none."""
    append(root / "results" / f"{method}.jsonl", [asdict(result) for result in results])


def append(path: Path, records: Sequence[dict[str, Any]]) -> None:
    """Append a line of JSON for each record: all of them or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    before = path.read_text(encoding="utf-8") if path.is_file() else ""
    lines = [json.dumps(each, ensure_ascii=False, allow_nan=False) + "\n" for each in records]
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(before + "".join(lines))
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def recorded(method: str, quick: bool) -> bool:
    """Whether the ledger has this kind of run of the code as it is now.

    Raises:
        InputError: there is no such method; those that exist are named.
    """
    find(method)
    now = catalog.code_hash(catalog.implementation(method))
    return any(r.code_hash == now and r.quick == quick for r in catalog.results(method))


def of_theme(theme: str) -> list[str]:
    """The methods of a theme that can be run.

    Raises:
        InputError: no method of such a theme can be run; those that have one are named.
    """
    methods = {m: catalog.methods()[m].theme for m in found()}
    if theme not in methods.values():
        raise InputError(
            f"no method of theme {theme!r} runs; {', '.join(sorted({*methods.values()}))} do"
        )
    return [m for m, of in methods.items() if of == theme]


def outlook(names: Sequence[str], quick: bool) -> str:
    """How long these methods will take, by their earlier runs of the same kind."""
    runs = {m: [r for r in catalog.results(m) if r.quick == quick] for m in names}
    newest = {m: max((r.commit + r.date[:10] for r in rs), default="") for m, rs in runs.items()}
    seconds = sum(
        r.seconds for m, rs in runs.items() for r in rs if r.commit + r.date[:10] == newest[m]
    )
    unknown = sum(not rs for rs in runs.values())
    more = f", {unknown} of them never timed" if unknown else ""
    return f"{len(names)} methods, about {seconds / 60:.0f} min by earlier runs{more}"


def check(method: str, results: Sequence[Result]) -> list[Drift]:
    """Claims whose verdict in these quick results is not the one recorded (quick lines first)."""
    ledger = catalog.latest(method)
    for line in sorted((r for r in catalog.results(method) if r.quick), key=lambda r: r.date):
        ledger[line.claim] = line
    return [
        Drift(method, r.claim, ledger[r.claim].verdict, r.verdict, r.value)
        for r in results
        if r.claim in ledger and ledger[r.claim].verdict != r.verdict
    ]


def stale() -> list[str]:
    """Methods whose ledger was measured with other code than they have now, or is empty."""
    return [m for m in found() if not catalog.latest(m) or catalog.stale(m)]


def ledger(method: str, seed: int, results: Sequence[Result]) -> dict[str, Any]:
    """What `octavo run --json` prints: each claim beside what was measured."""
    claims = {claim.id: claim for claim in catalog.methods()[method].claims}
    rows = [_row(claims[result.claim], result) for result in results]
    missing = sorted(set(claims) - {result.claim for result in results})
    seconds = round(sum(result.seconds for result in results), 3)
    return {
        "method": method,
        "seed": seed,
        "claims": rows,
        "not_measured": missing,
        "seconds": seconds,
    }


def table(document: dict[str, Any]) -> Table:
    """The ledger for people: under each claim what it says and what the paper reports."""
    view = Table(title=f"{document['method']}, {document['seconds']:.0f} s", show_lines=True)
    view.add_column("claim", ratio=1)
    for column in ("expected", "measured", "baseline", "verdict"):
        view.add_column(column, justify="right", no_wrap=column != "baseline")
    for row in document["claims"]:
        unit = f" {row['unit']}" if row["unit"] else ""
        spread = f"\n± {row['spread']:.2g}" if row["spread"] else ""
        baseline = "" if row["baseline"] is None else f"{row['baseline']:.4g}"
        words = Text(f"{row['id']}\n", style="bold")
        words.append(f"{row['statement']} Reported: {row['reported']}", style="not bold dim")
        measured = f"{row['measured']:.4g}{unit}{spread}"
        named = "\n".join(part for part in (baseline, row["baseline_name"]) if part)
        verdict = Text(row["verdict"], style=COLOURS[row["verdict"]])
        view.add_row(words, row["expected"], measured, named, verdict)
    return view


def commit(path: Path) -> str:
    """The commit checked out where `path` lies, "+" if the file or folder differs from it."""
    home = path if path.is_dir() else path.parent
    head = _git(home, "rev-parse", "HEAD")
    if head is None:
        return f"release {octavo.__version__}"
    return head + ("+" if _git(home, "status", "--porcelain", "--", str(path)) else "")


def _row(claim: Claim, result: Result) -> dict[str, Any]:
    slack = f" ± {claim.tolerance:g}" if claim.tolerance else ""
    return {
        "id": claim.id,
        "statement": claim.statement,
        "metric": claim.metric,
        "unit": claim.unit,
        "reported": claim.reported,
        "expected": f"{claim.expect} {claim.value:g}{slack}",
        "measured": result.value,
        "spread": result.spread,
        "baseline": result.baseline,
        "baseline_name": result.baseline_name,
        "verdict": result.verdict,
        "note": result.note,
    }


def _claim(method: str, claims: dict[str, Claim], measured: Measurement) -> Claim:
    if measured.claim not in claims:
        known = ", ".join(claims) or "none"
        raise InputError(f"{method} measures {measured.claim!r}; its record has: {known}")
    if not math.isfinite(measured.value):
        raise InputError(
            f"{method} {measured.claim}: measured {measured.value}, which is no number"
        )
    return claims[measured.claim]


def _result(method: str, claim: Claim, measured: Measurement, facts: dict[str, Any]) -> Result:
    return Result(
        method=method,
        claim=claim.id,
        value=measured.value,
        spread=measured.spread,
        seeds=measured.seeds or facts["asked"],
        baseline=measured.baseline,
        baseline_name=measured.baseline_name,
        verdict=catalog.verdict(claim, measured.value),
        series=None if measured.series is None else dict(measured.series),
        note=measured.note,
        **{name: value for name, value in facts.items() if name != "asked"},
    )


def _provenance(method: str, seeds: Sequence[int], quick: bool) -> dict[str, Any]:
    path = catalog.implementation(method)
    return {
        "asked": tuple(seeds),
        **provenance(f"{method} --seed {min(seeds)}{' --quick' if quick else ''}", path.resolve()),
        "code_hash": catalog.code_hash(path),
        "quick": quick,
    }


def provenance(what: str, path: Path = catalog.ROOT) -> dict[str, Any]:
    """What a line of results says of its run; the commit is that of `path`."""
    return {
        "command": f"octavo bench {what}",
        "commit": commit(path),
        "versions": {"octavo": octavo.__version__, **machine.versions(*PACKAGES)},
        "cpu": machine.cpu(),
        "gpu": machine.gpu(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _git(folder: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
