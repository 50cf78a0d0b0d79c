"""Movement pruning: what a score sums, what stays, and what the network is trained on."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import octavo
from octavo.errors import InputError
from octavo.reference_impls import movement, saliency
from octavo.reference_impls.inputs import Batch
from octavo.reference_impls.selection import keep_count

torch.set_num_threads(1)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))


def data(count: int = 4) -> list[Batch]:
    x = torch.randn(8 * count, 6, generator=seeded(1))
    y = torch.arange(8 * count) % 3
    return [Batch(x[i : i + 8], y[i : i + 8]) for i in range(0, 8 * count, 8)]


def learned(config: movement.Config) -> tuple[nn.Module, dict[str, torch.Tensor]]:
    model = net()
    optimizer = torch.optim.Adam(model.parameters(), lr=config.lr)
    return model, movement.learn(model, data(), config, optimizer)


@pytest.mark.parametrize("variant", ["hard", "magnitude"])
@pytest.mark.parametrize("scope", ["layer", "global"])
def test_the_density_is_met_and_what_does_not_stay_is_zero(variant: str, scope: str) -> None:
    model, keep = learned(movement.Config(0.25, variant, scope, epochs=3, lr=1e-2))
    sizes = [k.numel() for k in keep.values()]
    counts = [int(k.sum()) for k in keep.values()]
    wanted = [keep_count(0.25, n) for n in sizes]
    assert counts == wanted if scope == "layer" else sum(counts) == keep_count(0.25, sum(sizes))
    for path, k in keep.items():
        weight = model.get_parameter(f"{path}.weight")
        assert (weight[~k] == 0).all()
        assert (weight[k] != 0).any()


def test_with_no_pruning_it_is_plain_fine_tuning() -> None:
    config = movement.Config(1.0, epochs=2, lr=1e-2)
    model, _ = learned(config)
    plain = net()
    optimizer = torch.optim.Adam(plain.parameters(), lr=config.lr)
    for _ in movement.epochs(plain, data(), 2, optimizer, rate=movement.linear):
        pass
    for one, other in zip(model.parameters(), plain.parameters(), strict=True):
        assert torch.equal(one, other)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 1 << 30), st.floats(0.05, 0.95))
def test_a_score_grows_exactly_while_its_weight_moves_from_zero(seed: int, density: float) -> None:
    generator = seeded(seed)
    weight = torch.randn(7, 5, generator=generator, dtype=torch.float64)
    slope = torch.randn(7, 5, generator=generator, dtype=torch.float64)
    gains = movement.gained(weight, slope)
    outward = ((weight - 1e-6 * slope).abs() > weight.abs()) == (gains > 0)
    assert bool(outward.all())
    assert torch.allclose(movement.gained(-weight, -slope), gains)  # the sign does not tell


def test_masked_weights_still_gain_scores_but_are_not_trained() -> None:
    model = net()
    moving = movement.Moving(model, movement.Config(0.2, warm_up=0.0), 1)
    moving.done = 1
    moving.mask()
    batch = data()[0]
    nn.functional.cross_entropy(model(batch.input), batch.target).backward()
    moving.before()
    for path, w in moving.weights.items():
        gone = ~moving.keep[path]
        assert w.grad is not None
        assert (w.grad[gone] == 0).all()
        assert torch.equal(w, moving.whole[path])
    first = moving.scores["2"].grad
    assert first is not None
    assert (first[~moving.keep["2"]] != 0).any()


@pytest.mark.parametrize(
    ("progress", "expected"), [(0, 0.0), (10, 0.0), (45, 0.5), (80, 1.0), (100, 1.0)]
)
def test_the_schedule_waits_falls_and_holds(progress: int, expected: float) -> None:
    moving = movement.Moving(net(), movement.Config(0.1), 100)
    moving.done = progress
    assert moving.progress() == pytest.approx(expected)


def test_a_larger_penalty_keeps_fewer() -> None:
    kept = []
    for penalty in (0.0, 1.0, 100.0):
        config = movement.Config(
            variant="soft", epochs=10, lr=1e-3, score_lr=0.2, penalty=penalty, threshold=0.2
        )
        kept.append(sum(int(k.sum()) for k in learned(config)[1].values()))
    assert kept[0] >= kept[1] >= kept[2]
    assert kept[0] > kept[2]


def test_layers_that_share_a_weight_share_its_mask() -> None:
    model = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 3))
    model[2].weight = model[0].weight
    small = octavo.compress(model, "movement", data=[tuple(b) for b in data()], density=0.5)
    assert small.model[2].weight is small.model[0].weight
    assert int((small.model[0].weight == 0).sum()) == 18


def test_what_is_excluded_stays_dense() -> None:
    _, keep = learned(movement.Config(0.1, epochs=1, exclude=("2",)))
    assert set(keep) == {"0"}
    assert set(saliency.inner(net(), ())) == {"0", "2"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"density": 0.0}, {"variant": "other"}, {"scope": "row"}, {"warm_up": 0.9},
        {"threshold": 0.5}, {"exclude": ("9",)}, {"exclude": ("0", "2")},
    ],
)  # fmt: skip
def test_a_bad_setting_is_answered_in_one_line(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError) as caught:
        octavo.compress(net(), "movement", data=[tuple(b) for b in data()], **wrong)
    assert "\n" not in str(caught.value)
