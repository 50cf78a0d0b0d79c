"""Any model as the positive linear network whose flow SynFlow scores.

`Flow` is a torch function mode: inside it every call that a model's forward makes is replaced by
its rule below, so no model has to be written for it. With absolute weights and ones at the input
every value is then >= 0, the output is linear in each layer's weight, and what flows into a unit
flows out of it.

| call                    | inside `Flow`                                                        |
| ----------------------- | -------------------------------------------------------------------- |
| linear, convolution     | without its bias                                                     |
| batch norm              | times abs(gamma) / sqrt(running variance + eps)                      |
| layer, group, RMS norm  | times abs(gamma) / root mean square, the latter held fixed           |
| ReLU, GELU, tanh and kin| the identity (what ReLU is for values >= 0)                          |
| softmax                 | shares of the sum, the sum held fixed; masked entries have no share  |
| attention               | shares of query times key, times value                               |
| product of two results  | each passes half of the flow back, so that no more goes in than out  |
| embedding               | ones                                                                 |

"Held fixed" means that no gradient goes through: a normalisation of a constant has none, and a
fixed positive factor keeps the flow conserved.

>>> w = torch.tensor([[2.0, 1.0]], requires_grad=True)
>>> with Flow():
...     out = F.gelu(F.linear(torch.ones(1, 2), w, torch.tensor([5.0])))
>>> out.item(), (torch.autograd.grad(out, w)[0] * w).tolist()
(3.0, [[2.0, 1.0]])
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from octavo.reference_impls.inputs import Input

Rule = Callable[..., Any]


class Flow(TorchFunctionMode):
    """Inside this context, functions with a rule follow it; all others run as they are."""

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        return _RULES.get(func, func)(*args, **(kwargs or {}))


def ones(example: Input) -> Input:
    """One sample of the example's shape, all ones; whole numbers (ids, masks) stay."""
    if isinstance(example, Mapping):
        return {key: ones(value) for key, value in example.items()}
    if isinstance(example, tuple | list):
        return tuple(ones(value) for value in example)
    if isinstance(example, Tensor) and example.is_floating_point():
        return torch.ones_like(example[:1], dtype=torch.float64)
    return example[:1] if isinstance(example, Tensor) and example.ndim else example


def floats(result: Any) -> Iterator[Tensor]:
    """Every float tensor in a model's result that depends on its weights."""
    if isinstance(result, Tensor):
        if result.is_floating_point() and result.requires_grad:
            yield result
    elif isinstance(result, Mapping):
        for part in result.values():
            yield from floats(part)
    elif isinstance(result, tuple | list):
        for part in result:
            yield from floats(part)


def _share(x: Tensor, dim: int | None = None, *_: Any, **__: Any) -> Tensor:
    """X over its sum, which is held fixed; equal shares where nothing flows."""
    dim = -1 if dim is None else dim
    x = x.clamp(min=0)  # a mask is added as a very negative number
    total = x.sum(dim, keepdim=True).detach()
    return torch.where(total > 0, x / total.where(total > 0, 1.0), 1.0 / x.shape[dim])


def _by_root_mean_square(x: Tensor, dims: tuple[int, ...], eps: float) -> Tensor:
    return x / (x.square().mean(dims, keepdim=True) + eps).sqrt().detach()


def _channels(scale: Tensor | None, x: Tensor) -> Tensor | float:
    """A factor for each channel, shaped to multiply x (B, C, ...)."""
    return 1.0 if scale is None else scale.abs().view(1, -1, *[1] * (x.ndim - 2))


