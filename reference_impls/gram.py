"""Second moments of what goes into a layer: what post-training pruning knows of the data.

A layer's output is a product: rows of inputs times rows of weights. For a convolution a row of
inputs is the patch under the kernel, K = C / groups * Kh * Kw numbers, ordered as `matrices` has
the weight. A transposed convolution is one with the kernel turned, over inputs that zeros were put
between.

>>> import torch
>>> net = nn.Sequential(nn.Linear(2, 1))
>>> moments(net, "0", [torch.tensor([[1.0, 2.0], [3.0, 0.0]])]).tolist()
[[[5.0, 1.0], [1.0, 2.0]]]
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from octavo.errors import InputError
from octavo.reference_impls.inputs import Input, call, evaluating

KINDS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d)


class _EnoughError(Exception):
    """A pass has shown all that was asked; never leaves this module."""


def calls(model: nn.Module, paths: Collection[str], inputs: Sequence[Input]) -> list[Counter[str]]:
    """How often the layer at each path is called, by input."""
    found: list[Counter[str]] = []
    handles = [
        model.get_submodule(path).register_forward_pre_hook(
            lambda _, args, path=path: found[-1].update([path])
        )
        for path in paths
    ]
    for example in inputs:
        found.append(Counter())
        _passed(model, example)
    for handle in handles:
        handle.remove()
    return found


def moments(model: nn.Module, path: str, inputs: Sequence[Input]) -> Tensor | None:
    """Mean of x^T x over all rows that enter the layer at `path`: (groups, K, K) float64.

    None if the layer is never called on these inputs (an attention layer may read the weights of
    its projection itself).

    Raises:
        InputError: the layer is of a kind whose input rows are not known here.
    """
    return together(model, path, inputs, (), calls(model, (path,), inputs)).get(path)


def together(
    model: nn.Module,
    path: str,
    inputs: Sequence[Input],
    later: Collection[str],
    counts: Sequence[Counter[str]],
) -> dict[str, Tensor]:
    """The moments of a layer, and of those `later` linear ones that are given the same tensors.

    The query, key and value of an attention layer are one pass, and a pass goes no further than to
    the first later layer that is given something else.

    Args:
        model: where the layers are.
        path: of the layer; if it is never called, nothing is found.
        inputs: of the model.
        later: paths of layers that follow.
        counts: what `calls` says of all these layers on these inputs.
    """
    layer = model.get_submodule(path)
    if not isinstance(layer, KINDS):
        known = ", ".join(kind.__name__ for kind in KINDS)
        raise InputError(f"{path}: a {type(layer).__name__}; second moments are known for {known}")
    watch = _Watch(layer)
    hooks = {at: watch.compare(at, model.get_submodule(at)) for at in later} | {path: watch.see}
    handles = [
        model.get_submodule(at).register_forward_pre_hook(hook, with_kwargs=True)
        for at, hook in hooks.items()
    ]
    try:
        for example, count in zip(inputs, counts, strict=True):
            if count[path]:
                watch.begin(count[path])
                _passed(model, example)
    finally:
        for handle in handles:
            handle.remove()
    if watch.total is None:
        return {}
    whole = {at: sum(count[at] for count in counts) for at in (path, *later)}
    same = (at for at in later if watch.shared[at] == whole[at] == whole[path])
    return dict.fromkeys((path, *same), watch.total / watch.number)


class _Watch:
    """What a layer is given over all passes, and how often a later layer is given the same."""

    def __init__(self, layer: nn.Module) -> None:
        self.layer = layer
        self.total: Tensor | None = None  # of x^T x
        self.number = 0  # of rows
        self.shared: Counter[str] = Counter()

    def begin(self, wanted: int) -> None:
        """A new pass, in which the layer will be called so often."""
        self.wanted = wanted
        self.taken: list[tuple[Tensor, int]] = []  # each with the version of its values

    def see(self, _: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> None:
        """A hook of the layer itself."""
        given = (*args, *named.values())[0]
        self.taken.append((given, given._version))
        x = rows(self.layer, given.detach())  # (groups, rows, K)
        product = (x.transpose(1, 2) @ x).double()
        self.total = product if self.total is None else self.total + product
        self.number += x.shape[1]

    def compare(self, at: str, other: nn.Module) -> Callable[..., None]:
        """A hook of a later layer: it shares what the layer was given, or the pass may end."""
        linear = isinstance(self.layer, nn.Linear) and isinstance(other, nn.Linear)

        def hook(_: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> None:
            given = (*args, *named.values())[0]
            if linear and any(given is x and x._version == v for x, v in self.taken):
                self.shared[at] += 1
            elif len(self.taken) == self.wanted:
                raise _EnoughError

        return hook


def _passed(model: nn.Module, example: Input) -> None:
    """One call of the model, as far as a hook lets it go."""
    with evaluating(model), suppress(_EnoughError):
        call(model, example)


def rows(layer: nn.Module, x: Tensor) -> Tensor:
    """The rows of a layer's input, (groups, rows, K)."""
    return _ROWS[type(layer)](layer, x)


