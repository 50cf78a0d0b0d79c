"""SynFlow: flow is conserved, counts are exact, layers live, and the model stays as it was."""

from __future__ import annotations

import copy
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from octavo.errors import InputError
from octavo.reference_impls import saliency, selection, synflow
from octavo.reference_impls.tasks import nets

torch.set_num_threads(1)
widths = st.lists(st.integers(1, 9), min_size=3, max_size=6)
seeds = st.integers(0, 2**31)


def chain(sizes: list[int], seed: int, bias: bool = False) -> nn.Sequential:
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for wide, narrow in pairwise(sizes):
        layers += [nn.Linear(wide, narrow, bias=bias), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def kept(plan: synflow.Plan) -> dict[str, Tensor]:
    return {step.path: step.keep for step in plan.steps}


def same(a: nn.Module, b: nn.Module) -> bool:
    left, right = a.state_dict(), b.state_dict()
    return all(torch.equal(left[k], right[k]) for k in left) and left.keys() == right.keys()


@settings(max_examples=30, deadline=None)
@given(sizes=widths, seed=seeds)
def test_every_hidden_unit_passes_on_what_it_gets(sizes: list[int], seed: int) -> None:
    flow = list(synflow.scores(chain(sizes, seed), torch.zeros(1, sizes[0])).values())
    for before, after in pairwise(flow):
        torch.testing.assert_close(before.sum(1), after.sum(0), rtol=1e-12, atol=0)
    assert all((scores >= 0).all() for scores in flow)


@settings(max_examples=20, deadline=None)
@given(seed=seeds, groups=st.sampled_from([1, 2, 4]), bias=st.booleans(), slope=st.booleans())
def test_every_layer_of_a_convolutional_chain_has_the_same_total(
    seed: int, groups: int, bias: bool, slope: bool
) -> None:
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1, bias=bias), nn.BatchNorm2d(4),
        nn.LeakyReLU() if slope else nn.GELU(), nn.MaxPool2d(2),
        nn.Conv2d(4, 8, 3, groups=groups, bias=bias), nn.GroupNorm(2, 8), nn.Hardswish(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(8), nn.Linear(8, 5, bias=bias),
    )  # fmt: skip
    for norm in (net[1], net[5], net[9]):
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    nn.init.normal_(net[1].running_mean)
    totals = torch.stack([s.sum() for s in synflow.scores(net, torch.zeros(2, 3, 8, 8)).values()])
    torch.testing.assert_close(totals, totals[:1].expand(3), rtol=1e-10, atol=0)


def test_scores_equal_the_product_of_absolute_matrices() -> None:
    net = chain([5, 4, 3], 0)
    first, second = (net[i].weight.detach().double().abs() for i in (0, 2))
    flow = synflow.scores(net, torch.zeros(1, 5))
    torch.testing.assert_close(flow["0"], first * second.sum(0)[:, None])
    torch.testing.assert_close(flow["2"], second * first.sum(1))


@settings(max_examples=25, deadline=None)
@given(sizes=widths, seed=seeds, density=st.floats(0.01, 1), steps=st.integers(1, 20))
def test_exactly_the_asked_number_of_weights_stays(
    sizes: list[int], seed: int, density: float, steps: int
) -> None:
    net = chain(sizes, seed)
    plan = synflow.plan(net, synflow.Config(density, steps), example=torch.zeros(1, sizes[0]))
    total = sum(w.numel() for w in saliency.prunable(net).values())
    assert sum(int(k.sum()) for k in kept(plan).values()) == selection.keep_count(density, total)


@settings(max_examples=25, deadline=None)
@given(sizes=widths, seed=seeds)
def test_down_to_a_weight_a_layer_no_layer_of_a_chain_is_empty(sizes: list[int], seed: int) -> None:
    net = chain(sizes, seed)
    total = sum(w.numel() for w in saliency.prunable(net).values())
    density = (len(sizes) - 1) / total
    plan = synflow.plan(net, synflow.Config(density, 300), example=torch.zeros(1, sizes[0]))
    assert all(k.any() for k in kept(plan).values())


