"""Unlabelled inputs to calibrate on: the reader's own, or made up in the shape of an example."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from octavo.errors import InputError
from octavo.reference_impls.inputs import Data, Input, batches, example_for

TOGETHER = 32  # made-up inputs in a batch
NUMBERS, BATCHES = 1 << 18, 8  # about as many numbers are made up, in at most so many batches


class Calibration(NamedTuple):
    """Batches of inputs on the CPU, and whether they were made up."""

    inputs: list[Input]
    made_up: bool


def calibration(
    method: str,
    model: nn.Module,
    data: Data,
    example: Input,
    samples: int,
    generator: torch.Generator,
) -> Calibration:
    """Whole batches of ``data`` until there are ``samples`` inputs; with no data, random ones.

    Random ones have the shape of ``example`` (or of a guess): standard normal values, random token
    ids for integers; masks of 0 and 1 stay as they are. A warning says so under the method's name.

    Raises:
        InputError: data without a batch; no data and no example that could be guessed.
    """
    if data is not None:
        return Calibration(_collected(method, data, samples), made_up=False)
    warnings.warn(
        f"{method}: no data=, so it calibrates on random inputs; real ones give better results",
        stacklevel=3,
    )
    example = example_for(model) if example is None else example
    draw = _drawing(model, generator)
    first = changed(example, draw)
    count = min(-(-samples // TOGETHER), BATCHES, max(1, NUMBERS // numbers(first)))
    return Calibration([first, *(changed(example, draw) for _ in range(count - 1))], made_up=True)


def changed(batch: Input, change: Callable[[Tensor], Tensor]) -> Input:
    """The batch with each of its tensors changed; what is not a tensor stays.

    >>> changed({"x": torch.ones(2), "flag": True}, lambda t: 2 * t)
    {'x': tensor([2., 2.]), 'flag': True}
    """
    if isinstance(batch, Tensor):
        return change(batch)
    if isinstance(batch, Mapping):
        return {name: changed(part, change) for name, part in batch.items()}
    if isinstance(batch, tuple | list):
        return tuple(changed(part, change) for part in batch)
    return batch


def size(batch: Input) -> int:
    """How many inputs a batch holds: the first dimension of its first tensor.

    >>> size({"input_ids": torch.zeros(8, 16)})
    8
    """
    return next((len(part) for part in _tensors(batch) if part.ndim), 1)


def numbers(batch: Input) -> int:
    """How many numbers all tensors of a batch hold together."""
    return sum(part.numel() for part in _tensors(batch))


def _tensors(batch: Input) -> list[Tensor]:
    parts: Iterable[object] = (batch,)
    if isinstance(batch, Mapping | tuple | list):
        parts = batch.values() if isinstance(batch, Mapping) else batch
    return [part for part in parts if isinstance(part, Tensor)]


def _collected(method: str, data: Data, samples: int) -> list[Input]:
    found: list[Input] = []
    count = 0
    for batch in batches(data):
        found.append(changed(batch.input, Tensor.cpu))
        count += size(batch.input)
        if count >= samples:
            break
    if not found:
        raise InputError(f"{method}: data has no batch; pass a few hundred unlabelled inputs")
    return found


def _drawing(model: nn.Module, generator: torch.Generator) -> Callable[[Tensor], Tensor]:
    """A function that makes a random batch in the shape of one tensor of the example."""
    tables = [m.num_embeddings for m in model.modules() if isinstance(m, nn.Embedding)]
    vocabulary = tables[0] if tables else 2

    def draw(part: Tensor) -> Tensor:
        shape = (TOGETHER, *part.shape[1:])
        if part.is_floating_point():
            return torch.randn(shape, generator=generator)
        if part.dtype == torch.bool or int(part.max()) <= 1:
            return part[:1].expand(shape).clone()
        return torch.randint(vocabulary, shape, generator=generator)

    return draw
