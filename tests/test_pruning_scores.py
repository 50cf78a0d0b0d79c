"""What holds exactly for methods that score weights: counts, patterns, moments, errors."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import octavo
from octavo.errors import InputError
from octavo.reference_impls import magnitude, random, saliency
from octavo.reference_impls.gram import calls, matrices, moments, restored, together
from octavo.reference_impls.inputs import Batch, evaluating
from octavo.reference_impls.layerwise import Pattern, output_error, pattern_of, row_top
from octavo.reference_impls.masking import Held, chosen
from octavo.reference_impls.optimal_brain_surgeon import damped, exact, sweep
from octavo.reference_impls.plan import Mask, Weights
from octavo.reference_impls.selection import global_top, keep_count
from octavo.reference_impls.training import epochs, labelled, sgd
from octavo.reference_impls.wanda import by_norm

torch.set_num_threads(1)
DENSITIES = st.floats(0.001, 1.0)
SEEDS = st.integers(0, 1 << 30)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(7, 12), nn.ReLU(), nn.Linear(12, 5), nn.ReLU(), nn.Linear(5, 3))


@given(DENSITIES, SEEDS)
def test_a_global_choice_keeps_the_exact_number_and_no_smaller_score(
    density: float, seed: int
) -> None:
    lots = torch.rand(40, generator=seeded(seed)).round(decimals=1)  # with ties
    scores = {"a": lots[:9], "b": lots[9:]}
    keep = chosen(scores, density)
    assert sum(int(k.sum()) for k in keep.values()) == keep_count(density, 40)
    kept = torch.cat([scores[p][k] for p, k in keep.items()])
    gone = torch.cat([scores[p][~k] for p, k in keep.items()])
    assert not len(gone) or kept.min() >= gone.max()


@given(st.integers(0, 40), SEEDS)
def test_a_choice_among_the_living_is_the_first_of_a_stable_sort(count: int, seed: int) -> None:
    draw = seeded(seed)
    scores = torch.rand(40, generator=draw).round(decimals=1)  # with ties
    alive = torch.rand(40, generator=draw) < 0.6
    count = min(count, int(alive.sum()))
    order = sorted(alive.nonzero()[:, 0].tolist(), key=lambda at: -float(scores[at]))
    expected = torch.zeros(40, dtype=torch.bool)
    expected[order[:count]] = True
    shapes = {"a": (3, 3), "b": (31,)}
    by_path = [
        {p: part.reshape(shapes[p]) for p, part in zip(shapes, t.split([9, 31]), strict=True)}
        for t in (scores, alive)
    ]
    keep = global_top(by_path[0], count, by_path[1])
    assert torch.cat([k.flatten() for k in keep.values()]).equal(expected)
    assert {p: tuple(k.shape) for p, k in keep.items()} == shapes


def test_a_scope_that_is_not_there_is_answered_with_those_there_are() -> None:
    with pytest.raises(InputError, match="'global', 'layer'"):
        octavo.compress(net(), "magnitude", scope="row")


@given(DENSITIES)
def test_erk_shares_add_up_to_the_density(density: float) -> None:
    weights = saliency.prunable(net())
    share = random.erk(weights, density)
    total = sum(w.numel() for w in weights.values())
    kept = sum(share[p] * w.numel() for p, w in weights.items())
    assert kept == pytest.approx(density * total)
    assert all(0 < s <= 1 for s in share.values())


SHAPES = st.sampled_from([(1, 4), (2, 4), (4, 8), (3, 3)])


@given(st.integers(1, 9), st.integers(1, 30), SHAPES, SEEDS)
def test_every_group_of_a_pattern_keeps_n_of_its_largest(
    n: int, k: int, shape: tuple[int, int], seed: int
) -> None:
    pattern = Pattern(*shape)
    scores = torch.rand(n, k, generator=seeded(seed))
    keep = row_top(scores, 1.0, pattern)
    for start in range(0, k, pattern.m):
        part, kept = scores[:, start : start + pattern.m], keep[:, start : start + pattern.m]
        assert (kept.sum(1) == min(pattern.n, part.shape[1])).all()
        least = torch.where(kept, part, 2.0).min(1).values
        assert (torch.where(kept, -1.0, part).max(1).values <= least).all()


@pytest.mark.parametrize("text", ["2-4", "0:4", "5:4", "a:b", ":"])
def test_a_pattern_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="n:m"):
        pattern_of(text)


LAYERS = {
    "linear": (nn.Linear(6, 4, bias=False), (5, 3, 6)),
    "conv2d": (nn.Conv2d(4, 6, (3, 2), stride=2, padding=1, dilation=2, bias=False), (2, 4, 9, 8)),
    "grouped": (nn.Conv2d(4, 6, 3, groups=2, bias=False), (2, 4, 7, 7)),
    "same": (nn.Conv2d(3, 4, 4, padding="same", bias=False), (2, 3, 6, 6)),
    "reflect": (nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect", bias=False), (2, 3, 6, 6)),
    "conv1d": (
        nn.Conv1d(4, 6, 3, stride=2, padding=2, dilation=2, groups=2, bias=False),
        (2, 4, 11),
    ),
    "up": (nn.ConvTranspose2d(4, 3, 2, 2, bias=False), (2, 4, 5, 3)),
    "up, grouped": (
        nn.ConvTranspose2d(4, 6, 3, (2, 3), (1, 3), (1, 0), 2, dilation=(2, 1), bias=False),
        (2, 4, 5, 4),
    ),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_moments_give_the_energy_of_the_outputs(kind: str) -> None:
    layer, shape = LAYERS[kind]
    model, x = nn.Sequential(layer), torch.randn(shape, generator=seeded(1))
    moment = moments(model, "0", [x])
    assert moment is not None
    y = layer(x).detach()
    axis = y.ndim - 1 if kind == "linear" else 1
    outputs = y.transpose(axis, -1).reshape(-1, y.shape[axis]).double()
    rows = matrices(layer, layer.weight.detach()).double()  # type: ignore[arg-type]
    assert torch.equal(restored(layer, rows, layer.weight.shape), layer.weight.double())  # type: ignore[arg-type]
    energy = torch.einsum("gnk,gkj,gnj->gn", rows, moment, rows).flatten()
    assert torch.allclose(energy, outputs.square().mean(0), rtol=1e-4, atol=1e-7)


class Sharing(nn.Module):
    """Layers that are given one tensor, which changes in between, and one that is called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v, self.twice, self.out = (nn.Linear(6, 6) for _ in range(5))

    def forward(self, x: Tensor) -> Tensor:
        y = torch.tanh(x)
        q, k = self.q(y), self.k(y)
        y = y.mul_(2)  # the same tensor with other values
        z = self.twice(q + k + self.v(y))
        return self.out(self.twice(z))


