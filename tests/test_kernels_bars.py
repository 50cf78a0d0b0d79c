"""Bars: data that every case answers to, the machine's limits, and the record of a run."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from octavo import catalog, speed
from octavo.__main__ import app
from octavo.errors import InputError
from octavo.ingest import judged
from octavo.kernels import bars, measured, roofline, runtime
from octavo.kernels.bars import Bar, Case
from octavo.kernels.peers import deepsparse, faiss, ggml, onnx_runtime, xnnpack

HOME = Path(bars.__file__).parent
PROBES = {"fma_gflops": 100.0, "l3_gb_per_s": 50.0}
RECORD = {  # what the site renders
    *("kernel", "date", "commit", "command", "cpu", "backend", "versions", "quick", "seconds"),
    *("probes", "rows", "crossovers", "noisy"),
}
ROW = {
    *("kernel", "shape", "state", "threads", "backend", "ms", "gops", "gb_per_s", "intensity"),
    *("limit", "share_of_limit", "peers", "bar", "bar_id", "passed", "reason", "asked", "absent"),
}
needs_native = pytest.mark.skipif(not runtime.is_native(), reason="native kernels are not built")


def case(**given: Any) -> Case:
    return Case("int4_matmul", "1x1", 1e6, lambda: None, {"dense": lambda: None}, **given)


def row(peers: dict[str, float], **given: Any) -> dict[str, Any]:
    plain = {"backend": "avx512", "share_of_limit": 0.5, "gops": 100.0, "gb_per_s": None, "ms": 1.0}
    return {"peers": peers, **plain, **given}


@pytest.mark.parametrize("bar", bars.bars().values(), ids=lambda bar: bar.id)
def test_a_case_answers_to_each_bar(bar: Bar) -> None:
    if bar.tests:
        assert all((Path(__file__).parents[1] / path).is_file() for path in bar.tests.split())
        return
    home = HOME / bar.kernel / ("gpu_bars.py" if bar.backend == "triton" else "bars.py")
    if not home.is_file():
        pytest.skip(f"{bar.kernel} is not here yet")
    stem = bar.id.partition("-")[0]
    answered = f'"{bar.id}"' in home.read_text() or f'f"{stem}-{{' in home.read_text()
    assert answered or bar.reason, "no case, and no word why"
    assert bar.peers or bar.kept_peers or bar.share or bar.gops or bar.gb_per_s or bar.microseconds


def test_no_case_carries_a_bare_number() -> None:
    texts = {home.parent.name: home.read_text() for home in HOME.glob("*/bars.py")}
    assert [name for name, text in texts.items() if "bar=" in text.replace("bar=SHARE", "")] == []


def test_a_bar_that_no_one_knows_is_an_error() -> None:
    with pytest.raises(InputError, match="no bar 'K99'"):
        bars.bar_of(case(bar_id="K99"))


def test_a_bar_by_the_share_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Bar("X", "int4_matmul", "", peers={"a": 2.0}, kept_peers={"dense": 0.8})
    monkeypatch.setattr(bars, "bars", lambda: {"X": asked})
    assert bars.bar_of(case(bar_id="X", kept=0.5)).peers == {"a": 2.0, "dense": 1.6}


def test_a_verdict_names_the_hardest_peer_and_what_is_short() -> None:
    bar = Bar("X", "k", "", peers={"a": 1.0, "b": 2.0, "c": 3.0}, share=0.6, reason="ports")
    found = measured._verdict(bar, row({"a": 1.5, "b": 1.0, "other": 9.0}))
    assert (found["bar"], found["passed"], found["absent"]) == (2.0, False, ["c"])
    assert found["reason"] == "ports; b 1 of 2; share_of_limit 0.5 of 0.6"
    assert [each["of"] for each in found["asked"]] == ["b", "a", "share_of_limit"]
    met = measured._verdict(
        Bar("X", "k", "", peers={"a": 1.0}, gops=99.0, reason="ports"), row({"a": 1.0})
    )
    assert (met["passed"], met["reason"]) == (True, None)


def test_a_verdict_is_open_where_nothing_could_be_asked() -> None:
    absent = measured._verdict(Bar("X", "k", "", peers={"a": 1.0}), row({}))
    assert (absent["passed"], absent["bar"], absent["reason"]) == (None, None, None)
    elsewhere = measured._verdict(Bar("X", "k", "", gops=1.0, backend="avx2"), row({}))
    assert (elsewhere["passed"], elsewhere["reason"]) == (None, "only on avx2")


def test_microseconds_are_a_most() -> None:
    bar = Bar("X", "k", "", microseconds=2.0)
    assert measured._verdict(bar, row({}, ms=0.0019))["passed"]
    assert not measured._verdict(bar, row({}, ms=0.0021))["passed"]


def test_the_nearest_limit_counts() -> None:
    both = case(limit=("fma", "l3"), moved=3e5)
    assert measured.share_of_limit(both, 0.05, PROBES) == (0.2, "fma_gflops")
    assert measured.share_of_limit(both._replace(moved=1e6), 0.05, PROBES) == (0.4, "l3_gb_per_s")
    assert measured.share_of_limit(both._replace(units=4e6), 0.05, PROBES) == (0.8, "fma_gflops")
    assert measured.share_of_limit(both, 0.05, {}) == (None, None)


def test_a_level_of_memory_holds_what_fits() -> None:
    sizes = [1 << 14, 1 << 19, roofline.last_cache(), roofline.last_cache() + 1]
    assert [roofline.level(size) for size in sizes] == ["l1", "l2", "l3", "dram"]


@needs_native
def test_probes_are_those_of_the_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roofline, "SAMPLE_MS", 0.2)
    monkeypatch.setattr(roofline, "cold_bytes", lambda: 1 << 24)
    found = roofline.probes()
    assert {"fma_gflops", "fadd_gops", *roofline.MEMORY.values()} <= found.keys()
    assert min(found.values()) > 0
    with pytest.raises(ValueError, match="no such unit"):
        runtime.native.roofline_spin("abacus", 1)
    with pytest.raises(ValueError, match="multiple of 1024"):
        runtime.native.roofline_read(torch.zeros(4096, dtype=torch.uint8), 1000, 1)


@pytest.fixture
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """One case of each kernel stands for all; the machine is not probed."""
    monkeypatch.setattr(roofline, "probes", lambda: dict(PROBES))


def test_a_record_has_what_the_site_renders(quickly: None, tmp_path: Path) -> None:
    heard: list[str] = []
    document, (record,) = speed.run(["hadamard"], True, heard.append)
    assert heard == ["hadamard"]
    assert record.keys() >= RECORD
    assert all(each.keys() >= ROW for each in record["rows"])
    assert record["command"] == "octavo bench hadamard --quick"
    assert document["rows"] == record["rows"]
    for _ in range(2):
        speed.record([record], tmp_path)
    assert catalog.kernel_runs("hadamard", tmp_path) == [json.loads(json.dumps(record))] * 2
    assert catalog.kernel_runs("csr_spmm", tmp_path) == []


def test_runs_of_several_kernels_make_one_document() -> None:
    one = {"probes": {"fma": 1.0, "l1": 5.0}, "noisy": ["fma"], "seconds": 1.0}
    one |= {"rows": [{"kernel": "a"}], "crossovers": {"a": []}, "date": "first"}
    two = {"probes": {"fma": 2.0}, "noisy": [], "seconds": 2.0}
    two |= {"rows": [{"kernel": "b"}], "crossovers": {"b": [1]}, "date": "later"}
    assert speed.together([one, two]) == {
        "probes": {"fma": 2.0, "l1": 5.0},
        "noisy": ["fma"],
        "seconds": 3.0,
        "rows": [{"kernel": "a"}, {"kernel": "b"}],
        "crossovers": {"a": [], "b": [1]},
        "date": "first",
    }


def test_a_busy_machine_is_seen(tmp_path: Path) -> None:
    past = {"kernel": "hadamard", "cpu": "A, 2 threads", "backend": "avx2", "probes": {"fma": 10.0}}
    speed.record([past, past | {"probes": {"fma": 4.0}}], tmp_path)
    assert speed.busy({"fma": 8.4, "new": 1.0}, "A, 1 threads", "avx2", tmp_path) == ["fma"]
    assert speed.busy({"fma": 8.6}, "A, 1 threads", "avx2", tmp_path) == []
    assert speed.busy({"fma": 1.0}, "B, 1 threads", "avx2", tmp_path) == []
    assert speed.busy({"fma": 1.0}, "A, 1 threads", "generic", tmp_path) == []


@pytest.mark.parametrize("words", [["--json"], []])
def test_bench_of_one_kernel(
    quickly: None, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    kept: list[Any] = []
    monkeypatch.setattr(speed, "record", kept.extend)
    outcome = CliRunner().invoke(app, ["bench", "hadamard", "--quick", *words])
    assert outcome.exit_code == 0, outcome.output
    assert kept == []  # a quick run is for looking
    if words:
        assert {"probes", "rows"} <= json.loads(outcome.stdout).keys()
    else:
        assert "hadamard" in outcome.stdout


def test_bench_refuses_a_method_among_kernels() -> None:
    with pytest.raises(InputError, match="'synflow' is no kernel"):
        speed.names(["synflow"])
    assert speed.names([]) == measured.kernels()


def test_bench_search_keeps_a_full_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    score = judged.Score("words", "test", 3, 0.5, 0.5, 0.5)
    monkeypatch.setattr(judged, "measure", lambda library: [score])
    monkeypatch.setattr(catalog, "ROOT", tmp_path)
    for words in (["--quick"], [], ["--json"]):
        outcome = CliRunner().invoke(app, ["--library", str(tmp_path), "bench", "search", *words])
        assert outcome.exit_code == 0, outcome.output
    lines = (tmp_path / "results" / "search.jsonl").read_text().splitlines()
    assert len(lines) == 2
    assert json.loads(lines[0])["rows"][0]["ndcg"] == 0.5


def test_a_peer_that_is_not_installed_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (deepsparse, faiss, ggml, onnx_runtime, xnnpack):
        monkeypatch.setattr(module, "find_spec", lambda name: None)
    x, codes = torch.ones(1, 32), torch.ones(8, 32, dtype=torch.int8)
    assert onnx_runtime.grouped(x, 8, 4, 32) == onnx_runtime.dynamic(x, codes) == {}
    assert xnnpack.product(x, 8, 4, 32) == faiss.nearest(x, x) == {}
    assert ggml.product(x, x, "q8_0") == deepsparse.product(x, x) == {}


@pytest.mark.skipif(importlib.util.find_spec("onnxruntime") is None, reason="no onnxruntime")
@pytest.mark.parametrize("bits", [2, 4])
def test_a_product_of_onnx_runtime_runs(bits: int) -> None:
    (call,) = onnx_runtime.grouped(torch.ones(2, 64), 16, bits, 32, copies=2).values()
    assert call() is None
    assert call() is None


@pytest.mark.skipif(not ggml.installed(), reason="no llama-cpp-python")
@pytest.mark.parametrize(("kind", "off"), [("q4_0", 0.12), ("q4_K", 0.1), ("q8_0", 0.01)])
def test_a_product_of_ggml_is_near(kind: str, off: float) -> None:
    generator = torch.Generator().manual_seed(0)
    x, weight = (torch.randn(n, 512, generator=generator) for n in (3, 64))
    for call in ggml.product(x, weight, kind, copies=2).values():
        assert call() == call() == 0
    (plain, *_) = ggml.products(x, weight, kind).values()
    plain()
    exact = x @ weight.T
    assert (torch.from_numpy(plain.answer()) - exact).norm() < off * exact.norm()


@pytest.mark.skipif(not deepsparse.installed(), reason="no deepsparse")
def test_a_product_of_deepsparse_is_right() -> None:
    generator = torch.Generator().manual_seed(0)
    x, weight = (torch.randn(n, 64, generator=generator) for n in (5, 32))
    weight = weight * (weight > 1)
    (call,) = deepsparse.product(x, weight).values()
    y = torch.from_numpy(deepsparse.answer(call(), 5, 32))
    torch.testing.assert_close(y, x @ weight.T, rtol=1e-5, atol=1e-5)
