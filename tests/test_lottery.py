"""Tickets keep what the schedule says and go back where they came from; the tasks are right."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import octavo
from octavo.errors import InputError
from octavo.reference_impls import lottery_rl_nlp as method
from octavo.reference_impls import saliency
from octavo.reference_impls.inputs import evaluating
from octavo.reference_impls.lr_rewinding import rounds
from octavo.reference_impls.selection import keep_count
from octavo.reference_impls.tasks import control, language

torch.set_num_threads(1)


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 20), nn.ReLU(), nn.Linear(20, 3))


class Walked:
    """A training that moves weights at random, and notes from where to where it was asked to go."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []
        self.generator = torch.Generator().manual_seed(0)

    def __call__(self, net: nn.Module, hold: method.Hook, begin: int, end: int) -> None:
        self.asked.append((begin, end))
        for _ in range(begin, end):
            with torch.no_grad():
                for p in net.parameters():
                    p.add_(0.1 * torch.randn(p.shape, generator=self.generator))
            hold()


@settings(deadline=None)
@given(st.floats(0.02, 1.0), st.floats(0.1, 0.9), st.integers(0, 3))
def test_a_search_keeps_what_the_schedule_says_and_goes_back_each_round(
    density: float, share: float, rewind: int
) -> None:
    model, train = net(), Walked()
    before = {name: p.clone() for name, p in model.state_dict().items()}
    config = method.Config(density, share, epochs=3, rewind=rewind)
    found = method.search(model, train, config)
    schedule = [1.0, *rounds(density, share)]
    total = sum(w.numel() for w in saliency.prunable(model).values())
    masks = [*(r.kept for r in found.rounds), found.kept]
    kept = [sum(int(k.sum()) for k in mask.values()) for mask in masks]
    assert kept == [keep_count(d, total) for d in schedule]
    pairs = pairwise(masks)
    assert all(bool((after[p] <= mask[p]).all()) for mask, after in pairs for p in mask)
    assert train.asked == [(0, rewind)] + [(rewind, 3)] * (len(schedule) - 1)
    assert all(torch.equal(before[name], p) for name, p in model.state_dict().items())
    for done in found.rounds:
        for path, w in saliency.prunable(done.net).items():
            assert not w[~done.kept[path]].any()


