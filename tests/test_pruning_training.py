"""What holds exactly for methods that prune as they train: counts, schedules, gradients."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import octavo
from octavo.errors import InputError
from octavo.reference_impls import (
    lcs,
    lr_rewinding,
    nm_sparsity,
    polarization_pruning,
    random,
    rigl,
    saliency,
    training,
)
from octavo.reference_impls.inputs import Batch, evaluating
from octavo.reference_impls.layerwise import Pattern
from octavo.reference_impls.selection import keep_count

torch.set_num_threads(1)
SEEDS = st.integers(0, 1 << 30)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), nn.ReLU(),
        nn.Conv2d(6, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3),
    )  # fmt: skip


def data(count: int = 3) -> list[Batch]:
    x = torch.randn(8 * count, 1, 6, 6, generator=seeded(1))
    y = torch.arange(8 * count) % 3
    return [Batch(x[i : i + 8], y[i : i + 8]) for i in range(0, 8 * count, 8)]


@given(st.floats(0.001, 1.0), st.floats(0.01, 1.0))
def test_rounds_fall_to_the_density_exactly(density: float, share: float) -> None:
    found = lr_rewinding.rounds(density, share)
    assert found[-1] == density
    assert all(a > b for a, b in pairwise(found))
    steps = zip([1.0, *found], found[:-1], strict=False)
    assert all(b == pytest.approx(a * (1 - share)) for a, b in steps)


@pytest.mark.parametrize("policy", ["rate", "fine-tuning"])
def test_rewinding_prunes_to_the_count_and_zeros_stay(policy: str) -> None:
    model = net()
    total = sum(w.numel() for w in saliency.prunable(model).values())
    config = lr_rewinding.Config(0.3, policy, share=0.5, epochs=2, whole=4)
    keep = lr_rewinding.rewind(model, data(), config)
    assert sum(int(k.sum()) for k in keep.values()) == keep_count(0.3, total)
    assert all((model.get_parameter(f"{p}.weight")[~k] == 0).all() for p, k in keep.items())


def test_weight_rewinding_starts_each_round_from_the_earlier_weights(tmp_path: Path) -> None:
    model, earlier = net(), net().state_dict()
    config = lr_rewinding.Config(0.5, "weights", share=1.0, epochs=0, whole=4)
    keep = lr_rewinding.rewind(model, data(), config, earlier)
    for path, k in keep.items():
        assert torch.equal(model.get_parameter(f"{path}.weight"), earlier[f"{path}.weight"] * k)
    torch.save(earlier, tmp_path / "early.pt")
    pairs = [tuple(b) for b in data()]
    file = str(tmp_path / "early.pt")
    octavo.compress(net(), "lr-rewinding", data=pairs, policy="weights", epochs=1, earlier=file)
    with pytest.raises(InputError, match="earlier="):
        octavo.compress(net(), "lr-rewinding", data=pairs, policy="weights", epochs=1)


@given(st.floats(0.05, 1.0))
def test_filters_go_whole_and_the_classes_stay(density: float) -> None:
    model = net()
    kept = {p: torch.ones_like(w, dtype=torch.bool) for p, w in saliency.prunable(model).items()}
    keep = lr_rewinding.smallest_filters(model, density, kept)
    assert keep["8"].all()
    rows = [k.flatten(1) for path, k in keep.items() if path != "8"]
    assert all(bool((r.all(1) | ~r.any(1)).all()) for r in rows)
    assert sum(int(r.any(1).sum()) for r in rows) == keep_count(density, 14)


@given(SEEDS, st.integers(0, 40))
def test_a_move_keeps_the_number_drops_the_smallest_and_takes_the_best(
    seed: int, count: int
) -> None:
    keep = torch.rand(5, 8, generator=seeded(seed)) < 0.4
    keep[0, 0] = True
    weight, worth = (torch.rand(5, 8, generator=seeded(seed + i)) for i in (1, 2))
    after = rigl.moved(keep, weight, worth, count)
    assert int(after.sum()) == int(keep.sum())
    gone, came = keep & ~after, after & ~keep
    stayed, away = keep & after, ~keep & ~after
    if gone.any() and stayed.any():
        assert weight[gone].max() <= weight[stayed].min()
    if came.any() and away.any():
        assert worth[came].min() >= worth[away].max()


def test_moving_connections_start_at_zero_and_what_has_gone_is_forgotten() -> None:
    model, config = net(), rigl.Config(0.4, epochs=3, every=2)
    first = random.drawn(net(), random.Config(0.4), seeded(7))
    keep = rigl.learn(model, data(), config, seeded(7))
    assert any(not torch.equal(first[p], keep[p]) for p in keep)
    assert all(int(first[p].sum()) == int(keep[p].sum()) for p in keep)
    assert all((model.get_parameter(f"{p}.weight")[~k] == 0).all() for p, k in keep.items())


@given(st.floats(0, 1))
def test_fewer_connections_move_as_time_goes_on(done: float) -> None:
    assert 0 <= rigl.fraction(0.3, done) <= 0.3
    assert rigl.fraction(0.3, min(1.0, done + 0.1)) <= rigl.fraction(0.3, done)


@given(SEEDS, st.floats(0, 1))
def test_the_gradient_goes_through_and_pulls_only_what_is_not_used(seed: int, pull: float) -> None:
    dense = torch.randn(3, 8, generator=seeded(seed)).requires_grad_(True)
    slope = torch.randn(3, 8, generator=seeded(seed + 1))
    nm_sparsity.Used.apply(dense, Pattern(2, 4), pull).backward(slope)
    keep = nm_sparsity.kept(dense, Pattern(2, 4))
    expected = slope + pull * ~keep * dense.detach()
    assert torch.allclose(dense.grad, expected)


def test_trained_patterns_are_exact_and_excluded_layers_stay_dense() -> None:
    model = net()
    config = nm_sparsity.Config("1:4", epochs=1, exclude=("8",))
    keep = nm_sparsity.learn(model, data(), config)
    assert set(keep) == {"0", "3"}
    groups = keep["3"].flatten(1)[:, :52].reshape(-1, 4)
    assert (groups.sum(1) == 1).all()
    assert (model.get_parameter("8.weight") != 0).all()
    with pytest.raises(InputError, match="allowed are some of 0, 3, 8"):
        nm_sparsity.learn(net(), data(), nm_sparsity.Config(exclude=("9",)))


@given(st.integers(2, 60), st.floats(-1.9, 1.9))
def test_the_penalty_is_least_at_the_promised_share_of_the_corners(n: int, t: float) -> None:
    values = []
    for k in range(n + 1):
        corner = torch.zeros(n, dtype=torch.float64)
        corner[:k] = 1
        values.append(polarization_pruning.penalty(corner, t).item())
    best = min(range(n + 1), key=lambda k: values[k])
    assert abs(best - n * (0.5 - t / 4)) <= 1


@settings(deadline=None)
@given(st.floats(0, 0.99), SEEDS)
def test_a_cut_leaves_every_layer_a_channel_and_silences_the_rest(share: float, seed: int) -> None:
    model, x = net().eval(), data()[0].input
    feeds = polarization_pruning.feeding(model, x)
    assert feeds == {"1": "0", "4": "3"}
    scales = polarization_pruning.factors(model, feeds)
    with torch.no_grad():
        for scale in scales.values():
            scale.copy_(torch.rand(scale.shape, generator=seeded(seed)))
    keep = polarization_pruning.cut(model, scales, 1 - share)
    assert all(bool(k.any()) for k in keep.values())
    polarization_pruning.silenced(model, feeds, keep)
    with evaluating(model):
        hidden = model[:5](x)
    assert (hidden[:, ~keep["4"]] == 0).all()


def test_a_network_without_batch_norm_is_told_so() -> None:
    plain = nn.Sequential(nn.Flatten(), nn.Linear(36, 3))
    with pytest.raises(InputError, match="no batch norm"):
        octavo.compress(plain, "polarization-pruning", data=[tuple(b) for b in data()])


def test_one_subspace_gives_every_level_exactly() -> None:
    subspace = lcs.Subspace(net(), lcs.Config(epochs=1, warm_up=0.5), seeded(3))
    lcs.trained(subspace, data())
    for level in (1.0, 0.4, 0.05):
        plan = lcs.at(subspace, level)
        small = plan.apply(net())
        for path, w in saliency.prunable(small).items():
            at = subspace.weights(level)[f"{path}.weight"].detach()
            assert int((w != 0).sum()) == keep_count(level, w.numel())
            assert torch.equal(w[w != 0], at[w != 0])
    assert any("batch norm" in note for note in plan.notes)


@given(st.integers(1, 4), st.integers(1, 5), st.lists(st.integers(1, 3), max_size=2), SEEDS)
def test_classes_may_stand_last_or_second(
    batch: int, classes: int, places: list[int], seed: int
) -> None:
    logits = torch.randn(batch, *places, classes, generator=seeded(seed))
    target = torch.randint(0, classes, (batch, *places), generator=seeded(seed))
    last = training.cross_entropy(logits, target)
    expected = F.cross_entropy(logits.reshape(-1, classes), target.reshape(-1))
    torch.testing.assert_close(last, expected)
    second = logits.movedim(-1, 1)
    if second.shape[:-1] != target.shape:  # else both ways can be read, and last is the first
        torch.testing.assert_close(training.cross_entropy(second, target), expected)


def test_class_numbers_that_do_not_fit_are_named() -> None:
    with pytest.raises(InputError, match=r"\(2, 3\) and class numbers \(4,\)"):
        training.cross_entropy(torch.zeros(2, 3), torch.zeros(4).long())
    with pytest.raises(InputError, match="class number 3, but 3 logits"):
        training.cross_entropy(torch.zeros(2, 3), torch.tensor([0, 3]))


@pytest.mark.parametrize(("density", "n"), [(0.25, 1), (0.5, 2), (1.0, 4)])
def test_a_density_is_a_pattern_of_the_same_groups(density: float, n: int) -> None:
    keep = nm_sparsity.learn(net(), data(), nm_sparsity.Config(density=density, epochs=1))
    groups = keep["3"].flatten(1)[:, :52].reshape(-1, 4)
    assert (groups.sum(1) == n).all()
    with pytest.raises(InputError, match="a whole number stays: "):
        nm_sparsity.learn(net(), data(), nm_sparsity.Config(density=density - 0.1))


def test_epochs_are_one_epoch_after_the_other() -> None:
    nets = [net(), net()]
    losses = [*training.epochs(nets[0], data(), 3, training.sgd(nets[0], 0.1))]
    optimizer = training.sgd(nets[1], 0.1)
    assert [training.epoch(nets[1], data(), optimizer) for _ in range(3)] == losses
    states = [each.state_dict().values() for each in nets]
    assert all(a.equal(b) for a, b in zip(*states, strict=True))


def test_data_is_walked_over_batch_by_batch() -> None:
    given_out = []

    def loader() -> Iterator[Batch]:
        for batch in data():
            given_out.append(batch)
            yield batch

    walk = training.walked("rigl", loader())
    next(walk)
    assert len(given_out) == 1
    assert len(training.labelled("rigl", loader(), 2)) == 2
    used = loader()
    assert len([*training.walked("rigl", used)]) == 3
    with pytest.raises(InputError, match="used iterator"):
        next(training.walked("rigl", used))
