"""Pages of kernels: every figure comes from the recorded run, and what is missing is said."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo import catalog
from octavo.site import plots, speed
from octavo.site.holdings import Holdings
from octavo.site.pages import kernels

KERNEL = '"""Multiply small codes.\n\n    y = s * c x\n"""\n\n\ndef reference(x):\n    return x\n'


def row(**changes: Any) -> dict[str, Any]:
    return {
        "kernel": "small_matmul",
        "shape": "8x64x64",
        "state": "warm",
        "threads": 1,
        "backend": "avx2",
        "ms": 0.125,
        "gops": 88.0,
        "gb_per_s": None,
        "intensity": 2.0,
        "limit": "fma_gflops",
        "share_of_limit": 0.88,
        "peers": {"rival": 1.5, "dense": 3.0},
        "bar": 1.35,
        "bar_id": "K3",
        "asked": [
            {"of": "rival", "least": 1.35, "reached": 1.5},
            {"of": "share_of_limit", "least": 0.85, "reached": 0.88},
        ],
        "passed": True,
        "reason": None,
    } | changes


def run(*rows: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "kernel": "small_matmul",
        "date": "2026-11-24T23:10:00+00:00",
        "commit": "0123456789abcdef",
        "command": "octavo bench kernels",
        "cpu": "Some CPU, 1 threads",
        "backend": "avx2",
        "versions": {"torch": "2.13.0", "peers": {"rival": "1.2"}},
        "quick": False,
        "seconds": 61.0,
        "probes": {"fma_gflops": 100.0, "vnni_gops": 400.0, "dram_gb_per_s": 20.0},
        "rows": list(rows),
        "crossovers": [],
    } | changes


def page(tmp_path: Path, speeds: dict[str, Any], *files: str) -> str:
    home = tmp_path / "kernels" / "small_matmul"
    home.mkdir(parents=True)
    (home / "__init__.py").write_text(KERNEL)
    for name in files:
        (home / name).write_text("")
    held = Holdings({}, {}, catalog.taxonomy(), {}, tmp_path, home.parent, speeds=speeds)
    return kernels.one("small_matmul", home, held).body + kernels.index(held).body


def test_a_kernel_without_a_run_says_so(tmp_path: Path) -> None:
    said = page(tmp_path, {})
    assert "No run recorded yet." in said
    assert "octavo bench small_matmul" in said
    assert "no run yet" in said
    assert "<svg" not in said


def test_rows_bars_and_provenance_are_those_of_the_run(tmp_path: Path) -> None:
    missed = row(shape="9x9", passed=False, peers={"rival": 1.1}, reason="too few rows")
    absent = row(bar=None, passed=None, asked=[], absent=["far"], reason="no peer here")
    plain = row(bar=None, passed=None, asked=[], bar_id=None)
    said = page(tmp_path, {"small_matmul": run(row(), missed, absent, plain)})
    for part in ("0.125", "88%", "1.50", "K3", "≥ 1.35", "too few rows", "rival 1.2", "1 of 2"):
        assert part in said, part
    assert said.count('class="verdict holds"') == 1
    assert said.count('class="verdict missed"') == 1
    assert said.count('class="verdict none"') == 1
    assert "≥ 85% of the limit" in said
    assert "not installed here: far" in said
    for part in ("octavo bench kernels", "0123456789ab", "Some CPU", "2026-11-24 23:10"):
        assert part in said, part


def test_the_machine_can_be_asked_where_a_form_exists(tmp_path: Path) -> None:
    assert "octavo crossover" in page(tmp_path / "a", {}, "candidates.py")
    assert "octavo crossover" not in page(tmp_path / "b", {})


def test_columns_without_a_figure_are_left_out() -> None:
    assert "GB/s" not in speed.rows_table(run(row()))
    assert "GB/s" in speed.rows_table(run(row(gb_per_s=12.5)))


def test_roofline_has_a_dot_for_each_row_and_a_ceiling_for_each_limit() -> None:
    series = speed.roofline(run(row(), row(state="cold", gops=12.0), row(intensity=None)))
    lines = {line["name"]: line for line in series["lines"]}
    assert list(lines) == ["memory, 20 GB/s", "float32 multiply-add, 100 GOP/s", "warm", "cold"]
    assert lines["warm"]["y"] == [88.0]
    assert lines["cold"]["y"] == [12.0]
    slope = lines["memory, 20 GB/s"]
    assert [y / x for x, y in zip(slope["x"], slope["y"], strict=True)] == [20.0, 20.0]
    assert slope["y"][-1] == 100.0  # the ridge
    drawn = plots.figure(series, "p")
    assert "8x64x64, cold" in drawn
    assert "style=" not in drawn


@pytest.mark.parametrize("changes", [{"probes": {}}, {"rows": []}, {"rows": [row(intensity=None)]}])
def test_no_roofline_where_there_is_nothing_to_draw(changes: dict[str, Any]) -> None:
    assert speed.drawings(run(row(), **changes)) == ""


@given(st.floats(1e-3, 1e4), st.floats(1e-2, 1e5))
def test_every_dot_lies_inside_the_ceilings_width(intensity: float, gops: float) -> None:
    series = speed.roofline(run(row(intensity=intensity, gops=gops)))
    slope, flat, dots = series["lines"]
    assert slope["x"][0] < dots["x"][0] < flat["x"][-1]


def test_crossover_plot_marks_and_says_the_crossing() -> None:
    lines = [{"name": n, "x": [1, 8, 64], "y": y} for n, y in (("a", [1, 2, 3]), ("b", [2, 2, 2]))]
    series = {"title": "ms", "x_label": "rows", "x_scale": "log", "y_label": "ms", "lines": lines}
    crossed = speed.drawings(run(crossovers=[{**series, "crossing": 8.0}]))
    apart = speed.drawings(run(crossovers=[{**series, "crossing": None}]))
    assert "The lines cross at rows = 8." in crossed
    assert "The lines do not cross here." in apart
    assert len(re.findall("<path", crossed)) > len(re.findall("<path", apart))


def test_whole_models_are_tabled_and_drawn(tmp_path: Path) -> None:
    facts = {"model": "encoder <i>", "input": "float32 (1, 8)", "bytes": 2_000_000}
    dense = {**facts, "form": "dense float32", "prefer": None, "ms": 4.0, "ratio": 1.0}
    dense |= {"deviation_simulated": None, "deviation_dense": 0.0, "layers": {}}
    ways = [
        {**dense, "form": "int4", "prefer": prefer, "ms": 1.0, "ratio": 4.0}
        | {"deviation_simulated": 0.02, "deviation_dense": 0.3, "layers": {"Int4Linear": 36}}
        for prefer in ("native", "fastest")
    ]
    line = run(rows=[dense, *ways])
    held = Holdings({}, {}, catalog.taxonomy(), {}, tmp_path, tmp_path / "none", models=[line])
    said = kernels.index(held).body
    for part in ("encoder &lt;i&gt;", "4.00", "2.00", "36 Int4Linear", "0.02", "all native"):
        assert part in said, part
    assert said.count('<figure class="plot">') == 1
    assert "<i>" not in said
    assert "style=" not in said
    empty = kernels.index(replace(held, models=())).body
    assert "octavo bench models" in empty
