"""Tickets of a pre-trained model: rounds, rewinding, and the controls they are held against."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import octavo
from octavo.errors import InputError
from octavo.reference_impls import bert_lottery_tickets as tickets
from octavo.reference_impls.masking import Held, Patterns
from octavo.reference_impls.plan import Mask
from octavo.reference_impls.selection import keep_count

torch.set_num_threads(1)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))


def data() -> list[tuple[torch.Tensor, torch.Tensor]]:
    x = torch.randn(24, 6, generator=seeded(1))
    return [(x[i : i + 8], torch.arange(8) % 3) for i in (0, 8, 16)]


@given(st.floats(0.001, 1.0), st.floats(0.01, 0.99))
def test_rounds_take_equal_shares_of_all_and_end_at_the_density(
    density: float, step: float
) -> None:
    found = tickets.rounds(density, step)
    assert found[-1] == density
    gone = [a - b for a, b in pairwise([1.0, *found])]
    assert all(g == pytest.approx(step) for g in gone[:-1])
    assert gone[-1] <= step + 1e-6


def test_every_round_starts_from_the_model_and_what_is_gone_stays_gone() -> None:
    model = net()
    before = {name: p.clone() for name, p in model.named_parameters()}
    seen: list[Patterns] = []

    def train(twin: nn.Module, kept: Patterns) -> None:
        assert all(torch.equal(before[name], p) for name, p in twin.named_parameters())
        seen.append(kept)
        Held(twin, kept)()
        with torch.no_grad():
            for p in twin.parameters():
                p.mul_(torch.rand(p.shape, generator=seeded(len(seen))))

    found = list(tickets.find(model, train, [0.8, 0.5, 0.2]))
    assert len(seen) == 3
    masks = [kept for _, kept in found]
    assert all((b[p] <= a[p]).all() for a, b in pairwise(masks) for p in a)
    total = sum(k.numel() for k in masks[0].values())
    for density, kept in found:
        assert sum(int(k.sum()) for k in kept.values()) == keep_count(density, total)
    assert all(torch.equal(before[name], p) for name, p in model.named_parameters())


def test_a_ticket_without_tuning_is_a_mask_on_the_weights_as_they_were() -> None:
    model = net()
    small = octavo.compress(
        model, "bert-lottery-tickets", data=data(), density=0.4, step=0.3, epochs=1, tuning=0
    )
    assert all(isinstance(step, Mask) for step in small.plan.steps)
    for path in ("0", "2"):
        thin, whole = small.model[int(path)].weight, model[int(path)].weight
        assert ((thin == whole) | (thin == 0)).all()


def test_training_before_the_cut_decides_the_cut() -> None:
    def masks(lr: float) -> list[torch.Tensor]:
        config = {"density": 0.3, "step": 0.7, "epochs": 20, "tuning": 0, "lr": lr}
        small = octavo.compress(net(), "bert-lottery-tickets", data=data(), **config)
        return [step.keep for step in small.plan.steps if isinstance(step, Mask)]

    still, moved = masks(0.0), masks(0.05)
    sizes = torch.cat([p.detach().abs().flatten() for p in net().parameters() if p.ndim > 1])
    kept = torch.cat([keep.flatten() for keep in still])
    assert sizes[kept].min() >= sizes[~kept].max()
    assert any(not torch.equal(a, b) for a, b in zip(still, moved, strict=True))


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 1 << 30))
def test_a_random_mask_has_the_count_of_every_layer(seed: int) -> None:
    kept = {"0": torch.rand(16, 6, generator=seeded(seed)) < 0.3, "2": torch.ones(3, 16).bool()}
    drawn = tickets.by_lot(kept, seeded(seed + 1))
    assert all(int(drawn[p].sum()) == int(kept[p].sum()) for p in kept)
    assert all(drawn[p].shape == kept[p].shape for p in kept)


def test_redrawn_weights_are_new_only_where_pruned() -> None:
    model = net()
    other = tickets.redrawn(model, {"0": torch.ones(16, 6).bool()}, seeded(3))
    assert not torch.equal(other[0].weight, model[0].weight)
    assert torch.equal(other[2].weight, model[2].weight)
    assert other[0].weight.std().item() == pytest.approx(0.02, rel=0.3)


def test_what_is_excluded_stays_dense() -> None:
    small = octavo.compress(
        net(), "bert-lottery-tickets", data=data(), density=0.2, epochs=1, exclude=("2",)
    )
    assert [step.path for step in small.plan.steps if isinstance(step, Mask)] == ["0"]


@pytest.mark.parametrize("wrong", [{"density": 0.0}, {"step": 0.0}, {"step": 1.0}])
def test_a_bad_setting_is_answered_in_one_line(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError) as caught:
        octavo.compress(net(), "bert-lottery-tickets", data=data(), **wrong)
    assert "\n" not in str(caught.value)
