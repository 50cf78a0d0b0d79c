"""Inner tensors of teacher and student, named by module path and taken by hooks.

``attention_paths`` finds the attention modules of a model, ``self_attention`` runs the model and
returns queries, keys and values of one of them, split by head, with gradients where there are any.
Two families are known: modules with linear children for queries, keys and values (transformers'
BERT, RoBERTa, ELECTRA, DistilBERT, ViT and others) and ``torch.nn.MultiheadAttention``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from octavo.errors import InputError
from octavo.reference_impls.inputs import Input, call

NAMES = (("query", "key", "value"), ("q_lin", "k_lin", "v_lin"), ("q_proj", "k_proj", "v_proj"))
HEADS = ("num_attention_heads", "num_heads", "n_heads")


class Attention(NamedTuple):
    """Queries, keys and values of one layer, (B, heads, T, d); which tokens are real, (B, T)."""

    query: Tensor
    key: Tensor
    value: Tensor
    real: Tensor | None = None  # bool; None: all tokens


class _Reached(BaseException):
    """Ends a forward pass once queries, keys and values are seen. Never leaves this module."""


def attention_paths(model: nn.Module) -> tuple[str, ...]:
    """Paths of the attention modules whose heads can be told, in the order of the modules.

    >>> attention_paths(nn.TransformerEncoderLayer(8, 2))
    ('self_attn',)

    Raises:
        InputError: there is none; modules that look like attention are named.
    """
    found = tuple(path for path, module in model.named_modules() if _heads(module) is not None)
    if not found:
        like = [p for p, m in model.named_modules() if "attention" in type(m).__name__.lower()]
        hint = f"; no heads found in {', '.join(like[:5])}" if like else ""
        raise InputError(
            f"{type(model).__name__} has no self-attention that is known{hint}; needed: "
            "nn.MultiheadAttention, or linear children query, key, value and a number of heads"
        )
    return found


def self_attention(model: nn.Module, path: str, inputs: Input) -> Attention:
    """Run the model up to the attention module at ``path``; its queries, keys and values by head.

    The pass ends there. Padding is taken from ``attention_mask`` of the inputs, or from the
    ``key_padding_mask`` that the module is called with.

    Raises:
        InputError: no attention with known heads at the path, or the model never calls it.
    """
    module = model.get_submodule(path)
    heads = _heads(module)
    if heads is None:
        raise InputError(f"{path!r} is a {type(module).__name__} without heads that can be found")
    seen: dict[str, Tensor] = {}
    tap = _tap_torch if isinstance(module, nn.MultiheadAttention) else _tap_children
    with tap(module, seen), suppress(_Reached):
        call(model, inputs)
    if len(seen) < 3:
        raise InputError(f"{path!r} is never called with one forward pass of the model")
    q, k, v = (_by_head(seen[name], heads) for name in ("q", "k", "v"))
    return Attention(q, k, v, _real(inputs, seen))


def every_other(depth: int, count: int) -> tuple[int, ...]:
    """``count`` of ``depth`` blocks, evenly spread, the last one among them.

    >>> every_other(6, 3), every_other(12, 4)
    ((1, 3, 5), (2, 5, 8, 11))
    """
    return tuple((i + 1) * depth // count - 1 for i in range(count))


def blocks_of(model: nn.Module) -> str:
    """Path of the longest list of blocks that have one self-attention each.

    Raises:
        InputError: there is no such list; the attention modules that were found are named.
    """
    paths = attention_paths(model)
    lists = [
        path
        for path, module in model.named_modules()
        if isinstance(module, nn.ModuleList | nn.Sequential)
        and len(module) > 1
        and all(sum(p.startswith(f"{path}.{i}.") for p in paths) == 1 for i in range(len(module)))
    ]
    if not lists:
        raise InputError(
            f"{type(model).__name__} has no list of two or more blocks with one "
            f"self-attention each; attention found at {', '.join(paths[:5])}"
        )
    longest: str = max(lists, key=lambda path: depth_of(model, path))
    return longest


def last_attention(model: nn.Module, blocks: str) -> str:
    """Path of the self-attention in the last block."""
    last = f"{blocks}.{depth_of(model, blocks) - 1}."
    found = [path for path in attention_paths(model) if path.startswith(last)]
    if not found:
        raise InputError(f"no self-attention with known heads below {last[:-1]!r}")
    return found[0]


def depth_of(model: nn.Module, blocks: str) -> int:
    """How many blocks the list at this path has."""
    found = model.get_submodule(blocks)
    if not isinstance(found, nn.ModuleList | nn.Sequential):
        kind = type(found).__name__
        raise InputError(f"{blocks!r} is a {kind}; name a ModuleList or Sequential")
    return len(found)


def _heads(module: nn.Module) -> int | None:
    if isinstance(module, nn.MultiheadAttention):
        return module.num_heads if module._qkv_same_embed_dim else None
    if _children(module) is None:
        return None
    found = (getattr(module, name, None) for name in HEADS)
    return next((heads for heads in found if isinstance(heads, int)), None)


def _children(module: nn.Module) -> tuple[nn.Module, ...] | None:
    """The linear children for queries, keys and values, if it has them."""
    children = dict(module.named_children())
    for names in NAMES:
        if all(isinstance(children.get(name), nn.Linear) for name in names):
            return tuple(children[name] for name in names)
    return None


def _by_head(x: Tensor, heads: int) -> Tensor:
    """(B, T, heads * d) to (B, heads, T, d)."""
    return x.reshape(*x.shape[:2], heads, -1).transpose(1, 2)


def _real(inputs: Input, seen: Mapping[str, Tensor]) -> Tensor | None:
    if "padding" in seen:
        padding = seen["padding"]
        return ~padding if padding.dtype == torch.bool else padding == 0  # -inf hides a key
    mask = inputs.get("attention_mask") if isinstance(inputs, Mapping) else None
    return mask.bool() if isinstance(mask, Tensor) and mask.ndim == 2 else None


@contextmanager
def _tap_children(module: nn.Module, seen: dict[str, Tensor]) -> Iterator[None]:
    children = _children(module)
    assert children is not None

    def keeping(name: str) -> Callable[..., None]:
        def keep(_: nn.Module, args: Any, result: Tensor) -> None:
            seen[name] = result
            if {"q", "k", "v"} <= seen.keys():
                raise _Reached

        return keep

    handles = [
        child.register_forward_hook(keeping(name))
        for child, name in zip(children, ("q", "k", "v"), strict=True)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _tap_torch(module: nn.Module, seen: dict[str, Tensor]) -> Iterator[None]:
    assert isinstance(module, nn.MultiheadAttention)
    attention = module

    def keep(_: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> None:
        given = [*args, *(named[n] for n in ("query", "key", "value") if n in named)]
        biases = [None] * 3 if attention.in_proj_bias is None else attention.in_proj_bias.chunk(3)
        weights = attention.in_proj_weight.chunk(3)
        for name, x, weight, bias in zip("qkv", given, weights, biases, strict=False):
            whole = x if attention.batch_first else x.transpose(0, 1)  # (B, T, width)
            seen[name] = F.linear(whole, weight, bias)
        padding = named.get("key_padding_mask", args[3] if len(args) > 3 else None)
        if padding is not None:
            seen["padding"] = padding
        raise _Reached

    handle = module.register_forward_pre_hook(keep, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()
