"""HYDRA: its first mask, its gradients, and attacks that stay in their box."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import octavo
from octavo.errors import InputError
from octavo.reference_impls import hydra
from octavo.reference_impls.attack import attacked, certified, robust
from octavo.reference_impls.inputs import Batch
from octavo.reference_impls.plan import Mask

torch.set_num_threads(1)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))


def batch() -> Batch:
    return Batch(torch.randn(12, 6, generator=seeded(1)), torch.arange(12) % 3)


def test_with_no_step_of_the_scores_the_mask_is_that_of_magnitude() -> None:
    config = hydra.Config(0.3, epochs=0, tuning=0)
    loss = hydra.objective(config, seeded(0))
    model = net()
    for path, keep in hydra.learn(model, [batch()], config, loss).items():
        weight = model.get_parameter(f"{path}.weight").abs()
        assert weight[keep].min() >= weight[~keep].max()


def test_learning_scores_leaves_the_weights_alone_and_moves_the_mask() -> None:
    model = net()
    before = {name: p.clone() for name, p in model.named_parameters()}
    config = hydra.Config(0.3, epochs=6, attack_steps=2, epsilon=0.3, lr=1.0)
    start, loss = hydra.Config(0.3, epochs=0), hydra.objective(config, seeded(0))
    first = hydra.learn(model, [batch()], start, loss)
    keep = hydra.learn(model, [batch()], config, hydra.objective(config, seeded(0)))
    assert all(torch.equal(before[name], p) for name, p in model.named_parameters())
    assert any(not torch.equal(first[path], keep[path]) for path in keep)
    assert all(int(keep[path].sum()) == int(first[path].sum()) for path in keep)


def test_the_gradient_of_a_score_is_that_of_its_switch_times_its_sign() -> None:
    weight = torch.randn(3, 4, generator=seeded(2))
    scores = hydra.scaled(weight).requires_grad_(True)
    out = hydra.Used.apply(scores, weight, 0.5)
    slope = torch.randn(3, 4, generator=seeded(3))
    out.backward(slope)
    assert torch.allclose(scores.grad, slope * weight * scores.sign())


@settings(deadline=None, max_examples=20)
@given(st.floats(0.01, 1.0), st.integers(1, 5), st.integers(0, 99))
def test_an_attack_stays_in_its_box_and_harms_no_less_than_nothing(
    epsilon: float, count: int, seed: int
) -> None:
    model, (x, y) = net(), batch()
    worst = attacked(model, x, lambda z: F.cross_entropy(z, y), epsilon, count, seeded(seed))
    assert float((worst - x).abs().max()) <= epsilon * (1 + 1e-5)
    assert all(p.grad is None for p in model.parameters())


def test_robust_accuracy_falls_with_the_box_and_is_accuracy_without_one() -> None:
    model, (x, y) = net(), batch()
    clean = float((model(x).argmax(1) == y).float().mean())
    shares = [robust(model, x, y, e, seeded(0), count=10) for e in (1e-9, 0.3, 3.0)]
    assert shares[0] == pytest.approx(clean)
    assert shares[0] >= shares[1] >= shares[2]


def test_a_radius_is_proved_only_where_the_vote_is_clear() -> None:
    sure = nn.Linear(2, 2, bias=False)
    sure.weight.data = torch.tensor([[9.0, 0.0], [-9.0, 0.0]])
    x, y = torch.tensor([[100.0, 0.0], [0.0, 0.0]]), torch.tensor([0, 0])
    first = certified(sure, x[:1], y[:1], 0.5, seeded(0))
    second = certified(sure, x[1:], y[1:], 0.5, seeded(0))
    assert first > 0.5
    assert second == 0.0


@pytest.mark.parametrize("kind", ["adversarial", "trades", "noise"])
def test_every_objective_prunes_to_the_share_asked_for(kind: str) -> None:
    small = octavo.compress(
        net(), "hydra", data=[tuple(batch())], density=0.25, objective=kind,
        epochs=1, tuning=1, attack_steps=2, epsilon=0.1,
    )  # fmt: skip
    masks = [step for step in small.plan.steps if isinstance(step, Mask)]
    assert [int(m.keep.sum()) for m in masks] == [24, 12]


def test_what_cannot_be_attacked_is_refused() -> None:
    with pytest.raises(InputError, match="float tensor"):
        octavo.compress(net(), "hydra", data=[(torch.ones(2, 6).long(), torch.zeros(2).long())])
    with pytest.raises(InputError, match="adversarial, trades, noise"):
        octavo.compress(net(), "hydra", data=[tuple(batch())], objective="luck")
