"""Batches made as they are asked for: what the loaders of the reader's data sets return."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from octavo.errors import InputError

SPLITS = ("train", "test")


@dataclass(frozen=True)
class Walk:
    """So many inputs in batches, in the order that the seed gives, the same on every walk.

    >>> [batch for batch in Walk(5, lambda places: sorted(places), batch=5)]
    [[0, 1, 2, 3, 4]]
    """

    total: int
    make: Callable[[Sequence[int]], Any]  # from the places of some inputs to a batch of them
    batch: int = 64
    count: int = 0  # inputs at most; 0: all
    seed: int = 0

    def __post_init__(self) -> None:
        if self.batch < 1 or self.count < 0:
            given = f"batch={self.batch}, count={self.count}"
            raise InputError(f"{given}; a batch has at least 1 input, count at least 0 (0: all)")

    def __len__(self) -> int:
        """Batches."""
        return -(-self._taken() // self.batch)

    def __iter__(self) -> Iterator[Any]:
        generator = torch.Generator().manual_seed(self.seed)
        order = torch.randperm(self.total, generator=generator).tolist()[: self._taken()]
        for start in range(0, len(order), self.batch):
            yield self.make(order[start : start + self.batch])

    def _taken(self) -> int:
        return min(self.total, self.count or self.total)