def test_layers_that_share_their_input_share_a_pass_and_no_other_does() -> None:
    torch.manual_seed(0)
    model, inputs = Sharing(), [torch.randn(5, 6), torch.randn(3, 6)]
    paths = ["q", "k", "v", "twice", "out"]
    counts = calls(model, paths, inputs)
    assert [dict(c) for c in counts] == [{"q": 1, "k": 1, "v": 1, "twice": 2, "out": 1}] * 2
    x = torch.cat(inputs)
    with evaluating(model):
        y = torch.tanh(x)
        first = model.q(y) + model.k(y) + model.v(2 * y)
        second = model.twice(first)
        twice = torch.cat([first, second])
        given = {"q": y, "k": y, "v": 2 * y, "twice": twice, "out": model.twice(second)}
    for index, path in enumerate(paths):
        found = together(model, path, inputs, paths[index + 1 :], counts)
        assert set(found) == ({"q", "k"} if path == "q" else {path})
        for at, moment in found.items():
            expected = given[at].double()
            expected = expected.T @ expected / len(expected)
            torch.testing.assert_close(moment[0], expected, rtol=1e-5, atol=1e-6)


def test_a_layer_whose_rows_are_not_known_is_named() -> None:
    model = nn.Sequential(nn.ConvTranspose1d(2, 3, 3))
    with pytest.raises(InputError, match="0: a ConvTranspose1d"):
        octavo.compress(model, "wanda", data=[torch.randn(1, 2, 5)])


def problem(seed: int, n: int = 6, k: int = 20) -> tuple[torch.Tensor, torch.Tensor]:
    mix = torch.randn(k, k, generator=seeded(seed), dtype=torch.float64)
    x = torch.randn(3 * k, k, generator=seeded(seed + 1), dtype=torch.float64) @ mix
    return torch.randn(n, k, generator=seeded(seed + 2), dtype=torch.float64), x.T @ x / len(x)


@settings(deadline=None, max_examples=25)
@given(SEEDS, st.sampled_from([0.9, 0.5, 0.2]))
def test_the_exact_surgeon_leaves_the_best_values_for_what_it_keeps(
    seed: int, density: float
) -> None:
    weight, moment = problem(seed)
    h = damped(moment, 0.01)
    layer = exact(weight, h, density)
    assert (layer.keep.sum(1) == keep_count(density, 20)).all()
    for row, new, keep in zip(weight, layer.weight, layer.keep, strict=True):
        best = torch.linalg.solve(h[keep][:, keep], h[keep] @ row)  # least squares on what stays
        assert torch.allclose(new[keep], best, rtol=1e-5, atol=1e-7)