@pytest.mark.parametrize("kind", ["vgg", "resnet"])
def test_the_model_is_left_as_it_was(kind: str) -> None:
    torch.manual_seed(0)
    net = nets.vgg(3, 10, (4, 8)) if kind == "vgg" else nets.resnet18(3, 10, width=4)
    before = copy.deepcopy(net)
    plan = synflow.plan(net, synflow.Config(0.05, 5), example=torch.randn(3, 3, 16, 16))
    assert same(net, before)
    assert net.training
    assert all(p.grad is None and p.requires_grad for p in net.parameters())
    thin = plan.apply(net)
    for path, keep in kept(plan).items():
        weight = net.get_submodule(path).weight
        assert torch.equal(thin.get_submodule(path).weight, weight * keep)  # signs as before


def test_a_residual_network_keeps_its_count_and_its_layers() -> None:
    torch.manual_seed(0)
    net = nets.resnet18(3, 10, width=8)
    plan = synflow.plan(net, synflow.Config(0.1, 20), example=torch.zeros(1, 3, 16, 16))
    assert len(plan.steps) == 21
    assert all(step.keep.any() for step in plan.steps)
    total = sum(w.numel() for w in saliency.prunable(net).values())
    assert sum(int(s.keep.sum()) for s in plan.steps) == selection.keep_count(0.1, total)


def test_a_six_layer_bert_encoder_is_pruned_everywhere_but_in_its_embeddings() -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    net = transformers.BertModel(
        transformers.BertConfig(
            vocab_size=50, hidden_size=32, num_hidden_layers=6, num_attention_heads=4,
            intermediate_size=64,
        )
    )  # fmt: skip
    ids = torch.ones(2, 8, dtype=torch.long)
    flow = synflow.scores(net, {"input_ids": ids, "attention_mask": ids})
    assert len(flow) == 6 * 6 + 1
    assert all((s > 0).any() and (s >= 0).all() for s in flow.values())
    plan = synflow.plan(net, synflow.Config(0.2, 10), example=ids)
    assert len(plan.steps) == 37
    assert "embeddings.word_embeddings (Embedding)" in " ".join(plan.notes)


@settings(max_examples=15, deadline=None)
@given(seed=seeds)
def test_attention_and_gates_let_no_more_flow_in_than_out(seed: int) -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(6, 8)
            self.query, self.key, self.value = (nn.Linear(8, 8) for _ in range(3))
            self.norm, self.gate, self.last = nn.LayerNorm(8), nn.Linear(8, 8), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            x = self.first(x)  # (B, 3, 8)
            q, k, v = (f(x).unflatten(-1, (2, 4)).mT for f in (self.query, self.key, self.value))
            x = nn.functional.scaled_dot_product_attention(q.mT, k.mT, v.mT).flatten(-2)
            x = nn.functional.glu(self.gate(self.norm(x)))
            return self.last(x)

    torch.manual_seed(seed)
    total = {p: s.sum().item() for p, s in synflow.scores(Mixed(), torch.zeros(1, 3, 6)).items()}
    flow = total["last"]
    assert total["query"] + total["key"] + total["value"] == pytest.approx(flow, rel=1e-9)
    for path in ("first", "gate"):
        assert total[path] == pytest.approx(flow, rel=1e-9)


def test_attention_asked_for_by_hand_and_by_torch_flows_alike() -> None:
    torch.manual_seed(0)
    query, key, value = torch.rand(3, 2, 4, 6, 8, dtype=torch.float64)
    mask = torch.rand(6, 6) > 0.3
    with synflow.Flow():
        fused = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        added = torch.zeros(6, 6, dtype=torch.float64).masked_fill(~mask, -1e9)
        by_hand = torch.softmax(query @ key.mT + added, -1) @ value
    torch.testing.assert_close(fused, by_hand)


def test_torch_transformer_layers_flow_and_their_packed_weight_is_named() -> None:
    torch.manual_seed(0)
    net = nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 4, 32, batch_first=True), 2)
    plan = synflow.plan(net, synflow.Config(0.5, 4), example=torch.zeros(1, 5, 16))
    assert [s.path for s in plan.steps][:2] == ["layers.0.self_attn.out_proj", "layers.0.linear1"]
    assert "layers.1.self_attn (MultiheadAttention)" in " ".join(plan.notes)