def _batch_norm(
    x: Tensor, mean: Tensor | None, var: Tensor | None, weight: Tensor | None = None,
    bias: Tensor | None = None, training: bool = False, momentum: float = 0.1, eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    if var is None:  # no running statistics: the batch's own root mean square
        x = _by_root_mean_square(x, (0, *range(2, x.ndim)), eps)
    else:
        x = x * _channels((var.abs() + eps).rsqrt(), x)
    return x * _channels(weight, x)


def _layer_norm(
    x: Tensor, shape: Any, weight: Tensor | None = None, bias: Tensor | None = None,
    eps: float | None = 1e-5, *_: Any,
) -> Tensor:  # fmt: skip
    x = _by_root_mean_square(x, tuple(range(-len(shape), 0)), eps or 1e-12)
    return x if weight is None else x * weight.abs()


def _rms_norm(
    x: Tensor, shape: Any, weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    return _layer_norm(x, shape, weight, None, eps)


def _group_norm(
    x: Tensor, groups: int, weight: Tensor | None = None, bias: Tensor | None = None,
    eps: float = 1e-5, *_: Any,
) -> Tensor:  # fmt: skip
    split = x.reshape(len(x), groups, -1)  # (B, groups, C/groups * ...)
    return _by_root_mean_square(split, (-1,), eps).view(x.shape) * _channels(weight, x)


def _instance_norm(
    x: Tensor, mean: Any = None, var: Any = None, weight: Tensor | None = None, *_: Any, **__: Any
) -> Tensor:
    return _group_norm(x, x.shape[1], weight)


def _same(x: Tensor, *_: Any, **__: Any) -> Tensor:
    return x


def _gated(x: Tensor, dim: int = -1) -> Tensor:
    left, right = x.chunk(2, dim)
    return _half(left) * _half(right)


def _half(x: Tensor) -> Tensor:
    """X itself, with half of its gradient."""
    return 0.5 * x + 0.5 * x.detach()


def _is_result(value: Any) -> bool:
    """Whether a value was computed from weights; a weight itself was not."""
    return isinstance(value, Tensor) and value.requires_grad and not value.is_leaf


def _product(function: Rule) -> Rule:
    """The product of two results (not of a weight and a result) shares the flow between them."""

    def run(left: Any, right: Any, *rest: Any, **kwargs: Any) -> Any:
        both = all(
            isinstance(t, Tensor) and t.requires_grad and not t.is_leaf for t in (left, right)
        )
        pair = (_half(left), _half(right)) if both else (left, right)
        return function(*pair, *rest, **kwargs)

    return run


def _attention(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None,
    dropout_p: float = 0.0, is_causal: bool = False, scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:  # fmt: skip
    if enable_gqa:
        repeats = query.shape[-3] // key.shape[-3]
        key, value = (t.repeat_interleave(repeats, -3) for t in (key, value))
    score = _half(query) @ _half(key).transpose(
        -2, -1
    )  # (..., queries, keys); a common scale has no say
    if is_causal:
        score = score.tril()
    if attn_mask is not None:
        score = score * attn_mask if attn_mask.dtype == torch.bool else score + attn_mask
    return _half(_share(score)) @ _half(value)


def _multi_head(
    query: Tensor, key: Tensor, value: Tensor, width: int, heads: int, in_weight: Tensor | None,
    in_bias: Any, bias_k: Any, bias_v: Any, add_zero: bool, dropout: float, out_weight: Tensor,
    out_bias: Any, *_: Any, q_proj_weight: Any = None, k_proj_weight: Any = None,
    v_proj_weight: Any = None, **__: Any,
) -> tuple[Tensor, None]:  # fmt: skip
    weights = (
        (q_proj_weight, k_proj_weight, v_proj_weight) if in_weight is None else in_weight.chunk(3)
    )
    q, k, v = (
        torch.unflatten(F.linear(t, w), -1, (heads, -1)).movedim(
            0, -2
        )  # (..., heads, length, width/heads)
        for t, w in zip((query, key, value), weights, strict=True)
    )
    mixed = _attention(q, k, v).movedim(-2, 0).flatten(-2)  # (length, ..., width)
    return F.linear(mixed, out_weight), None


def _ones(ids: Tensor, weight: Tensor, *_: Any, **__: Any) -> Tensor:
    return torch.ones(*ids.shape, weight.shape[1], dtype=weight.dtype, device=weight.device)


def _bag_of_ones(
    ids: Tensor, weight: Tensor, offsets: Tensor | None = None, *_: Any, **__: Any
) -> Tensor:
    bags = len(ids) if offsets is None else len(offsets)
    return torch.ones(bags, weight.shape[1], dtype=weight.dtype, device=weight.device)


def _fixed(function: Rule) -> Rule:
    """The function's value as a constant (the root in a hand-written RMS norm)."""
    return lambda *args, **kwargs: function(*args, **kwargs).detach()


def _no_bias(function: Rule) -> Rule:
    def run(
        x: Tensor, weight: Tensor, bias: Tensor | None = None, *rest: Any, **kwargs: Any
    ) -> Any:
        return function(x, weight, None, *rest, **kwargs)

    return run


_LINEAR = (
    F.linear, torch.conv1d, torch.conv2d, torch.conv3d,
    torch.conv_transpose1d, torch.conv_transpose2d, torch.conv_transpose3d,
)  # fmt: skip
_ACTIVATIONS = (
    F.relu, F.relu_, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_, F.relu6, F.hardtanh,
    F.hardtanh_, F.gelu, F.silu, F.mish, F.elu, F.elu_, F.selu, F.celu, F.leaky_relu, F.leaky_relu_,
    F.softplus, F.softsign, F.hardswish, F.hardsigmoid, F.sigmoid, torch.sigmoid, Tensor.sigmoid,
    F.tanh, torch.tanh, Tensor.tanh, F.prelu, torch.prelu, F.logsigmoid, F.log_softmax,
    torch.log_softmax, Tensor.log_softmax, F.dropout, F.dropout1d, F.dropout2d, F.dropout3d,
)  # fmt: skip
_PRODUCTS = (
    torch.matmul, torch.bmm, torch.mul, Tensor.matmul, Tensor.bmm, Tensor.mul,
    Tensor.__matmul__, Tensor.__mul__,
)  # fmt: skip
_RULES: dict[Any, Rule] = {
    **{function: _no_bias(function) for function in _LINEAR},
    **dict.fromkeys(_ACTIVATIONS, _same),
    **dict.fromkeys((F.softmax, torch.softmax, Tensor.softmax), _share),
    **{function: _fixed(function) for function in (torch.rsqrt, Tensor.rsqrt)},
    **{function: _product(function) for function in _PRODUCTS},
    F.batch_norm: _batch_norm,
    F.layer_norm: _layer_norm,
    F.rms_norm: _rms_norm,
    F.group_norm: _group_norm,
    F.instance_norm: _instance_norm,
    F.glu: _gated,
    F.scaled_dot_product_attention: _attention,
    F.multi_head_attention_forward: _multi_head,
    F.embedding: _ones,
    F.embedding_bag: _bag_of_ones,
}
