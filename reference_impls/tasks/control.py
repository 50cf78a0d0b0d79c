"""A pole on a cart that has to be kept upright, and an actor-critic that learns to.

The equations of motion are those of Barto, Sutton and Anderson (1983), steps of 0.02 s, a push of
10 N to the left or the right, no friction. A run ends when the pole leans more than 12 degrees,
when the cart is 2.4 m from the middle, or after 200 steps; every step is worth 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from octavo.reference_impls.inputs import evaluating

Array = np.ndarray[Any, np.dtype[Any]]
GRAVITY, CART, POLE, HALF, PUSH, STEP = 9.8, 1.0, 0.1, 0.5, 10.0, 0.02
LEAN, ASIDE, LONGEST = math.radians(12), 2.4, 200
CARTS, HORIZON = 32, 16  # at a time; steps of each before an update
DISCOUNT, TRACE = 0.99, 0.95
ENTROPY, VALUE = 0.01, 0.5  # weights in the loss
SCALE = np.array([1.0, 1.0, 5.0, 1.0])  # of the state as the network sees it


def moved(state: Array, right: Array) -> Array:
    """The state (N, 4) of place, speed, lean and turn, one step later.

    Args:
        state: metres, metres a second, radians, radians a second.
        right: bool (N,), whether the cart is pushed to the right.
    """
    x, v, lean, turn = state.T
    sine, cosine = np.sin(lean), np.cos(lean)
    whole = CART + POLE
    push = (np.where(right, PUSH, -PUSH) + POLE * HALF * turn**2 * sine) / whole
    bent = (GRAVITY * sine - cosine * push) / (HALF * (4 / 3 - POLE * cosine**2 / whole))
    sped = push - POLE * HALF * bent * cosine / whole
    return np.stack([x + STEP * v, v + STEP * sped, lean + STEP * turn, turn + STEP * bent], 1)


def fallen(state: Array) -> Array:
    """Whether a run is over, bool (N,)."""
    over: Array = (np.abs(state[:, 0]) > ASIDE) | (np.abs(state[:, 2]) > LEAN)
    return over


def actor(width: int = 64) -> nn.Sequential:
    """From the state (N, 4) to two logits and a value (N, 3)."""
    layers = nn.Linear(4, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh()
    return nn.Sequential(*layers, nn.Linear(width, 3))


def seen(state: Array) -> Tensor:
    """The state as the network sees it, float32 (N, 4)."""
    return torch.from_numpy((state * SCALE).astype(np.float32))


@dataclass
class Carts:
    """Carts that run, fall and start anew near the middle."""

    lots: np.random.Generator
    state: Array
    age: Array  # steps since the start, (N,)

    @classmethod
    def started(cls, count: int, seed: int) -> Carts:
        """So many carts at the start of a run."""
        lots = np.random.default_rng(seed)
        return cls(lots, lots.uniform(-0.05, 0.05, (count, 4)), np.zeros(count))

    def push(self, right: Array) -> Array:
        """One step; says which runs are over (fallen, or as long as can be), and restarts those."""
        self.state, self.age = moved(self.state, right), self.age + 1
        over: Array = fallen(self.state) | (self.age >= LONGEST)
        fresh = self.lots.uniform(-0.05, 0.05, self.state.shape)
        self.state = np.where(over[:, None], fresh, self.state)
        self.age = np.where(over, 0, self.age)
        return over


def learn(
    net: nn.Module, rates: Sequence[float], seed: int, after_step: Callable[[], None]
) -> None:
    """Train in place by advantage actor-critic (Mnih et al. 2016) with Adam, an update a rate."""
    carts, generator = Carts.started(CARTS, seed), torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(net.parameters())
    for rate in rates:
        optimizer.param_groups[0]["lr"] = rate
        states, actions, overs = [], [], []
        for _ in range(HORIZON):
            states.append(seen(carts.state))
            with torch.no_grad():
                chances = net(states[-1])[:, :2].softmax(1)
            actions.append(torch.multinomial(chances, 1, generator=generator)[:, 0])
            overs.append(torch.from_numpy(carts.push(actions[-1].numpy() == 1)))
        states.append(seen(carts.state))
        optimizer.zero_grad()
        loss = _loss(net, torch.stack(states), torch.stack(actions), torch.stack(overs))
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(net.parameters(), 0.5)
        optimizer.step()
        after_step()


def _loss(net: nn.Module, states: Tensor, actions: Tensor, overs: Tensor) -> Tensor:
    """Policy gradient, squared error of the value and entropy: states (T + 1, N, 4)."""
    out = net(states)  # (T + 1, N, 3)
    values, chances = out[..., 2], out[:-1, :, :2].log_softmax(2)
    worth = advantages(values.detach(), overs)  # (T, N)
    taken = chances.gather(2, actions.unsqueeze(2))[..., 0]
    entropy = -(chances.exp() * chances).sum(2).mean()
    scaled = (worth - worth.mean()) / (worth.std() + 1e-6)
    misjudged = F.smooth_l1_loss(values[:-1], worth + values[:-1].detach())
    loss: Tensor = -(scaled * taken).mean() + VALUE * misjudged - ENTROPY * entropy
    return loss


def advantages(values: Tensor, overs: Tensor) -> Tensor:
    """How much better than judged each step was, (T, N): traces of differences, each step worth 1.

    Args:
        values: of the states, and of the one after the last, (T + 1, N).
        overs: whether the run ended with the step, bool (T, N).

    >>> advantages(torch.tensor([[1.0], [1.0], [5.0]]), torch.tensor([[False], [True]])).tolist()
    [[0.9900000095367432], [0.0]]
    """
    found, trace = [], torch.zeros_like(values[0])
    for t in reversed(range(len(overs))):
        goes_on = (~overs[t]).to(values.dtype)
        difference = 1 + DISCOUNT * goes_on * values[t + 1] - values[t]
        trace = difference + DISCOUNT * TRACE * goes_on * trace
        found.append(trace)
    return torch.stack(found[::-1])


def score(net: nn.Module, runs: int = 64, seed: int = 1000) -> float:
    """Mean steps that the pole stays up when the better push is always taken, at most 200."""
    carts = Carts.started(runs, seed)
    steps, up = np.zeros(runs), np.ones(runs, dtype=bool)
    with evaluating(net):
        for _ in range(LONGEST):
            right = net(seen(carts.state))[:, :2].argmax(1).numpy() == 1
            steps += up
            up &= ~carts.push(right)
    return float(steps.mean())