def test_tied_layers_share_a_mask_and_a_weight_tied_to_an_embedding_stays() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Embedding(6, 4), nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 6))
    net[2].weight = net[1].weight
    net[3].weight = net[0].weight
    plan = synflow.plan(net, synflow.Config(0.25, 4), example=torch.zeros(1, 3, dtype=torch.long))
    assert [s.path for s in plan.steps] == ["1", "2"]
    assert torch.equal(plan.steps[0].keep, plan.steps[1].keep)
    assert int(plan.steps[0].keep.sum()) == 4


def test_layers_that_the_input_never_reaches_are_named_and_left_dense() -> None:
    class Spare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.spare = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.used(x)

    plan = synflow.plan(Spare(), synflow.Config(0.5, 2), example=torch.zeros(1, 4))
    assert [s.path for s in plan.steps] == ["used"]
    assert plan.notes == ("left dense, never reached from the input: spare",)


def test_scores_that_overflow_are_refused_with_the_layer_named() -> None:
    net = chain([2, 2, 2], 0)
    net[0].weight.data[0, 0] = float("inf")
    with pytest.raises(InputError, match=r"^0: .*not finite"):
        synflow.plan(net, synflow.Config(0.5, 2), example=torch.zeros(1, 2))


def test_what_cannot_be_scored_is_named_by_path() -> None:
    normed = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)))
    with pytest.raises(InputError, match=r"^0: the weight is computed"):
        synflow.plan(normed, example=torch.zeros(1, 2))
    with pytest.raises(InputError, match="no Conv or Linear"):
        synflow.plan(nn.Sequential(nn.ReLU()), example=torch.zeros(1, 2))
    with pytest.raises(InputError, match="density=0"):
        synflow.plan(chain([2, 2], 0), synflow.Config(density=0), example=torch.zeros(1, 2))


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.integers(0, 4), min_size=1, max_size=40),
    data=st.data(),
)
def test_of_equal_scores_the_earlier_stays(values: list[int], data: st.DataObject) -> None:
    count = data.draw(st.integers(1, len(values)))
    cut = data.draw(st.integers(0, len(values)))
    flat = torch.tensor(values, dtype=torch.float64)
    keep = selection.global_top({"a": flat[:cut], "b": flat[cut:]}, count)
    order = sorted(range(len(values)), key=lambda i: (-values[i], i))
    chosen = torch.cat([keep["a"], keep["b"]]).nonzero()[:, 0].tolist()
    assert chosen == sorted(order[:count])


def test_what_is_dead_never_returns() -> None:
    scores = {"a": torch.tensor([5.0, 4.0, 3.0])}
    alive = {"a": torch.tensor([False, True, True])}
    assert selection.global_top(scores, 1, alive)["a"].tolist() == [False, True, False]
    with pytest.raises(InputError, match="3 of 2 live"):
        selection.global_top(scores, 3, alive)


@given(density=st.floats(1e-6, 1), steps=st.integers(1, 200))
def test_the_schedule_falls_by_one_ratio_and_ends_exactly(density: float, steps: int) -> None:
    path = [selection.exponential(density, k, steps) for k in range(steps + 1)]
    assert path[0] == 1
    assert path[-1] == density
    for before, after in pairwise(path):
        assert after / before == pytest.approx(density ** (1 / steps), rel=1e-9)


def test_snip_and_grasp_agree_with_finite_differences_and_touch_nothing() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    before = copy.deepcopy(net)
    x, y = torch.randn(8, 3, dtype=torch.float64), torch.randint(0, 2, (8,))

    def loss(model: nn.Module) -> Tensor:
        return nn.functional.cross_entropy(model(x), y)

    weight = net[0].weight
    step = 1e-6

    def gradients_at(value: Tensor) -> Tensor:
        twin = copy.deepcopy(net)
        twin[0].weight.data.copy_(value)
        return torch.cat(
            [g.flatten() for g in torch.autograd.grad(loss(twin), [twin[0].weight, twin[2].weight])]
        )

    here = gradients_at(weight.data)
    bumped = weight.data.clone()
    bumped[1, 2] += step
    column = (gradients_at(bumped) - here) / step  # one column of H, weights only
    snip, grasp = saliency.snip(net, loss), saliency.grasp(net, loss)
    torch.testing.assert_close(snip["0"], (here[:12].view(4, 3) * weight.data).abs())
    expected = (column @ here * weight.data[1, 2]).item()
    assert grasp["0"][1, 2].item() == pytest.approx(expected, rel=1e-4)
    assert same(net, before)
    assert weight.grad is None
