"""Whole models in every form: each form has its pattern, runs natively, and says what it moved."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from typer.testing import CliRunner

from octavo import catalog, models
from octavo.__main__ import app
from octavo.errors import InputError
from octavo.reference_impls import choice, forms
from octavo.reference_impls.plan import Codes, Mask
from octavo.reference_impls.tasks import nets

TINY = (
    models.Subject("encoder", partial(nets.encoder, 32, 1, 2), (1, 5, 32)),
    models.Subject("resnet", partial(nets.ResNet, 3, 10, 16, (1, 1)), (1, 3, 8, 8)),
)


@pytest.fixture(scope="module")
def document() -> models.Row:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "QUICK", TINY)
        patch.setattr(models, "SAMPLE_MS", 0.1)
        patch.setattr(choice, "ROUNDS", 1)
        return models.measure(quick=True)


def test_every_model_runs_in_every_form(document: models.Row) -> None:
    rows = document["rows"]
    assert len(rows) == models.steps(quick=True)
    for subject in TINY:
        mine = [row for row in rows if row["model"] == subject.name]
        assert {row["form"] for row in mine if row["prefer"]} == set(forms.FORMS)
        assert next(row["form"] for row in mine) == "dense float32"
        for row in mine:
            assert row["ms"] > 0
            assert row["bytes"] > 0
            assert 0 <= row["deviation_dense"] < 3


def test_native_rows_run_natively_and_as_the_plan_says(document: models.Row) -> None:
    for row in document["rows"]:
        if row["prefer"] == "native":
            assert "dense" not in row["layers"]
            exact = not row["form"].startswith("int")
            assert row["deviation_simulated"] < (1e-4 if exact else 0.2)


def test_fewer_bits_and_more_zeros_are_fewer_bytes(document: models.Row) -> None:
    for subject in TINY:
        size = {
            row["form"]: row["bytes"] for row in document["rows"] if row["model"] == subject.name
        }
        assert size["int4"] < size["int8"] < size["torch bfloat16"] < size["dense float32"]
        assert size["16x1 90 %"] < size["16x1 50 %"] < size["dense float32"]


def test_a_run_is_kept_with_what_repeats_it(document: models.Row, tmp_path: Path) -> None:
    models.record(document, tmp_path)
    models.record(document, tmp_path)
    runs = catalog.model_runs(tmp_path)
    assert len(runs) == 2
    assert {"command", "commit", "cpu", "versions", "date", "rows", "backend"} <= runs[0].keys()
    assert runs[0]["rows"] == document["rows"]


def test_the_command_prints_one_document(
    document: models.Row, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "measure", lambda quick, watch: document)
    done = CliRunner().invoke(app, ["bench", "models", "--quick", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == document
    shown = CliRunner().invoke(app, ["bench", "models", "--quick"])
    assert "ResNet" not in shown.stdout
    assert "encoder" in shown.stdout


@settings(deadline=None, max_examples=25)
@given(n=st.integers(16, 40), c=st.integers(16, 40), side=st.sampled_from([None, 1, 3]))
def test_patterns_hold_for_every_shape(n: int, c: int, side: int | None) -> None:
    layer = nn.Linear(c, n) if side is None else nn.Conv2d(c, n, side)
    model = nn.Sequential(layer)
    (step,) = forms.plan(model, "2:4").steps
    assert isinstance(step, Mask)
    last = step.keep.movedim(1, -1)
    whole = last[..., : c // 4 * 4].unflatten(-1, (-1, 4))  # type: ignore[no-untyped-call]
    assert bool((whole.sum(-1) == 2).all())
    assert bool((last[..., c // 4 * 4 :].sum(-1) <= 2).all())
    (step,) = forms.plan(model, "16x1 50 %").steps
    assert isinstance(step, Mask)
    first = step.keep.flatten(1)[:16]
    assert torch.equal(first, first[:1].expand_as(first))
    (step,) = forms.plan(model, "int4").steps
    assert isinstance(step, Codes)
    width = layer.weight[0].numel()
    assert step.group is None or width % step.group == 0


def test_a_form_that_is_none_is_refused() -> None:
    with pytest.raises(InputError, match="known are int8"):
        forms.plan(nn.Linear(16, 16), "int3")


def test_small_layers_stay_dense() -> None:
    model = nn.Sequential(nn.Conv2d(3, 64, 3), nn.Linear(64, 10), nn.Linear(16, 16))
    assert [step.path for step in forms.plan(model, "int8").steps] == ["2"]
