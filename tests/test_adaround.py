"""AdaRound, the grids it rounds to, and the layer-wise problems it solves."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from octavo.errors import InputError
from octavo.reference_impls import adaround, quantizer
from octavo.reference_impls.adaround import Config
from octavo.reference_impls.calibration import calibration
from octavo.reference_impls.hooks import following, stages, taken
from octavo.reference_impls.plan import Codes
from octavo.reference_impls.reconstruction import (
    LAYERS,
    Problem,
    choose,
    enumerate_roundings,
    problem_of,
    targets,
)

torch.set_num_threads(1)
SHORT = Config(iterations=60, lr=0.1)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed))


class Shapes(nn.Module):
    """Every kind of layer: strided, dilated, grouped, depthwise, reflected, 1-d, a sum in place."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 6, 3, stride=2, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(6)
        self.relu = nn.ReLU(inplace=True)
        self.deep = nn.Conv2d(6, 6, 3, padding="same", dilation=2, groups=6)
        self.grouped = nn.Conv2d(6, 6, (1, 3), padding=(0, 1), groups=2, padding_mode="reflect")
        self.line = nn.Conv1d(6, 5, 3, padding=1)
        self.head = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn(self.stem(x)))
        y = self.deep(x)
        y += x
        y = F.gelu(self.grouped(self.relu(y)), approximate="tanh")
        y = F.relu(self.line(y.flatten(2)))
        return self.head(y.transpose(1, 2))


def shapes() -> nn.Module:
    torch.manual_seed(0)
    net = Shapes().eval()
    net.bn.running_mean.uniform_(-0.5, 0.5)
    net.bn.running_var.uniform_(0.5, 2.0)
    return net


def of(net: nn.Module, config: Config, data: Any, seed: int = 0) -> dict[str, Codes]:
    made = adaround.plan(net, config, data=data, example=None, generator=generator(seed))
    return {step.path: step for step in made.steps if isinstance(step, Codes)}


matrices = st.tuples(st.integers(1, 5), st.integers(1, 9), st.integers(0, 99)).map(
    lambda s: normal(s[0], s[1], seed=s[2])
)
groups = st.one_of(st.none(), st.integers(1, 9))


@settings(max_examples=40, deadline=None)
@given(matrices, st.integers(2, 8), groups, st.floats(1e-20, 1e20))
def test_codes_are_in_range_and_no_weight_inside_moves_by_more_than_half_a_step(
    weight: Tensor, bits: int, group: int | None, size: float
) -> None:
    weight = weight * size
    low, high = quantizer.bounds(bits)
    for scale_by in (quantizer.absmax_scale, quantizer.mse_scale):
        scales = scale_by(weight, bits, group)
        codes = quantizer.nearest(weight, scales, bits, group)
        assert codes.dtype == torch.int8
        assert low <= int(codes.min()) <= int(codes.max()) <= high
        position = quantizer.positions(weight, scales, group)
        inside = (position >= low) & (position <= high)
        assert bool(((codes - position).abs()[inside] <= 0.5).all())
        Codes("x", codes, scales, group, bits)  # raises where a plan would not take them


@settings(max_examples=30, deadline=None)
@given(matrices, st.integers(2, 8), groups)
def test_rules_bracket_the_weight_and_values_give_codes_back(
    weight: Tensor, bits: int, group: int | None
) -> None:
    scales = quantizer.absmax_scale(weight, bits, group)
    down, up = (rule(weight, scales, bits, group) for rule in (quantizer.floor, quantizer.ceil))
    near = quantizer.nearest(weight, scales, bits, group)
    drawn = quantizer.stochastic(weight, scales, bits, group, generator=generator())
    for codes in (near, drawn):
        assert bool(((codes >= down) & (codes <= up)).all())
    back = quantizer.nearest(quantizer.values(near, scales, group), scales, bits, group)
    assert torch.equal(back, near)


@settings(max_examples=20, deadline=None)
@given(matrices, st.integers(2, 8), groups)
def test_the_searched_scale_is_never_worse_than_absmax(
    weight: Tensor, bits: int, group: int | None
) -> None:
    def error(scales: Tensor) -> float:
        codes = quantizer.nearest(weight, scales, bits, group)
        return float((quantizer.values(codes, scales, group) - weight).square().sum())

    searched = error(quantizer.mse_scale(weight, bits, group))
    assert searched <= error(quantizer.absmax_scale(weight, bits, group)) * (1 + 1e-5)


