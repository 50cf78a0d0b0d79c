"""Learned gates: how they are drawn, where they sit, what is cut, and the spans that judge them."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import octavo
from octavo.errors import InputError
from octavo.reference_impls import gates
from octavo.reference_impls import structured_pruning_bert_qa as gating
from octavo.reference_impls.inputs import Batch
from octavo.reference_impls.plan import Narrow, Plan
from octavo.reference_impls.structured_dependency import narrowing
from octavo.reference_impls.tasks import architectures, spans

torch.set_num_threads(1)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 3)
    )


def data() -> list[tuple[Tensor, Tensor]]:
    x = torch.randn(32, 6, generator=seeded(1))
    return [(x[i : i + 8], torch.arange(8) % 3) for i in (0, 8, 16, 24)]


@settings(deadline=None, max_examples=20)
@given(st.floats(-4, 4))
def test_a_gate_is_open_as_often_as_its_chance_says(openness: float) -> None:
    uniform = torch.linspace(0, 1, 20002, dtype=torch.float64)[1:-1]
    value = torch.full_like(uniform, openness)
    drawn = gates.noisy(value, uniform)
    assert bool(((drawn >= 0) & (drawn <= 1)).all())
    assert (drawn > 0).double().mean().item() == pytest.approx(
        gates.chance(torch.tensor(openness)).item(), abs=1e-3
    )
    assert bool((drawn.diff() >= 0).all())  # rises with the noise


def test_settled_gates_are_exactly_shut_and_open_at_the_ends() -> None:
    ends = gates.settled(torch.tensor([-3.0, 3.0]))
    assert ends.tolist() == [0.0, 1.0]
    shut = math.log(-gates.LOW / gates.HIGH)  # sigmoid(x) (r - l) + l = 0
    assert gates.settled(torch.tensor(shut)).item() == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("kind", architectures.KINDS)
def test_closed_gates_are_the_cut_network(kind: str) -> None:
    model, example = architectures.made(kind, 0), architectures.KINDS[kind].example()
    groups, _ = gates.units(model, example)
    keeps = [torch.rand(len(group), generator=seeded(3)) < 0.6 for group in groups]
    for keep in keeps:
        keep[0] = True
    gated = gates.Gated(model, groups)
    gated.gates = torch.cat(keeps).float()
    small = Plan(narrowing(model, groups, keeps)).apply(model)
    with torch.no_grad():
        one, other = (gating.output_of(gating.call(m, example)) for m in (gated, small))
    assert (one - other).abs().max() <= 1e-5 * other.abs().max() + 1e-6


def test_closed_gates_are_the_cut_reader_and_its_width_has_none() -> None:
    model, batch = spans.reader(1, 0).eval(), spans.load(64, 16).held_out[0]
    groups, _ = gates.units(model, batch.input)
    assert [len(group) for group in groups] == [12, 1536]
    assert [gates.is_heads(group) for group in groups] == [True, False]
    keeps = [torch.rand(len(group), generator=seeded(4)) < 0.6 for group in groups]
    gated = gates.Gated(model, groups)
    gated.gates = torch.cat(keeps).float()
    small = Plan(narrowing(model, groups, keeps)).apply(model)
    with torch.no_grad():
        assert (gated(**batch.input) - small(**batch.input)).abs().max() < 1e-5


def test_an_open_gate_has_the_slope_of_what_it_multiplies() -> None:
    model, (x, y) = net(), data()[0]
    groups, _ = gates.units(model, x)
    gated = gates.Gated(model, groups)
    gated.gates = torch.ones(28, requires_grad=True)
    slope = torch.autograd.grad(F.cross_entropy(gated(x), y), gated.gates)[0]
    hidden = F.relu(model[0](x)).detach().requires_grad_(True)
    inner = torch.autograd.grad(F.cross_entropy(model[2:](hidden), y), hidden)[0]
    assert torch.allclose(slope[:16], (inner * hidden).sum(0), atol=1e-6)


@pytest.mark.parametrize("by", gating.WAYS)
def test_the_share_that_stays_is_met_over_all_layers(by: str) -> None:
    small = octavo.compress(net(), "structured-pruning-bert-qa", data=data(), by=by, density=0.25)
    assert small.model[0].out_features + small.model[2].out_features == 7
    assert all(isinstance(step, Narrow) for step in small.plan.steps[:-1])
    assert small.materialise().report.memory_after < small.materialise().report.memory_before


def test_a_large_penalty_shuts_gates_and_none_leaves_them_open() -> None:
    left = []
    for penalty in (0.0, 50.0):
        small = octavo.compress(
            net(), "structured-pruning-bert-qa", data=data(), select="threshold",
            penalty=penalty, gating=12, gate_lr=0.3, epochs=0,
        )  # fmt: skip
        left.append(small.model[0].out_features + small.model[2].out_features)
    assert left[0] > 20
    assert left[1] < 8


def test_gates_find_the_units_that_do_nothing() -> None:
    model = net()
    with torch.no_grad():
        model[2].weight[:, 8:] = 0  # nothing reads the last eight
        model[2].bias.zero_()
    batches = [Batch(x, model(x).argmax(-1)) for x, _ in data()]
    groups, _ = gates.units(model, batches[0].input)
    for by in ("l0", "gain", "leave-one-out"):
        config = gating.Config(by=by, gating=20, penalty=1.0)
        way = gating.WAYS[by]
        worth = way(gates.Gated(model, groups), groups, batches, config, seeded(0))[:16]
        assert worth[:8].mean() > worth[8:].mean()


@given(st.integers(0, 1 << 30), st.floats(0.5, 8))
def test_the_teachers_loss_is_never_negative_and_zero_on_itself(seed: int, t: float) -> None:
    a, b = torch.randn(2, 3, 4, 5, generator=seeded(seed), dtype=torch.float64)
    assert gating.distilled(a, b, t).item() >= 0
    assert abs(gating.distilled(a, a + 3, t).item()) < 1e-9


@pytest.mark.parametrize(
    "wrong",
    [
        {"density": 0.0}, {"heads": 2.0}, {"by": "other"}, {"select": "most"},
        {"select": "threshold", "by": "gain"}, {"distil": 2.0},
    ],
)  # fmt: skip
def test_a_bad_setting_is_answered_in_one_line(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError) as caught:
        octavo.compress(net(), "structured-pruning-bert-qa", data=data(), **wrong)
    assert "\n" not in str(caught.value)


@given(*[st.integers(0, 30)] * 4)
def test_f1_is_that_of_the_sets_of_tokens(a: int, b: int, c: int, d: int) -> None:
    (first, last), (start, end) = sorted((a, b)), sorted((c, d))
    ours, theirs = set(range(first, last + 1)), set(range(start, end + 1))
    expected = 2 * len(ours & theirs) / (len(ours) + len(theirs))
    assert spans.f1(first, last, start, end) == pytest.approx(expected)


def test_answers_stand_where_the_targets_say() -> None:
    task = spans.load(64, 16)
    tokenizer = spans.finetuning.encoder().tokenizer
    for batch in (*task.train, *task.held_out):
        for ids, (start, end) in zip(batch.input["input_ids"], batch.target.tolist(), strict=True):
            words = tokenizer.convert_ids_to_tokens(ids.tolist())
            assert words[start - 1] == ":"
            assert words[end + 1] == "."


def test_a_perfect_reader_scores_a_hundred() -> None:
    task = spans.load(64, 16)

    class Oracle(nn.Module):
        def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
            batch = next(b for b in task.held_out if b.input["input_ids"] is input_ids)
            return F.one_hot(batch.target, input_ids.shape[1]).float()

    assert spans.score(Oracle(), task) == pytest.approx(100)