def matrices(layer: nn.Module, weight: Tensor) -> Tensor:
    """A layer's weight as (groups, N / groups, K), a row an output."""
    if isinstance(layer, nn.ConvTranspose2d):  # (C, N / groups, Kh, Kw)
        return weight.reshape(layer.groups, -1, *weight.shape[1:]).transpose(1, 2).flatten(2)
    return weight.reshape(getattr(layer, "groups", 1), -1, weight[0].numel())


def restored(layer: nn.Module, parts: Tensor, shape: torch.Size) -> Tensor:
    """The way back from (groups, N / groups, K) to the shape of the weight."""
    if isinstance(layer, nn.ConvTranspose2d):
        inputs = shape[0] // layer.groups
        return parts.reshape(*parts.shape[:2], inputs, *shape[2:]).transpose(1, 2).reshape(shape)
    return parts.reshape(shape)


def _linear(_: nn.Linear, x: Tensor) -> Tensor:
    return x.reshape(1, -1, x.shape[-1])


def _conv2d(layer: nn.Conv2d, x: Tensor) -> Tensor:
    columns = F.unfold(_padded(layer, x), layer.kernel_size, layer.dilation, 0, layer.stride)
    size, k, count = columns.shape  # (B, C * k, L)
    parts = columns.view(size, layer.groups, k // layer.groups, count)  # (B, groups, K, L)
    return parts.permute(1, 0, 3, 2).flatten(1, 2)


def _conv1d(layer: nn.Conv1d, x: Tensor) -> Tensor:
    columns = _padded(layer, x).unfold(2, (layer.kernel_size[0] - 1) * layer.dilation[0] + 1, 1)
    columns = columns[:, :, :: layer.stride[0], :: layer.dilation[0]]  # (B, C, L, k)
    size, c, count, k = columns.shape
    parts = columns.reshape(size, layer.groups, c // layer.groups, count, k)
    return parts.permute(1, 0, 3, 2, 4).flatten(3).flatten(1, 2)


def _transposed(layer: nn.ConvTranspose2d, x: Tensor) -> Tensor:
    size, c, *sides = x.shape
    spread = x.new_zeros(
        size, c, *((n - 1) * s + 1 for n, s in zip(sides, layer.stride, strict=True))
    )
    spread[:, :, :: layer.stride[0], :: layer.stride[1]] = x
    around: list[int] = []
    for d, k, p, more in zip(*_sizes(layer), strict=True):
        edge = d * (k - 1) - p  # may be negative: then it is cut off
        around = [edge, edge + more, *around]  # the last side stands first
    columns = F.unfold(F.pad(spread, around), layer.kernel_size, layer.dilation)
    turned = columns.view(size, c, *layer.kernel_size, -1).flip(2, 3)
    parts = turned.view(size, layer.groups, -1, columns.shape[2])  # (B, groups, K, L)
    return parts.permute(1, 0, 3, 2).flatten(1, 2)


def _sizes(layer: nn.ConvTranspose2d) -> tuple[Any, ...]:
    return layer.dilation, layer.kernel_size, layer.padding, layer.output_padding


def _padded(layer: nn.Conv1d | nn.Conv2d, x: Tensor) -> Tensor:
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    return F.pad(x, layer._reversed_padding_repeated_twice, mode)


_ROWS: dict[type[nn.Module], Callable[[Any, Tensor], Tensor]] = {
    nn.Linear: _linear,
    nn.Conv1d: _conv1d,
    nn.Conv2d: _conv2d,
    nn.ConvTranspose2d: _transposed,
}