def test_zeros_one_tensor_scale_and_bad_input() -> None:
    zeros = torch.zeros(2, 3)
    for scale_by in (quantizer.absmax_scale, quantizer.mse_scale):
        codes = quantizer.nearest(zeros, scale_by(zeros, 4), 4)
        assert not bool(codes.any())
    assert quantizer.mse_scale(normal(4, 6), 4, per_tensor=True).unique().numel() == 1
    with pytest.raises(InputError, match="nan or inf"):
        quantizer.mse_scale(torch.tensor([[1.0, float("nan")]]), 4)
    with pytest.raises(InputError, match="bits=9"):
        quantizer.bounds(9)


def test_stochastic_rounding_is_right_on_average() -> None:
    weight, unit = torch.full((1, 20_000), 0.3), torch.ones(1, 1)
    codes = quantizer.stochastic(weight, unit, 4, generator=generator())
    assert float(codes.float().mean()) == pytest.approx(0.3, abs=0.02)


@pytest.mark.parametrize("bits", [4, 3, 2])
@pytest.mark.parametrize("group", [None, 4])
def test_every_weight_inside_moves_at_most_one_step(bits: int, group: int | None) -> None:
    net = shapes()
    low, high = quantizer.bounds(bits)
    for path, step in of(
        net, Config(bits, group, iterations=20, lr=0.2), [normal(8, 2, 8, 8)]
    ).items():
        weight = net.get_submodule(path).weight
        assert isinstance(weight, Tensor)
        position = quantizer.positions(weight, step.scales, group)
        inside = (position >= low) & (position <= high)
        assert float((step.codes - position).abs()[inside].max()) <= 1 + 1e-5


def correlated() -> Problem:
    rows = normal(512, 3, seed=2) @ normal(3, 12, seed=1) + 0.1 * normal(512, 12, seed=3)
    weight = normal(6, 12, seed=4)
    return Problem(weight, None, rows.unsqueeze(1), rows @ weight.T, lambda x: x)


def test_it_beats_nearest_where_inputs_are_correlated() -> None:
    config = Config(3, iterations=200, lr=0.05, regularization=0.3)
    result = adaround.round_layer(correlated(), config, generator())
    assert result.learned
    assert result.error < 0.5 * result.error_nearest


def test_the_regulariser_drives_every_h_to_0_or_1_and_without_it_some_stay_between() -> None:
    shares = []
    for weight in (0.0, 1.0):
        config = Config(3, iterations=300, lr=0.05, regularization=weight)
        h = adaround.round_layer(correlated(), config, generator()).h
        shares.append(float(((2 * h - 1).abs() > 0.99).float().mean()))
    assert shares[0] < 0.9
    assert shares[1] == 1


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 1000), st.integers(2, 4))
def test_never_worse_than_nearest_on_the_calibration_inputs(seed: int, bits: int) -> None:
    rows, weight = normal(32, 7, seed=seed), normal(3, 7, seed=seed + 1)
    problem = Problem(weight, None, rows.unsqueeze(1), (rows @ weight.T).relu(), torch.relu)
    result = adaround.round_layer(problem, Config(bits, iterations=5, lr=1.0), generator())
    nearest = quantizer.nearest(weight, result.scales, bits)
    assert result.error <= problem.error(nearest, result.scales, None)
    assert result.error == problem.error(result.codes, result.scales, None)


def test_enumeration_is_the_best_of_all_roundings_and_a_bound_for_adaround() -> None:
    rows = normal(64, 2, seed=5) @ normal(2, 8, seed=6)
    weight = normal(1, 8, seed=7)
    problem = Problem(weight, None, rows.unsqueeze(1), rows @ weight.T, lambda x: x)
    result = adaround.round_layer(problem, Config(iterations=400, lr=0.025), generator())
    best = enumerate_roundings(weight[0], result.scales[0], rows.T @ rows, 4)
    for rule in (quantizer.nearest, quantizer.floor, quantizer.ceil):
        loss = problem.error(rule(weight, result.scales, 4), result.scales, None) * len(rows)
        assert best.loss <= loss * (1 + 1e-4)
    own = problem.error(best.codes[None], result.scales, None) * len(rows)
    assert own == pytest.approx(best.loss, rel=1e-3)
    assert best.loss <= result.error * len(rows) * (1 + 1e-3)