def test_without_training_a_ticket_starts_from_the_weights_of_the_start() -> None:
    model = net()
    found = method.search(model, Walked(), method.Config(0.3, 0.5, epochs=2, rewind=0))
    assert all(torch.equal(model.state_dict()[name], p) for name, p in found.early.items())
    with pytest.raises(InputError, match="rewind=4, epochs=2"):
        method.search(model, Walked(), method.Config(epochs=2, rewind=4))


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1), st.integers(0, 99))
def test_a_random_ticket_has_as_many_weights_in_each_layer(
    shapes: list[tuple[int, int]], seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    kept = {str(i): torch.rand(s, generator=generator) < 0.4 for i, s in enumerate(shapes)}
    mixed = method.shuffled(kept, generator)
    assert all(mixed[p].shape == k.shape and mixed[p].sum() == k.sum() for p, k in kept.items())


def test_a_plan_is_trained_sparse_and_goes_round(tmp_path: Path) -> None:
    x = torch.randn(24, 6, generator=torch.Generator().manual_seed(1))
    data = [(x, (x[:, 0] > 0).long())]
    small = octavo.compress(net(), "lottery-rl-nlp", data=data, density=0.25, epochs=3)
    weights = saliency.prunable(small.model).values()
    assert sum(int(w.count_nonzero()) for w in weights) == 45  # of 180
    small.save(tmp_path)
    assert torch.equal(octavo.load(net(), tmp_path).model(x), small.model(x))


STATES = st.lists(st.tuples(*[st.floats(-3, 3)] * 4), min_size=1, max_size=5)


@given(STATES, st.booleans())
def test_the_cart_does_not_know_left_from_right(
    states: list[tuple[float, ...]], right: bool
) -> None:
    state, push = np.array(states), np.full(len(states), right)
    np.testing.assert_allclose(control.moved(-state, ~push), -control.moved(state, push), atol=1e-9)


def test_a_pole_that_stands_is_tipped_against_the_push() -> None:
    ((x, v, lean, turn),) = control.moved(np.zeros((1, 4)), np.array([True]))
    assert (x, lean) == (0, 0)
    # by hand: 10 / 1.1 = 9.09 turns the pole by -9.09 / (0.5 (4 / 3 - 0.1 / 1.1)) = -14.63
    assert turn == pytest.approx(-0.02 * 9.0909091 / (0.5 * (4 / 3 - 0.1 / 1.1)))
    assert v == pytest.approx(0.02 * (9.0909091 + 0.05 * 14.6341463 / 1.1))


def policy(lean: float, turn: float) -> nn.Module:
    net = nn.Linear(4, 3, bias=False)
    with torch.no_grad():
        net.weight.zero_()
        net.weight[1] = torch.tensor([0.0, 0.0, lean / 5, turn])
    return net


def test_a_good_driver_keeps_the_pole_up_and_a_bad_one_does_not() -> None:
    assert control.score(policy(1.0, 1.0), runs=8) > 150
    assert control.score(policy(-1.0, -1.0), runs=8) < 20


def test_no_cart_runs_past_its_end() -> None:
    carts = control.Carts.started(6, 0)
    for step in range(60):
        over = carts.push(np.arange(6) % 2 == step % 2)
        assert not control.fallen(carts.state).any()
        assert (carts.age[over] == 0).all()


@given(st.integers(1, 6), st.integers(0, 99))
def test_advantages_are_the_sum_of_differences_by_their_traces(steps: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(steps + 1, 2, generator=generator, dtype=torch.float64)
    overs = torch.rand(steps, 2, generator=generator) < 0.3
    goes = (~overs).double()
    each = 1 + control.DISCOUNT * goes * values[1:] - values[:-1]
    expected = torch.zeros(steps, 2, dtype=torch.float64)
    for t in range(steps):
        trace = torch.ones(2, dtype=torch.float64)
        for later in range(t, steps):
            expected[t] += trace * each[later]
            trace = trace * control.DISCOUNT * control.TRACE * goes[later]
    torch.testing.assert_close(control.advantages(values, overs), expected)


@pytest.mark.parametrize("made", [language.Recurrent, language.Causal])
def test_no_word_is_guessed_from_what_comes_after(made: type[nn.Module]) -> None:
    torch.manual_seed(0)
    net = made()
    ids = torch.randint(0, language.WORDS, (3, 9), generator=torch.Generator().manual_seed(1))
    changed = ids.clone()
    changed[:, 6:] = 7
    with evaluating(net):
        one, other = net(ids), net(changed)
    assert torch.equal(one[:, :6], other[:, :6])
    assert not torch.equal(one[:, 6:], other[:, 6:])


def test_the_gates_are_those_of_an_lstm() -> None:
    torch.manual_seed(0)
    net, width = language.Recurrent(8), 8
    theirs = nn.LSTM(width, width, batch_first=True)
    i, f, o, g = (slice(k * width, (k + 1) * width) for k in range(4))
    order = [i, f, g, o]  # as torch has them
    with torch.no_grad():
        theirs.weight_ih_l0.copy_(torch.cat([net.word.weight[s] for s in order]))
        theirs.weight_hh_l0.copy_(torch.cat([net.state.weight[s] for s in order]))
        theirs.bias_ih_l0.copy_(torch.cat([net.word.bias[s] for s in order]))
        theirs.bias_hh_l0.zero_()
        theirs.bias_hh_l0[width : 2 * width] = 1
    ids = torch.randint(0, language.WORDS, (2, 5))
    with evaluating(net), evaluating(theirs):
        expected = net.out(theirs(net.embed(ids))[0])
        torch.testing.assert_close(net(ids), expected, rtol=1e-4, atol=1e-5)
