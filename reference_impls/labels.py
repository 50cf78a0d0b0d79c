"""Labels that follow the numbers of one call of a network: which unit each of them belongs to.

A tensor of labels stands beside every tensor that carries units. Labels become one where units meet
(a union of sets), and each parameter's slices are written down under the labels that read them. The
rules by operation are in `label_rules`, what comes of it in `dependency`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

Slice = tuple[str, int, int]  # parameter or buffer, dimension, index
FIXED = 0  # the label of what belongs to no unit


@dataclass(eq=False)
class Trace:
    """Labels of all tensors of one call, and which labels are one."""

    model: nn.Module
    labels: dict[int, Tensor] = field(default_factory=dict)  # by id of the tensor
    alive: list[Tensor] = field(default_factory=list)  # so that no id is used twice
    parent: list[int] = field(default_factory=lambda: [FIXED])
    slices: list[tuple[Slice, int]] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    where: list[str] = field(default_factory=list)  # modules that are being called
    turned: dict[int, Tensor] = field(default_factory=dict)  # by id of W^T: the parameter W

    def __post_init__(self) -> None:
        named = itertools.chain(self.model.named_parameters(), self.model.named_buffers())
        self.names = {id(t): name for name, t in named}

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Hooks say in which module an operation happens."""
        handles = []
        for path, module in self.model.named_modules():
            handles.append(module.register_forward_pre_hook(self._enter(path)))
            handles.append(module.register_forward_hook(self._leave))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _enter(self, path: str) -> Callable[..., None]:
        return lambda *_: self.where.append(path)

    def _leave(self, *_: Any) -> None:
        self.where.pop()

    def labels_of(self, t: Tensor) -> Tensor:
        """The labels of a tensor; of one never met, all fixed."""
        found = self.labels.get(id(t))
        return torch.zeros(t.shape, dtype=torch.long) if found is None else found

    def known(self, t: Any) -> bool:
        """Whether a tensor carries units."""
        return isinstance(t, Tensor) and id(t) in self.labels

    def put(self, t: Tensor, labels: Tensor) -> None:
        """Give a tensor its labels."""
        self.labels[id(t)] = labels.expand(t.shape)
        self.alive.append(t)

    def fresh(self, count: int) -> Tensor:
        """New labels."""
        first = len(self.parent)
        self.parent.extend(range(first, first + count))
        return torch.arange(first, first + count)

    def root(self, label: int) -> int:
        """The label that stands for all that are one with this."""
        while self.parent[label] != label:
            self.parent[label] = self.parent[self.parent[label]]
            label = self.parent[label]
        return label

    def join(self, a: Tensor, b: Tensor) -> None:
        """Make labels one, place by place; the fixed label wins."""
        a, b = torch.broadcast_tensors(a, b)  # type: ignore[no-untyped-call]
        apart = a != b
        for one, other in set(zip(a[apart].tolist(), b[apart].tolist(), strict=True)):
            low, high = sorted((self.root(one), self.root(other)))
            self.parent[high] = low

    def fix(self, labels: Tensor) -> None:
        """Take units out of what can be removed."""
        self.join(labels, torch.full((1,), FIXED))

    def reads(self, parameter: Any, dim: int, labels: Tensor) -> None:
        """The slices of a parameter along `dim` belong to these units, one label an index."""
        name = self.names.get(id(parameter)) if isinstance(parameter, Tensor) else None
        if name is not None:
            self.slices += (((name, dim, i), u) for i, u in enumerate(labels.tolist()))
        elif isinstance(parameter, Tensor):
            self.fix(labels)  # a weight that is computed cannot be sliced

    def along(self, labels: Tensor, dim: int) -> Tensor:
        """One label for each index of a dimension; what differs within an index becomes one."""
        rows = labels.movedim(dim, 0).reshape(labels.shape[dim], -1)
        if not bool((rows == rows[:, :1]).all()):
            self.join(rows, rows[:, :1])
        return rows[:, 0]

    def stop(self, what: str, tensors: Iterable[Tensor]) -> None:
        """An operation that cannot be followed: all that enters it is fixed."""
        carrying = [t for t in tensors if self.known(t)]
        for t in carrying:
            self.fix(self.labels_of(t))
        if carrying:
            self.stopped.append(f"{what} in {self.where[-1] if self.where else 'the model'}")

    def units(self) -> list[list[Slice]]:
        """Slices by unit, without the fixed."""
        found: dict[int, list[Slice]] = {}
        for place, label in self.slices:
            if root := self.root(label):
                found.setdefault(root, []).append(place)
        return [list(dict.fromkeys(unit)) for unit in found.values()]
