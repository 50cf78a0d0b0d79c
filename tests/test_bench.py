"""The bench: claims against the record, a ledger that is only appended to, drift and staleness."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

import pytest
from typer.testing import CliRunner

from octavo import bench, catalog, own
from octavo.__main__ import app
from octavo.catalog import Claim, Result
from octavo.errors import InputError, NothingNew
from octavo.reference_impls.measurement import Measurement

METHOD = "synflow"


class Fake(ModuleType):
    """A method that measures its first claim as `value` above what the record expects."""

    def __init__(self, claim: str, value: float) -> None:
        super().__init__("fake")
        self.claim, self.value = claim, value

    def claims(self, seeds: Sequence[int], quick: bool) -> Iterator[Measurement]:
        yield Measurement(self.claim, self.value, spread=0.5, baseline=1.0, baseline_name="none")


def claim_at_least() -> Claim:
    return next(c for c in catalog.methods()[METHOD].claims if c.expect == ">=")


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Claim:
    """The bench finds a method that measures one claim well above its expectation."""
    claim = claim_at_least()
    monkeypatch.setattr(bench, "find", lambda method: Fake(claim.id, claim.value + 1))
    return claim


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The real catalog with empty ledgers elsewhere."""
    (tmp_path / "results").mkdir()
    real = catalog.results
    monkeypatch.setattr(catalog, "results", lambda m: real(m, tmp_path))
    latest = catalog.latest
    monkeypatch.setattr(catalog, "latest", lambda m: latest(m, tmp_path))
    monkeypatch.setattr(catalog, "ROOT", tmp_path)
    return tmp_path


def test_a_result_says_all_that_is_needed_to_repeat_it(measured: Claim) -> None:
    (result,) = bench.run(METHOD, (4, 5, 6), quick=True)
    assert (result.claim, result.verdict, result.seeds) == (measured.id, "holds", (4, 5, 6))
    assert result.command == f"octavo bench {METHOD} --seed 4 --quick"
    assert result.code_hash == catalog.code_hash(catalog.implementation(METHOD))
    assert {"octavo", "python", "torch"} <= result.versions.keys()
    assert all((result.commit, result.cpu, result.date))


def test_ledger_only_grows_and_reads_back(measured: Claim, root: Path) -> None:
    results = bench.run(METHOD, quick=True)
    bench.record(METHOD, results, root)
    first = (root / "results" / f"{METHOD}.jsonl").read_text()
    bench.record(METHOD, results, root)
    assert (root / "results" / f"{METHOD}.jsonl").read_text() == 2 * first
    assert catalog.results(METHOD) == [*results, *results]
    assert [path.name for path in (root / "results").iterdir()] == [f"{METHOD}.jsonl"]


def test_what_is_recorded_with_this_code_is_not_run_again(measured: Claim, root: Path) -> None:
    assert not bench.recorded(METHOD, quick=True)
    bench.record(METHOD, bench.run(METHOD, quick=True), root)
    assert bench.recorded(METHOD, quick=True)
    assert not bench.recorded(METHOD, quick=False)
    outcome = CliRunner().invoke(app, ["bench", METHOD, "--quick"])
    assert isinstance(outcome.exception, NothingNew)


def test_a_drifting_verdict_is_named(
    measured: Claim, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.record(METHOD, bench.run(METHOD, quick=True), root)
    assert bench.check(METHOD, bench.run(METHOD, quick=True)) == []
    monkeypatch.setattr(bench, "find", lambda method: Fake(measured.id, measured.value - 1e9))
    (drift,) = bench.check(METHOD, bench.run(METHOD, quick=True))
    assert (drift.claim, drift.recorded, drift.now) == (measured.id, "holds", "not reproduced")
    outcome = CliRunner().invoke(app, ["bench", METHOD, "--check"])
    assert isinstance(outcome.exception, InputError)
    assert measured.id in str(outcome.exception)


@pytest.mark.parametrize(("claim", "value"), [("no-such-claim", 1.0), (None, float("nan"))])
def test_a_measurement_that_fits_no_claim_is_refused(
    claim: str | None, value: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = claim or claim_at_least().id
    monkeypatch.setattr(bench, "find", lambda method: Fake(name, value))
    with pytest.raises(InputError, match=name):
        bench.run(METHOD)


def test_run_prints_the_ledger_as_one_document(measured: Claim) -> None:
    outcome = CliRunner().invoke(app, ["run", METHOD, "--json", "--seed", "3"])
    document = json.loads(outcome.stdout)
    assert (document["method"], document["seed"]) == (METHOD, 3)
    (row,) = document["claims"]
    assert row["id"] == measured.id
    assert {"metric", "reported", "measured", "spread", "baseline", "verdict"} <= row.keys()
    others = {c.id for c in catalog.methods()[METHOD].claims} - {measured.id}
    assert set(document["not_measured"]) == others


def test_no_ledger_is_stale() -> None:
    assert bench.stale() == [], "run `octavo bench` for these: their code has changed"


def test_run_on_a_model_of_the_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text("from torch import nn\ndef net(): return nn.Linear(4, 3)\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    words = ["--model", "mine:net", "--set", "density=0.5", "--set", "iterations=2", "--json"]
    outcome = CliRunner().invoke(app, ["run", METHOD, *words, "--save", str(tmp_path / "small")])
    report = json.loads(outcome.stdout)
    assert report["macs_after"] * 2 == report["macs_before"]
    files = (tmp_path / "small").iterdir()
    assert report["bytes_after"] == sum(file.stat().st_size for file in files)


@pytest.mark.parametrize("name", ["nowhere", "no.such.module:x", "math:nothing"])
def test_a_thing_that_is_not_there_is_named(name: str) -> None:
    with pytest.raises(InputError, match=name):
        own.thing(name)


def test_doctor_says_what_runs_here() -> None:
    outcome = CliRunner().invoke(app, ["doctor", "--json"])
    found = json.loads(outcome.stdout)
    assert {"version", "backends", "backend", "encoder", "torch", "cpu", "missing"} <= found.keys()
    assert found["backend"] in found["backends"]


def test_a_result_has_the_fields_of_its_record(measured: Claim) -> None:
    assert all(isinstance(result, Result) for result in bench.run(METHOD))


def test_a_theme_names_its_methods_and_how_long_they_will_take() -> None:
    names = bench.of_theme("pruning")
    assert {"synflow", "magnitude", "rigl"} <= set(names)
    assert "adaround" not in names
    assert bench.outlook(["synflow"], quick=False).startswith("1 methods, about ")
    outcome = CliRunner().invoke(app, ["bench", "--theme", "no-such-theme"])
    assert outcome.exit_code == 1


def test_a_bench_of_no_method_is_one_line() -> None:
    with pytest.raises(InputError, match="unknown method 'nope'; implemented are: adaround, "):
        bench.recorded("nope", True)
