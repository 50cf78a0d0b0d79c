"""What each operation means for labels: moves, products, convolutions, norms, pools, attention.

An operation that only moves numbers is done to the labels; an elementwise one makes the units that
meet one; any other needs a rule here, or stops the units that enter it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

from octavo.reference_impls.labels import FIXED, Trace


class Following(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Every operation inside is done twice: on the tensors, and on their labels."""

    def __init__(self, trace: Trace) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.trace = trace

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        name = str(func.overloadpacket).removeprefix("aten.").rstrip("_")
        tensors = [t for t in tree_flatten((args, kwargs))[0] if isinstance(t, Tensor)]
        if name in RULES:
            RULES[name](self.trace, result, *args)
        elif any(self.trace.known(t) for t in tensors):
            other(self.trace, func, name, result, args, kwargs or {}, tensors)
        return result


def other(
    trace: Trace, func: Any, name: str, result: Any, args: Any, kwargs: Any, tensors: list[Tensor]
) -> None:
    """Moves and elementwise operations; what is neither stops its units."""
    if name in ("view", "_unsafe_view", "reshape"):
        trace.put(result, trace.labels_of(args[0]).reshape(result.shape))
    elif name in _MOVES:
        moved = func(*tree_map(lambda a: _as_labels(trace, a), args), **kwargs)
        for out, labels in zip(tensors_of(result), tensors_of(moved), strict=True):
            trace.put(out, labels)
    elif torch.Tag.pointwise in func.tags or name in _COPIES:
        trace.put(result, _meet(trace, result.shape, tensors))
    else:
        trace.stop(name, tensors)


def _as_labels(trace: Trace, a: Any) -> Any:
    return trace.labels_of(a) if isinstance(a, Tensor) else a


def _meet(trace: Trace, shape: torch.Size, tensors: list[Tensor]) -> Tensor:
    """Labels of an elementwise result: the units that meet are one; constants may fix them."""
    carrying = [trace.labels_of(t).expand(shape) for t in tensors if trace.known(t)]
    first, *others = carrying
    for labels in others:
        trace.join(first, labels)
    varies = [d for d in range(first.ndim) if bool((first != first.narrow(d, 0, 1)).any())]
    for t in tensors:
        wide = [1] * (len(shape) - t.ndim) + list(t.shape)
        if not trace.known(t) and any(wide[d] > 1 for d in varies):
            _per_unit(trace, t, first, [d for d in range(len(shape)) if wide[d] > 1])
    return first


def _per_unit(trace: Trace, t: Tensor, labels: Tensor, dims: list[int]) -> None:
    """A constant with a number for each unit: a parameter along one dimension, or it fixes them."""
    if id(t) in trace.names and len(dims) == 1:
        dim = next(i for i, n in enumerate(t.shape) if n > 1)
        trace.reads(t, dim, trace.along(labels, dims[0]))
    else:
        trace.fix(labels)


def tensors_of(tree: Any) -> list[Tensor]:
    """All tensors in a result, in their order."""
    if isinstance(tree, Mapping):
        tree = dict(tree)
    return [t for t in tree_flatten(tree)[0] if isinstance(t, Tensor)]


def _product(trace: Trace, out: Tensor, x: Tensor, weight: Tensor, bias: Any = None) -> None:
    """The product of x (..., in) with W (in, out), a parameter or the transpose of one."""
    parameter = trace.turned.get(id(weight), weight)
    if id(parameter) not in trace.names:
        return _matmul(trace, out, x, weight)
    taken, made = (0, 1) if parameter is weight else (1, 0)  # dimensions of the parameter
    columns = trace.fresh(out.shape[-1])
    if trace.known(x):
        trace.reads(parameter, taken, trace.along(trace.labels_of(x), -1))
    trace.reads(parameter, made, columns)
    trace.reads(bias, 0, columns)
    return trace.put(out, columns)


