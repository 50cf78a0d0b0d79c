"""The one small training loop that methods share: tensors in memory, seeded, last epoch counts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from octavo.reference_impls.inputs import evaluating

Loss = Callable[[nn.Module, Tensor, Tensor], Tensor]  # (model, inputs, targets) -> scalar
Hook = Callable[[], None]


def minibatches(
    x: Tensor, y: Tensor, size: int, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """All of (x, y) once in random order, `size` at a time (the last batch may be smaller)."""
    order = torch.randperm(len(x), generator=generator)
    for start in range(0, len(x), size):
        index = order[start : start + size]
        yield x[index], y[index]


def classify(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Cross entropy of the model's logits (B, classes) with class numbers (B,)."""
    return F.cross_entropy(model(x), y)


def fit(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    epochs: int,
    generator: torch.Generator,
    lr: float = 0.1,
    batch: int = 128,
    loss: Loss = classify,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    optimizer: torch.optim.Optimizer | None = None,
    after_step: Hook | None = None,
) -> list[float]:
    """Train in place: Nesterov SGD (or `optimizer`), learning rate down a half cosine.

    `after_step` runs after every update (to put the zeros of a mask back). Returns the mean loss of
    each epoch. The model is left in evaluation mode.
    """
    optimizer = optimizer or torch.optim.SGD(
        [p for p in model.parameters() if p.requires_grad],
        lr=lr, momentum=momentum, weight_decay=weight_decay, nesterov=momentum > 0,
    )  # fmt: skip
    steps = max(1, epochs * math.ceil(len(x) / batch))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    losses = []
    model.train()
    for _ in range(epochs):
        total = 0.0
        for inputs, targets in minibatches(x, y, batch, generator):
            optimizer.zero_grad()
            value = loss(model, inputs, targets)
            value.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            total += value.item() * len(inputs)
            if after_step is not None:
                after_step()
        losses.append(total / len(x))
    model.eval()
    return losses


def accuracy(model: nn.Module, x: Tensor, y: Tensor, batch: int = 512) -> float:
    """Share of inputs whose largest logit is at the target, between 0 and 1."""
    hits = 0
    with evaluating(model):
        for start in range(0, len(x), batch):
            part = slice(start, start + batch)
            hits += int((model(x[part]).argmax(1) == y[part]).sum())
    return hits / len(x)
