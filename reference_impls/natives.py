"""Which native modules can stand in for a layer under a decision, and if none, why not."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import nn

from octavo.errors import InputError
from octavo.kernels import modules as native
from octavo.kernels.nm_spmm.convolution import channels_last
from octavo.kernels.nm_spmm.layout import patterns
from octavo.kernels.nm_spmm.module import TWO_OF_FOUR
from octavo.reference_impls.settle import Decision


class Candidate(NamedTuple):
    """A native module that could run, and whether it rounds activations, or tables of them."""

    name: str
    build: Callable[[], nn.Module]
    rounds: bool


def candidates(module: nn.Module, decision: Decision) -> tuple[Candidate, ...] | str:
    """Native modules for `module`, or the reason why there are none.

    >>> candidates(nn.Bilinear(3, 4, 2), Decision())
    'no kernel for Bilinear'
    """
    makers = _MAKERS.get(type(module))
    if makers is None:
        return f"no kernel for {type(module).__name__}"
    if module._forward_hooks or module._forward_pre_hooks:
        return "has hooks, which would be lost"
    if getattr(module, "weight").dtype != torch.float32:  # noqa: B009
        return "kernels take float32"
    return makers(module, decision)


def _embedding(module: Any, decision: Decision) -> tuple[Candidate, ...] | str:
    books = decision.books
    if books is None:
        return f"no kernel for an embedding of {_bits(decision)} bits"
    if module.max_norm is not None:
        return "max_norm changes rows when they are looked up"
    make = partial(native.PqEmbedding, books.codes, books.books)
    return (Candidate("PqEmbedding", make, False),)


def _linear(module: Any, decision: Decision) -> tuple[Candidate, ...] | str:
    codes, bias, weight = decision.codes, module.bias, module.weight.detach()
    found = []
    if decision.books is not None:
        books = decision.books.books
        look_up = partial(native.PqLinear, decision.books.codes, books, bias)
        found.append(Candidate("PqLinear", look_up, books.shape[1] <= 16))
    if codes is not None and codes.bits <= 2:
        two = (codes.codes, codes.scales, codes.group, bias)
        found.append(Candidate("Int2Linear", lambda: native.Int2Linear(*two), True))
    if codes is not None and codes.bits <= 4:
        parts = (codes.codes, codes.scales, codes.group, bias)
        found.append(Candidate("Int4Linear", lambda: native.Int4Linear(*parts), True))
    if codes is not None and codes.bits > 4 and codes.group is None:
        scales = codes.scales.squeeze(1)
        build = lambda: native.Int8Linear(codes.codes, scales, bias)  # noqa: E731
        found.append(Candidate("Int8Linear", build, True))
        if decision.keep is not None and TWO_OF_FOUR in patterns(decision.keep):
            half = lambda: native.Int8TwoOfFourLinear(codes.codes, scales, bias)  # noqa: E731
            found.append(Candidate("Int8TwoOfFourLinear", half, True))
    if decision.keep is not None:
        found.append(Candidate("CsrLinear", lambda: native.CsrLinear(weight, bias), False))
        for pattern in patterns(decision.keep):
            make = partial(native.NmLinear, weight, pattern, bias)
            found.append(Candidate(f"NmLinear {pattern}", make, False))
    return tuple(found) or f"no kernel for {_bits(decision)} bits in groups"


def _conv2d(module: Any, decision: Decision) -> tuple[Candidate, ...] | str:
    if module.groups != 1:
        return f"no kernel for a convolution in {module.groups} groups"
    try:
        place = (module.bias, *native.geometry(module).values())
    except InputError as error:
        return str(error)
    codes, stripes, weight = decision.codes, decision.stripes, module.weight.detach()
    if decision.books is not None:
        return "no convolution kernel for codebooks"
    found = []
    if codes is not None and codes.bits <= 4:
        parts = (codes.codes, codes.scales, codes.group, *place)
        found.append(Candidate("Int4Conv2d", lambda: native.Int4Conv2d(*parts), True))
    if codes is not None and codes.bits > 4 and codes.group is None:
        eight = (codes.codes, codes.scales.squeeze(1), *place)
        found.append(Candidate("Int8Conv2d", lambda: native.Int8Conv2d(*eight), True))
    if stripes is not None:
        build = lambda: native.StripeConv2d(weight, stripes, *place)  # noqa: E731
        found.append(Candidate("StripeConv2d", build, False))
    elif decision.keep is not None:
        found.append(Candidate("CsrConv2d", lambda: native.CsrConv2d(weight, *place), False))
        for pattern in patterns(channels_last(decision.keep)):
            make = partial(native.NmConv2d, weight, pattern, *place)
            found.append(Candidate(f"NmConv2d {pattern}", make, False))
    return tuple(found) or f"no convolution kernel for {_bits(decision)} bits"


def _bits(decision: Decision) -> int:
    return 32 if decision.codes is None else decision.codes.bits


_MAKERS: dict[type[nn.Module], Callable[[Any, Decision], tuple[Candidate, ...] | str]] = {
    nn.Linear: _linear,
    nn.Conv2d: _conv2d,
    nn.Embedding: _embedding,
}