def _addmm(trace: Trace, out: Tensor, bias: Tensor, x: Tensor, weight: Tensor) -> None:
    _product(trace, out, x, weight, bias)


def _matmul(trace: Trace, out: Tensor, a: Tensor, b: Tensor) -> None:
    """A product of computed tensors, (..., n, k) and (..., k, m): what is summed over is one."""
    if not (trace.known(a) or trace.known(b)):
        return
    left, right = trace.labels_of(a), trace.labels_of(b)
    if _varies(left, -1) or _varies(right, -2):  # over the width of a head
        trace.join(left, left.narrow(-1, 0, 1))
        trace.join(right, right.narrow(-2, 0, 1))
        trace.join(left.narrow(-1, 0, 1), right.narrow(-2, 0, 1))
    rows = left.narrow(-1, 0, 1).expand(out.shape)
    columns = right.narrow(-2, 0, 1).expand(out.shape)
    both = (rows != FIXED) & (columns != FIXED)
    if bool(both.any()):
        trace.join(rows[both], columns[both])
    trace.put(out, torch.where(columns == FIXED, rows, columns))


def _varies(labels: Tensor, dim: int) -> bool:
    return bool((labels != labels.narrow(dim, 0, 1)).any())


def _summed(trace: Trace, labels: Tensor, dim: int) -> Tensor:
    """What a sum over a dimension makes one, kept as a dimension of 1."""
    first = labels.narrow(dim, 0, 1)
    if _varies(labels, dim):
        trace.join(labels, first)
    return first


def _convolution(
    trace: Trace, out: Tensor, x: Tensor, weight: Tensor, bias: Any, stride: Any, padding: Any,
    dilation: Any, transposed: bool, output_padding: Any, groups: int,
) -> None:  # fmt: skip
    """A convolution in any number of groups; groups lose channels alike, or whole if depthwise."""
    made, taken = (1, 0) if transposed else (0, 1)  # the weight's dimensions
    n, c = out.shape[1], x.shape[1]
    entering = trace.along(trace.labels_of(x), 1)
    if groups == c and n == c and not transposed:  # depthwise: a channel is one unit throughout
        leaving = entering.clone()
        if not trace.known(x):
            leaving = torch.zeros(n, dtype=torch.long)
    else:
        leaving = trace.fresh(n)
        if groups > 1:
            trace.join(leaving.view(groups, -1), leaving.view(groups, -1)[:1])
            trace.join(entering.view(groups, -1), entering.view(groups, -1)[:1])
        per = entering if transposed else entering.view(groups, -1)[0]
        if trace.known(x):
            trace.reads(weight, taken, per)
    trace.reads(weight, made, leaving.view(groups, -1)[0] if transposed else leaving)
    trace.reads(bias, 0, leaving)
    trace.put(out, leaving.view(1, n, *[1] * (out.ndim - 2)))


def _norm(trace: Trace, result: Any, x: Tensor, *parameters: Any) -> None:
    """Batch norm: a number for each channel, dimension 1."""
    if not trace.known(x):
        return
    labels = trace.along(trace.labels_of(x), 1)
    for p in parameters[:4]:
        if isinstance(p, Tensor):
            trace.reads(p, 0, labels)
    trace.put(tensors_of(result)[0], trace.labels_of(x))


def _layer_norm(trace: Trace, result: Any, x: Tensor, shape: list[int], *parameters: Any) -> None:
    """Layer norm over the last dimension; over more it cannot be sliced."""
    if not trace.known(x):
        return
    if len(shape) > 1:
        return trace.stop("native_layer_norm over several dimensions", [x])
    labels = trace.along(trace.labels_of(x), -1)
    for p in parameters[:2]:
        if isinstance(p, Tensor):
            trace.reads(p, 0, labels)
    trace.put(tensors_of(result)[0], trace.labels_of(x))
    return None


