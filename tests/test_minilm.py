"""MiniLM's loss as a function of tensors, its hooks, and its plan."""

from __future__ import annotations

import copy
from itertools import count
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from octavo.errors import InputError
from octavo.reference_impls import minilm
from octavo.reference_impls.distil import (
    Attention,
    attention_paths,
    blocks_of,
    every_other,
    self_attention,
)
from octavo.reference_impls.inputs import output_of
from octavo.reference_impls.minilm import Config
from octavo.reference_impls.plan import Layers, Plan, Weights

torch.set_num_threads(1)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def attention(seed: int, width: int = 5, real: Tensor | None = None) -> Attention:
    seeds = count(10 * seed)
    q, k, v = (
        torch.randn(2, 3, 6, width, generator=generator(next(seeds)), dtype=torch.float64)
        for _ in range(3)
    )
    return Attention(q, k, v, real)


def bert(layers: int = 4, **changes: Any) -> nn.Module:
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    sizes = {"vocab_size": 50, "hidden_size": 24, "num_attention_heads": 3, "intermediate_size": 32,
             "initializer_range": 0.3}  # fmt: skip
    return BertModel(
        BertConfig(num_hidden_layers=layers, max_position_embeddings=16, **sizes | changes)
    ).eval()


def text(batches: int = 3) -> list[dict[str, Tensor]]:
    mask = torch.tensor([[1] * 8, [1] * 5 + [0] * 3])
    words = [torch.randint(1, 50, (2, 8), generator=generator(i)) for i in range(batches)]
    return [{"input_ids": ids * mask, "attention_mask": mask} for ids in words]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 200), st.integers(1, 8), st.integers(1, 8))
def test_no_loss_between_equals_and_a_positive_one_between_others(
    seed: int, ours: int, theirs: int
) -> None:
    teacher, student = attention(seed, theirs), attention(seed + 1, ours)
    assert float(minilm.loss(teacher, teacher)) == pytest.approx(0, abs=1e-12)
    value = float(minilm.loss(teacher, student))
    assert value > 1e-6
    parts = minilm.attention_loss(teacher, student) + minilm.value_loss(teacher, student)
    assert value == pytest.approx(float(parts))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 200))
def test_rotating_the_values_changes_nothing_and_a_shift_of_all_scores_neither(seed: int) -> None:
    teacher, student = attention(seed), attention(seed + 1)
    turn = torch.linalg.qr(torch.randn(5, 5, generator=generator(seed), dtype=torch.float64)).Q
    turned = student._replace(
        query=student.query @ turn, key=student.key @ turn, value=student.value @ turn.T
    )
    before = float(minilm.loss(teacher, student))
    assert float(minilm.loss(teacher, turned)) == pytest.approx(before, abs=1e-10)
    relation = minilm.log_relation(student.value, student.value).exp()
    assert torch.allclose(relation, minilm.log_relation(turned.value, turned.value).exp())
    assert torch.allclose(relation.sum(3), torch.ones_like(relation.sum(3)))


def test_what_is_padding_does_not_matter_and_the_rest_is_as_if_it_were_alone() -> None:
    real = torch.tensor([[True] * 6, [True] * 4 + [False] * 2])
    teacher, student = attention(1, real=real), attention(2)

    def spoiled(a: Attention) -> Attention:
        hide = ~real[:, None, :, None]
        return Attention(*(t.masked_fill(hide, 50.0) for t in a[:3]), a.real)

    value = minilm.loss(teacher, student)
    assert torch.allclose(value, minilm.loss(spoiled(teacher), spoiled(student)))
    alone = [
        minilm.loss(*(Attention(*(t[i : i + 1, :, :n] for t in a[:3])) for a in (teacher, student)))
        for i, n in ((0, 6), (1, 4))
    ]
    assert torch.allclose(value, torch.stack(alone).mean())
    none = teacher._replace(real=torch.zeros(2, 6, dtype=torch.bool))
    assert float(minilm.loss(none, student)) == 0


def test_the_gradient_is_right_and_finite_for_large_scores() -> None:
    real = torch.tensor([[True] * 6, [True] * 3 + [False] * 3])
    teacher, student = attention(3, 4, real), attention(4, 2)

    def of(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return minilm.loss(teacher, Attention(q, k, v))

    leaves = tuple(t.clone().requires_grad_() for t in student[:3])
    assert torch.autograd.gradcheck(of, leaves)
    large = tuple((100 * t).detach().float().requires_grad_() for t in student[:3])
    sharp = Attention(*(100 * t.float() for t in teacher[:3]), real)
    value = minilm.loss(sharp, Attention(*large))
    grads = torch.autograd.grad(value, large)
    assert all(bool(g.isfinite().all()) for g in (value, *grads))


def test_other_numbers_of_heads_are_refused() -> None:
    teacher = attention(1)
    fewer = Attention(*(t[:, :2] for t in teacher[:3]))
    with pytest.raises(InputError, match=r"\(2, 2, 6\) in the student"):
        minilm.loss(teacher, fewer)


def test_hooks_take_what_bert_attends_with() -> None:
    net, batch = bert(attn_implementation="eager"), text()[0]
    net.requires_grad_(False)
    paths = attention_paths(net)
    assert paths == tuple(f"encoder.layer.{i}.attention.self" for i in range(4))
    taken = self_attention(net, paths[2], batch)
    assert taken.real is not None
    assert torch.equal(taken.real, batch["attention_mask"].bool())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())
    weights = net(**batch, output_attentions=True).attentions[2]
    ours = minilm.log_relation(taken.query, taken.key, taken.real).exp()
    assert torch.allclose(ours, weights, atol=1e-5)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("grad", [True, False])
