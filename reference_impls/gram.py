"""Second moments of what goes into a layer: what post-training pruning knows of the data.

A layer's output is a product: rows of inputs times rows of weights. For a convolution a row of
inputs is the patch under the kernel, K = C / groups * Kh * Kw numbers, ordered as the weight
flattened to (N, K) is.

>>> import torch
>>> net = nn.Sequential(nn.Linear(2, 1))
>>> moments(net, "0", [torch.tensor([[1.0, 2.0], [3.0, 0.0]])]).tolist()
[[[5.0, 1.0], [1.0, 2.0]]]
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from octavo.errors import InputError
from octavo.reference_impls.inputs import Input, call, evaluating

KINDS = (nn.Linear, nn.Conv1d, nn.Conv2d)


def moments(model: nn.Module, path: str, inputs: Sequence[Input]) -> Tensor | None:
    """Mean of x^T x over all rows that enter the layer at `path`: (groups, K, K) float64.

    None if the layer is never called on these inputs (an attention layer may read the weights of
    its projection itself).

    Raises:
        InputError: the layer is of a kind whose input rows are not known here.
    """
    layer = model.get_submodule(path)
    if not isinstance(layer, KINDS):
        known = ", ".join(kind.__name__ for kind in KINDS)
        raise InputError(f"{path}: a {type(layer).__name__}; second moments are known for {known}")
    total: list[Tensor] = []
    count = 0

    def see(_: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> None:
        nonlocal count
        x = rows(layer, (*args, *named.values())[0].detach())  # (groups, rows, K)
        product = (x.transpose(1, 2) @ x).double()
        total[:] = [total[0] + product if total else product]
        count += x.shape[1]

    handle = layer.register_forward_pre_hook(see, with_kwargs=True)
    try:
        with evaluating(model):
            for example in inputs:
                call(model, example)
    finally:
        handle.remove()
    return total[0] / count if total else None


def rows(layer: nn.Module, x: Tensor) -> Tensor:
    """The rows of a layer's input, (groups, rows, K)."""
    return _ROWS[type(layer)](layer, x)


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


def _padded(layer: nn.Conv1d | nn.Conv2d, x: Tensor) -> Tensor:
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    return F.pad(x, layer._reversed_padding_repeated_twice, mode)


_ROWS: dict[type[nn.Module], Callable[[Any, Tensor], Tensor]] = {
    nn.Linear: _linear,
    nn.Conv1d: _conv1d,
    nn.Conv2d: _conv2d,
}
