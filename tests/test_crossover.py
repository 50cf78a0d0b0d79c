"""Faster here or not: the search for a crossing is exact, every form is asked, errors are short."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from typer.testing import CliRunner

from octavo import crossing
from octavo.__main__ import app
from octavo.errors import InputError
from octavo.kernels import crossover
from octavo.kernels.crossover import Crossing, Refusal, bisect
from octavo.kernels.timing import Ratio
from octavo.reference_impls.tasks import nets

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """One short round a measurement: these tests look at answers, never at times."""
    monkeypatch.setattr(crossover, "ROUNDS", 1)
    monkeypatch.setattr(crossover, "SAMPLE_MS", 0.01)


class Net(nn.Module):
    """A convolution, twice the same linear layer, one of another shape, one that is not called."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 8, 3, padding=1)
        self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 8)
        self.head, self.unused = nn.Linear(8, 5), nn.Linear(8, 7)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pooled = self.conv(x).mean((2, 3))
        answer: torch.Tensor = self.head(self.second(self.first(pooled)))
        return answer


@settings(deadline=None)
@given(
    grid=st.lists(st.integers(1, 1000), min_size=2, max_size=30, unique=True).map(sorted),
    data=st.data(),
)
def test_the_crossing_of_a_step_is_found_on_the_grid(grid: list[int], data: Any) -> None:
    edge = data.draw(st.integers(0, 1001))
    upward = data.draw(st.booleans())
    asked: list[float] = []

    def at(place: float) -> Ratio:
        asked.append(place)
        return Ratio(2.0 if (place >= edge) == upward else 0.5, 1.0, 1.0)

    start = data.draw(st.sampled_from(grid))
    found = bisect("rows", grid, {float(start): at(start)}, at)
    wanted = [place for place in grid if (place >= edge) == upward]
    assert found.faster == (((wanted[0], wanted[-1]),) if wanted else ())
    assert len(asked) == len(set(asked)) <= 3 + len(grid).bit_length()


@given(st.lists(st.floats(0.1, 10), min_size=2, max_size=12))
def test_neighbours_of_different_verdict_have_nothing_between(ratios: list[float]) -> None:
    grid = tuple(range(len(ratios)))
    found = bisect("rows", grid, {}, lambda place: Ratio(ratios[int(place)], 1.0, 1.0))
    for (low, one), (high, other) in pairwise(found.points):
        if (one >= crossover.FASTER) != (other >= crossover.FASTER):
            assert high - low == 1


@pytest.mark.parametrize(
    ("faster", "said"),
    [
        ((), "nowhere from 1 row to 8 rows"),
        (((1.0, 8.0),), "everywhere from 1 row to 8 rows"),
        (((1.0, 2.0),), "up to 2 rows"),
        (((4.0, 8.0),), "from 4 rows on"),
        (((1.0, 1.0), (4.0, 4.0)), "up to 1 row and from 4 rows to 4 rows"),
    ],
)
def test_a_crossing_in_words(faster: tuple[tuple[float, float], ...], said: str) -> None:
    points = tuple((float(place), 1.0) for place in (1, 2, 4, 8))
    assert str(Crossing("rows", points, faster)) == said


def test_every_candidates_file_is_asked() -> None:
    homes = {path.parent.name for path in (ROOT / "kernels").glob("*/candidates.py")}
    assert {candidate.kernel for candidate in crossover.candidates()} == homes


@pytest.mark.parametrize("candidate", crossover.candidates(), ids=lambda c: c.name)
@pytest.mark.parametrize(
    ("layer", "size"),
    [
        (nn.Linear(64, 32), (3, 64)),
        (nn.Conv2d(16, 32, 3), (2, 16, 6, 6)),
        (nn.Linear(7, 5), (1, 7)),
    ],
    ids=["linear", "conv2d", "odd"],
)
def test_a_form_is_measured_or_says_why_not(
    candidate: crossover.Candidate, layer: nn.Module, size: tuple[int, ...]
) -> None:
    found = crossover.answer(candidate, layer.requires_grad_(False), crossover.inputs(size))
    if isinstance(found, Refusal):
        assert found.why
        assert "\n" not in found.why
        return
    assert [each.sparsity for each in found] == list(candidate.sparsities)
    for each in found:
        assert each.ms > 0
        assert each.bytes > 0
        assert each.faster == (each.ratio >= crossover.FASTER)
        assert len(each.crossing.points) >= 2
    sizes = [each.bytes for each in found]
    assert sizes == sorted(sizes, reverse=True)  # more zeros, fewer bytes


def test_threads_are_put_back() -> None:
    before = torch.get_num_threads()
    with crossover.threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


def test_a_model_is_asked_once_for_layers_that_are_alike() -> None:
    questions = crossing.of_model(Net())
    assert [q.paths for q in questions] == [("conv",), ("first", "second"), ("head",)]
    assert [q.title for q in questions][1:] == ["8x8, 1 row", "5x8, 1 row"]
    assert [len(q.x) for q in crossing.of_model(Net(), 3)] == [3, 3, 3]


def test_a_model_of_sequences_is_guessed_an_input() -> None:
    questions = crossing.of_model(nets.encoder(16, 1, 2))
    assert [q.title for q in questions] == ["16x16, 16 rows", "64x16, 16 rows", "16x64, 16 rows"]


def test_a_model_without_layers_is_refused() -> None:
    with pytest.raises(InputError, match="calls no Linear"):
        crossing.of_model(nn.Sequential(nn.Embedding(4, 2)))


@pytest.mark.parametrize("text", ["", "8", "8x", "8x8x8", "axb", "-1x8", "0x8", "8x0", "8 x 8"])
def test_a_shape_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="crossover"):
        crossing.of_shape(text, 1)


def test_the_command_prints_one_document() -> None:
    done = CliRunner().invoke(app, ["crossover", "32x64", "--rows", "2", "--json"])
    assert done.exit_code == 0, done.output
    (layer,) = json.loads(done.stdout)["layers"]
    assert layer["layer"] == "32x64, 2 rows"
    assert layer["dense_bytes"] == 4 * 32 * 64
    forms = {row["form"]: row for row in layer["answers"]}
    assert {"int8", "int4", "CSR 50%", "CSR 90%"} <= set(forms)
    for row in forms.values():
        assert row["verdict"] in ("faster here", "not faster here")
        assert row["crossing"]["points"]


def test_the_command_takes_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("octavo.own.thing", lambda name: Net())
    done = CliRunner().invoke(app, ["crossover", "--model", "package:net"])
    assert done.exit_code == 0, done.output
    assert "at first, second" in done.stdout
    assert "stripes: no kernel for Linear" in done.stdout


@pytest.mark.parametrize("line", [[], ["8x8", "--model", "package:net"]])
def test_neither_or_both_is_wrong_usage(line: list[str]) -> None:
    assert CliRunner().invoke(app, ["crossover", *line]).exit_code == 2


@pytest.mark.parametrize("line", [["8by8"], ["8x8", "--rows", "0"], ["8x8", "--threads", "0"]])
def test_a_wrong_value_is_one_line(line: list[str]) -> None:
    done = CliRunner().invoke(app, ["crossover", *line])
    assert isinstance(done.exception, InputError)
    assert "\n" not in str(done.exception)