def test_the_fractional_part_is_the_start_and_the_gradient_is_right() -> None:
    fraction = torch.rand(50, generator=generator(), dtype=torch.float64) * 0.98 + 0.01
    assert torch.allclose(adaround.h_of(adaround.v_of(fraction)), fraction)
    v = adaround.v_of(fraction).requires_grad_()
    assert torch.autograd.gradcheck(lambda v: adaround.undecided(adaround.h_of(v), 3.0), (v,))


def test_every_problem_is_the_layer_itself() -> None:
    """Rows times the float weight give the float outputs at the same places, all kinds alike."""
    net, x = shapes(), [normal(4, 2, 8, 8)]
    found = choose("adaround", net, x[0]).stages
    assert [s.path for s in found] == ["stem", "deep", "grouped", "line", "head"]
    for aim in targets(net, found, x, generator()):
        problem = problem_of(net, aim, x)
        with torch.no_grad():
            again = problem.output(problem.weight, problem.rows)
        assert torch.allclose(again, problem.target, atol=1e-5), aim.stage.path


def test_what_follows_is_seen_and_a_sum_in_place_ends_it() -> None:
    net, x = shapes(), normal(2, 2, 8, 8)
    found = {s.path: s for s in stages(net, LAYERS, x)}
    assert found["stem"].following == ("bn", "relu")
    assert found["deep"].following == ()
    assert found["deep"].function is None
    assert found["line"].function is not None
    y = normal(3, 6, seed=8)
    expected = F.gelu(y, approximate="tanh")
    assert torch.equal(following(net, found["grouped"])(y), expected)


def test_a_layer_called_twice_gives_two_inputs() -> None:
    layer = nn.Linear(4, 4)
    net = nn.Sequential(layer, nn.ReLU(), layer)
    stage = stages(net, LAYERS, normal(2, 4))[0]
    assert (stage.path, stage.calls) == ("0", 2)
    assert len(list(taken(net, stage, [normal(2, 4), normal(3, 4)]))) == 4


def test_the_model_is_left_alone_and_the_seed_decides() -> None:
    net = shapes().train()
    before = copy.deepcopy(net.state_dict())
    data = [normal(8, 2, 8, 8)]
    one, same, other = (of(net, SHORT, data, seed) for seed in (0, 0, 1))
    assert net.training
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())
    assert all(torch.equal(one[p].codes, same[p].codes) for p in one)
    assert any(not torch.equal(one[p].codes, other[p].codes) for p in one)


def test_layers_it_must_leave_are_named() -> None:
    torch.manual_seed(0)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(9, 4)
            self.inner = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
            self.unused = nn.Linear(4, 4)
            self.out = nn.Linear(4, 9, bias=False)
            self.out.weight = self.table.weight

        def forward(self, ids: Tensor) -> Tensor:
            return self.out(self.inner(self.table(ids)))

    made = adaround.plan(
        Net().eval(), SHORT, data=[torch.arange(8).view(2, 4)], example=None, generator=generator()
    )
    assert [step.path for step in made.steps] == ["inner.linear1", "inner.linear2"]
    text = " ".join(made.notes)
    assert all(name in text for name in ("unused", "inner.self_attn.out_proj", "out"))


def test_without_data_it_calibrates_on_random_inputs_and_says_so() -> None:
    net = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2)).eval()
    with pytest.warns(UserWarning, match="random inputs"):
        made = adaround.plan(net, SHORT, data=None, example=None, generator=generator())
    assert "random inputs" in made.notes[0]
    ids = {"input_ids": torch.full((1, 5), 3), "attention_mask": torch.ones(1, 5).long()}
    embedding = nn.Embedding(11, 2)
    with pytest.warns(UserWarning, match="random inputs"):
        drawn = calibration("adaround", embedding, None, ids, 64, generator())
    assert [batch["input_ids"].shape for batch in drawn.inputs] == [(32, 5), (32, 5)]
    assert int(drawn.inputs[0]["input_ids"].max()) == 10
    assert bool((drawn.inputs[1]["attention_mask"] == 1).all())


def test_bad_settings_are_answered_in_one_line() -> None:
    net, data = nn.Sequential(nn.Linear(4, 2)), [normal(4, 4)]
    for config, word in (
        (Config(bits=1), "bits=1"),
        (Config(group=2, per_tensor=True), "per_tensor"),
        (Config(iterations=0), "iterations"),
        (Config(warm_start=1.0), "warm_start"),
    ):
        with pytest.raises(InputError, match=word):
            of(net, config, data)
    with pytest.raises(InputError, match="calls none of"):
        of(nn.ReLU(), SHORT, data)
