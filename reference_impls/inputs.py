"""The reader's data and models, in whatever form they come: tensors, tuples, dicts, loaders."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from octavo.errors import InputError

Input = Any  # Tensor | tuple of arguments | dict of keyword arguments; None where it may be guessed
Data = Any  # an iterable of batches (a DataLoader, a list), or one Tensor or dict: a single batch


class Batch(NamedTuple):
    """One batch: what the model is called with, and the target if the data has one."""

    input: Input
    target: Any


class Call(NamedTuple):
    """One call of a module: its first input and its first output tensor, detached."""

    input: Tensor
    output: Tensor


def batches(data: Data) -> Iterator[Batch]:
    """Walk over data of any usual form.

    A tensor is an input. Of a tuple or list of two or more the last is the target. Of a dict the
    entry "labels" is the target and the others are keyword arguments.

    >>> [(b.input.tolist(), b.target) for b in batches([torch.ones(2), (torch.zeros(1), 3)])]
    [([1.0, 1.0], None), ([0.0], 3)]
    """
    if data is None:
        raise InputError("this method needs data; pass data=… (a DataLoader or a list of batches)")
    single = isinstance(data, Tensor | Mapping)
    if not single and not isinstance(data, Iterable):
        kind = type(data).__name__
        raise InputError(
            f"data is a {kind}; a DataLoader, an iterable of batches or a tensor needed"
        )
    for item in [data] if single else data:
        yield _batch(item)


def _batch(item: Any) -> Batch:
    if isinstance(item, Mapping):
        return Batch({k: v for k, v in item.items() if k != "labels"}, item.get("labels"))
    if isinstance(item, tuple | list):
        *inputs, target = item if len(item) > 1 else (*item, None)
        return Batch(inputs[0] if len(inputs) == 1 else tuple(inputs), target)
    if isinstance(item, Tensor):
        return Batch(item, None)
    raise InputError(f"a batch is a {type(item).__name__}; a tensor, tuple or dict needed")


def call(model: nn.Module, example: Input) -> Any:
    """Call `model` with a tensor, a tuple of arguments, or a dict of keyword arguments."""
    if isinstance(example, Mapping):
        return model(**example)
    return model(*example) if isinstance(example, tuple | list) else model(example)


def output_of(result: Any) -> Tensor:
    """The tensor a reader means: the result itself, or the first tensor in it.

    >>> output_of({"state": None, "logits": torch.tensor(2.0)}).item()
    2.0
    """
    if isinstance(result, Tensor):
        return result
    inner: Iterable[Any] = ()
    if isinstance(result, Mapping):
        inner = result.values()
    elif isinstance(result, Sequence) and not isinstance(result, str):
        inner = result
    for part in inner:
        if isinstance(part, Tensor | Mapping | tuple | list):
            return output_of(part)
    raise InputError(f"the model returned a {type(result).__name__} with no tensor in it")


@contextmanager
def evaluating(model: nn.Module) -> Iterator[nn.Module]:
    """Evaluation mode and no gradients inside; every module's own mode is put back after."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad():
            yield model
    finally:
        for module, mode in modes.items():
            module.training = mode


def capture(
    model: nn.Module, paths: Iterable[str], inputs: Iterable[Input]
) -> dict[str, list[Call]]:
    """Run `model` on `inputs` and keep what went in and out of the modules at `paths`.

    A module that is called twice in a pass gives two calls; one that is never called (an attention
    layer may read the weights of its projection itself) gives an empty list. The model runs in
    evaluation mode without gradients.
    """
    calls: dict[str, list[Call]] = {path: [] for path in paths}
    handles = [
        model.get_submodule(path).register_forward_hook(_keeper(kept), with_kwargs=True)
        for path, kept in calls.items()
    ]
    try:
        with evaluating(model):
            for example in inputs:
                call(model, example)
    finally:
        for handle in handles:
            handle.remove()
    return calls


def _keeper(kept: list[Call]) -> Callable[..., None]:
    def keep(_: nn.Module, args: tuple[Any, ...], named: dict[str, Any], result: Any) -> None:
        kept.append(Call(output_of((*args, *named.values())).detach(), output_of(result).detach()))

    return keep


def example_for(model: nn.Module) -> Input:
    """Guess an input for `model` from its first layer: the first of these that it can take.

    Conv2d: (1, C, 64, 64), then other usual sizes. Conv1d: (1, C, 64). Linear: (1, in), then
    (1, 16, in), for models of sequences. Embedding or a Hugging Face model of text: int64 ids
    (1, 16). Values come from a fixed seed.

    >>> tuple(example_for(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())).shape)
    (1, 3, 64, 64)

    Raises:
        InputError: the first layer is of another kind, or the model takes none of these.
    """
    generator = torch.Generator().manual_seed(0)
    for example in _guesses(model, generator):
        with evaluating(model):
            try:
                call(model, example)
            except (RuntimeError, ValueError, IndexError, TypeError, AssertionError):
                continue  # not this size
        return example
    raise InputError(f"cannot guess an input of {type(model).__name__}; pass example=…")


def _guesses(model: nn.Module, generator: torch.Generator) -> Iterator[Tensor]:
    for module in model.modules():
        for kind, guess in _GUESSES.items():
            if isinstance(module, kind):
                yield from guess(module, generator)
                return


def _images(layer: nn.Conv2d, generator: torch.Generator) -> Iterator[Tensor]:
    for side in (64, 32, 28, 224, 384):
        yield torch.randn(1, layer.in_channels, side, side, generator=generator)


_GUESSES: dict[type[nn.Module], Callable[[Any, torch.Generator], Iterable[Tensor]]] = {
    nn.Conv2d: _images,
    nn.Conv1d: lambda m, g: [torch.randn(1, m.in_channels, 64, generator=g)],
    nn.Linear: lambda m, g: [
        torch.randn(1, m.in_features, generator=g),
        torch.randn(1, 16, m.in_features, generator=g),
    ],
    nn.Embedding: lambda m, g: [torch.randint(0, m.num_embeddings, (1, 16), generator=g)],
}