def test_hooks_take_what_torch_attends_with(first: bool, grad: bool) -> None:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(12, 3, 16, batch_first=first)
    net = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval()
    x = torch.randn(2, 5, 12)
    x = x if first else x.transpose(0, 1)
    padding = torch.tensor([[False] * 5, [False] * 3 + [True] * 2])
    with torch.set_grad_enabled(grad):
        path = attention_paths(net)[0]
        taken = self_attention(net, path, {"src": x, "src_key_padding_mask": padding})
        attending = net.get_submodule(path)
        _, weights = attending(x, x, x, key_padding_mask=padding, average_attn_weights=False)
    assert taken.real is not None
    assert torch.equal(taken.real, ~padding)
    ours = minilm.log_relation(taken.query, taken.key, taken.real).exp()
    assert torch.allclose(ours, weights, atol=1e-6)
    assert blocks_of(net) == "layers"


def test_models_without_known_attention_are_told_so() -> None:
    class OddAttention(nn.Module):
        pass

    net = nn.Sequential(nn.Linear(3, 3), OddAttention())
    with pytest.raises(InputError, match=r"no heads found in 1"):
        attention_paths(net)
    with pytest.raises(InputError, match="list of two or more blocks"):
        blocks_of(nn.TransformerEncoderLayer(8, 2))
    with pytest.raises(InputError, match="never called"):
        self_attention(Unused(), "inner", torch.zeros(1, 2, 4))


class Unused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.MultiheadAttention(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return x


def test_blocks_are_spread_evenly_and_the_last_is_kept() -> None:
    for depth in range(1, 13):
        for kept in range(1, depth + 1):
            chosen = every_other(depth, kept)
            assert len(set(chosen)) == kept
            assert chosen[-1] == depth - 1
            assert min(chosen) >= 0


def test_the_plan_makes_a_student_with_half_the_blocks_that_is_nearer_to_the_teacher() -> None:
    teacher, data = bert(), text()
    before = copy.deepcopy(teacher.state_dict())
    config = Config(steps=40, lr=2e-3)
    made = minilm.plan(teacher, config, data=data, example=None, generator=generator())
    assert all(torch.equal(before[name], value) for name, value in teacher.state_dict().items())
    layers, weights = made.steps
    assert isinstance(layers, Layers)
    assert isinstance(weights, Weights)
    assert (layers.path, layers.keep) == ("encoder.layer", (1, 3))
    assert not any("embeddings.word" in name for name in weights.tensors)
    student, start = made.apply(teacher), Plan((layers,)).apply(teacher)
    assert len(student.encoder.layer) == 2
    assert bool(output_of(student(**data[0])).isfinite().all())

    def off(model: nn.Module) -> float:
        paths = ("encoder.layer.3.attention.self", "encoder.layer.1.attention.self")
        with torch.no_grad():
            pairs = [[self_attention(m, p, b) for m, p in zip((teacher, model), paths, strict=True)]
                     for b in data]  # fmt: skip
        return sum(float(minilm.loss(*pair)) for pair in pairs)

    assert off(student) < 0.5 * off(start)


def test_the_seed_decides_and_an_assistant_goes_between() -> None:
    data = text(4)
    plans = [
        minilm.plan(bert(), Config(steps=5), data=data, example=None, generator=generator(seed))
        for seed in (0, 0, 1)
    ]
    one, same, other = (p.steps[1].tensors for p in plans if isinstance(p.steps[1], Weights))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)
    config = Config(layers=1, steps=3, assistant=2)
    made = minilm.plan(bert(), config, data=data, example=None, generator=generator())
    assert isinstance(made.steps[0], Layers)
    assert made.steps[0].keep == (3,)
    assert len(made.apply(bert()).encoder.layer) == 1


def test_bad_settings_are_answered_in_one_line() -> None:
    for config, data, word in (
        (Config(layers=4), text(), "fewer"),
        (Config(layers=0), text(), "at least 1"),
        (Config(assistant=1), text(), "fewer"),
        (Config(blocks="pooler"), text(), "ModuleList"),
        (Config(), [], "no batch"),
        (Config(), None, "data="),
    ):
        with pytest.raises(InputError, match=word):
            minilm.plan(bert(), config, data=data, example=None, generator=generator())