def _embedding(trace: Trace, out: Tensor, table: Tensor, *_: Any) -> None:
    columns = trace.fresh(out.shape[-1])
    trace.reads(table, 1, columns)
    trace.put(out, columns)


def _pool(trace: Trace, result: Any, x: Tensor, *_: Any) -> None:
    """What changes height and width only: the labels of the first place stand for all."""
    if trace.known(x):
        out, labels = tensors_of(result)[0], trace.labels_of(x)
        kept = trace.along(labels, 1)
        trace.put(out, kept.view(1, -1, *[1] * (out.ndim - 2)))


def _reduced(trace: Trace, out: Tensor, x: Tensor, dims: Any = None, keep: Any = False) -> None:
    """A mean or sum over dimensions: what is summed is one."""
    if not trace.known(x):
        return
    labels = trace.labels_of(x)
    dims = range(x.ndim) if dims is None else [dims] if isinstance(dims, int) else dims
    for d in sorted((d % x.ndim for d in dims), reverse=True):
        labels = _summed(trace, labels, d)
        labels = labels if keep else labels.squeeze(d)
    trace.put(out, labels)


def _softmax(trace: Trace, out: Tensor, x: Tensor, dim: int, *_: Any) -> None:
    if trace.known(x):
        trace.put(out, _summed(trace, trace.labels_of(x), dim).expand(out.shape))


def _attention(trace: Trace, result: Any, q: Tensor, k: Tensor, v: Tensor, *_: Any) -> None:
    """Fused attention (B, H, L, D): each head is one unit."""
    out = tensors_of(result)[0]
    first = _summed(trace, _summed(trace, trace.labels_of(q), -1), -2)  # (B, H, 1, 1)
    for other in (k, v):
        trace.join(first, trace.labels_of(other))
    trace.put(out, first.expand(out.shape))


def _transpose(trace: Trace, out: Tensor, x: Tensor, *dims: int) -> None:
    if id(x) in trace.names and x.ndim == 2:
        trace.turned[id(out)] = x
        trace.alive.append(out)
    elif trace.known(x):
        labels = trace.labels_of(x)
        trace.put(out, labels.transpose(*dims) if dims else labels.t())


def _group_norm(trace: Trace, result: Any, x: Tensor, *_: Any) -> None:
    trace.stop("native_group_norm", [x])


# Operations that move numbers and do nothing to them: the same is done to the labels.
_MOVES = {
    "permute", "expand", "slice", "select", "split", "unbind",
    "split_with_sizes", "cat", "stack", "squeeze", "unsqueeze", "alias", "flip", "roll", "repeat",
    "narrow", "unfold", "chunk", "movedim",
}  # fmt: skip
# Operations that give every number as it is, and that torch does not tag as elementwise.
_COPIES = {"clone", "_to_copy", "detach", "copy", "contiguous", "lift_fresh"}
RULES: dict[str, Callable[..., None]] = {
    "mm": _product,
    "addmm": _addmm,
    "bmm": _matmul,
    "t": _transpose,
    "transpose": _transpose,
    "convolution": _convolution,
    "native_batch_norm": _norm,
    "_native_batch_norm_legit_no_training": _norm,
    "native_layer_norm": _layer_norm,
    "native_group_norm": _group_norm,
    "embedding": _embedding,
    "mean": _reduced,
    "sum": _reduced,
    "amax": _reduced,
    "_softmax": _softmax,
    "_log_softmax": _softmax,
    "_scaled_dot_product_flash_attention_for_cpu": _attention,
    **dict.fromkeys(
        ("max_pool2d_with_indices", "avg_pool2d", "_adaptive_avg_pool2d", "constant_pad_nd",
         "adaptive_max_pool2d", "upsample_nearest2d", "upsample_bilinear2d", "upsample_bicubic2d",
         "avg_pool1d", "_adaptive_avg_pool3d", "max_pool3d_with_indices", "upsample_nearest1d"),
        _pool,
    ),
}  # fmt: skip