@settings(deadline=None, max_examples=25)
@given(SEEDS, st.sampled_from([1, 4, 7, 64]))
def test_the_sweep_keeps_its_share_of_each_block_and_is_no_better_than_the_best(
    seed: int, block: int
) -> None:
    weight, moment = problem(seed)
    layer = sweep(weight, damped(moment, 0.01), 0.5, None, block)
    for start in range(0, 20, block):
        part = layer.keep[:, start : start + block]
        assert int(part.sum()) == keep_count(0.5, part.numel())
    h = damped(moment, 0.01)
    best = torch.zeros_like(weight)
    for row, new, keep in zip(weight, best, layer.keep, strict=True):
        new[keep] = torch.linalg.solve(h[keep][:, keep], h[keep] @ row)
    assert output_error(weight, layer.weight, h) >= output_error(weight, best, h) * (1 - 1e-6)


@pytest.mark.parametrize("block", [1, 4, 7, 64])
def test_over_many_layers_making_up_for_what_goes_beats_dropping_it(block: int) -> None:
    updated, dropped = 0.0, 0.0
    for seed in range(20):  # not for every layer: a later column may undo what an earlier one did
        weight, moment = problem(seed)
        layer = sweep(weight, damped(moment, 0.01), 0.5, None, block)
        updated += output_error(weight, layer.weight, moment)
        dropped += output_error(weight, weight * layer.keep, moment)
    assert updated < 0.9 * dropped


@given(SEEDS)
def test_the_sweep_keeps_two_of_four(seed: int) -> None:
    weight, moment = problem(seed)
    layer = sweep(weight, damped(moment, 0.01), 1.0, Pattern(2, 4), 6)
    assert (layer.keep.view(6, 5, 4).sum(-1) == 2).all()
    assert torch.equal(layer.weight != 0, layer.keep)


def test_wanda_with_equal_inputs_is_magnitude_by_row() -> None:
    weight, _ = problem(0)
    keep = by_norm(weight, torch.eye(20, dtype=torch.float64), 0.3, None).keep
    assert torch.equal(keep, row_top(weight.abs(), 0.3))


@pytest.mark.parametrize("method", ["wanda", "optimal-brain-surgeon"])
def test_later_layers_are_decided_behind_pruned_ones(method: str) -> None:
    x = torch.randn(64, 7, generator=seeded(3))
    small = octavo.compress(net(), method, data=[x], density=0.3)
    masks = [step for step in small.plan.steps if isinstance(step, Mask)]
    assert [step.path for step in masks] == ["0", "2", "4"]
    values = [step for step in small.plan.steps if isinstance(step, Weights)]
    changed = any(
        not torch.equal(v.tensors["weight"], net().get_parameter(f"{v.path}.weight") * m.keep)
        for v, m in zip(values, masks, strict=True)
    )
    assert changed == (method == "optimal-brain-surgeon")


def test_gradual_pruning_never_lets_a_weight_return_and_ends_exactly() -> None:
    x, y = torch.randn(48, 7, generator=seeded(4)), torch.arange(48) % 3
    data = [Batch(x[i : i + 8], y[i : i + 8]) for i in range(0, 48, 8)]
    model = net()
    total = sum(w.numel() for w in saliency.prunable(model).values())
    config = magnitude.Config(0.2, epochs=4, steps=5)
    keep = magnitude.gradually(model, data, config)
    assert sum(int(k.sum()) for k in keep.values()) == keep_count(0.2, total)
    for path, k in keep.items():
        weight = model.get_parameter(f"{path}.weight")
        assert torch.equal(weight == 0, ~k)


def test_what_is_held_stays_zero_through_training() -> None:
    model = net()
    keep = chosen(saliency.magnitude(model), 0.5)
    held = Held(model, keep)
    held()
    data = labelled("test", [(torch.randn(8, 7, generator=seeded(5)), torch.arange(8) % 3)])
    before = copy.deepcopy(model.state_dict())
    for _ in epochs(model, data, 3, sgd(model, 0.1), after_step=held):
        assert all((model.get_parameter(f"{p}.weight")[~k] == 0).all() for p, k in keep.items())
    assert not torch.equal(before["0.weight"], model.state_dict()["0.weight"])


def test_snip_is_the_gradient_of_a_switch() -> None:
    model, x, y = net().double(), torch.randn(6, 7).double(), torch.arange(6) % 3
    felt = saliency.snip(model, lambda m: F.cross_entropy(m(x), y))
    switch = torch.ones_like(model[0].weight, requires_grad=True)  # type: ignore[index]
    weights = {"0.weight": model[0].weight.detach() * switch}  # type: ignore[index]
    loss = F.cross_entropy(torch.func.functional_call(model, weights, (x,)), y)
    (by_switch,) = torch.autograd.grad(loss, switch)
    assert torch.allclose(felt["0"], by_switch.abs(), atol=1e-12)


@pytest.mark.parametrize("method", ["snip", "grasp"])
def test_methods_that_look_at_a_loss_ask_for_class_numbers(method: str) -> None:
    with pytest.raises(InputError, match="class numbers"):
        octavo.compress(net(), method, data=[torch.randn(4, 7)])
    with pytest.raises(InputError, match="pass data="):
        octavo.compress(net(), method, example=torch.randn(1, 7))
