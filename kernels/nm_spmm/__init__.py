"""Multiply activations by a weight that keeps n of every m inputs: y = x W^T.

    y[r, i] = sum over the kept k of output i:  w[i, k] * x[r, k]   (+ bias[i])

    symbol  in code        shape, type
    x       x              (..., K) float32
    w       values, places  the kept weights of W (N, K)
    n, m    kept, group    at most n of each m inputs in a row are kept; m is 4, 8 or 16
    v       vector         outputs that share one pattern: 1, or 16 next to each other

With v = 1 each weight has its own input, a shuffle away: 2:4 as GPUs take it. With v = 16 sixteen
outputs meet the same input, and nothing is shuffled: the form for CPUs. The pattern may then also
be free (n, m not given), so long as it is shared. A slot left empty holds a zero.
Packed, outputs in panels of 16: v = 1: `values` (panels, groups * n, 16) float32; `places`
(panels, words, 16) int32, each slot's place in its group, 2 bits where m = 4, else 4, the first
slot lowest; no `starts`. v = 16: by blocks of 1024 inputs, by panel: `values` (columns, 16),
`places` (columns,) int16, the input's place in its block; `starts` (blocks, panels + 1) int32.
Source: Learning N:M fine-grained structured sparse networks (arXiv 2102.04010); vectors as in
VENOM (arXiv 2310.02065).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from octavo.errors import InputError
from octavo.kernels import runtime
from octavo.kernels.nm_spmm import layout
from octavo.kernels.runtime import door
from octavo.kernels.runtime.operation import define, to_x_and_bias

VERSION = 1
TABLES = ("values", "places", "starts")
GROUPS = (4, 8, 16)


class PackedNm(NamedTuple):
    """A packed weight; kept is 0 where the pattern is shared, group too where it is free."""

    values: Tensor  # v = 1: (panels, groups * n, 16), v = 16: (columns, 16) float32
    places: Tensor  # v = 1: (panels, words, 16) int32, v = 16: (columns,) int16
    starts: Tensor  # v = 1: (0,), v = 16: (blocks, panels + 1) int32
    n: int
    k: int
    kept: int
    group: int

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and JSON-ready facts to save; `load` takes them back."""
        facts = {"n": self.n, "k": self.k, "kept": self.kept, "group": self.group}
        meta = {"format": "nm", "version": VERSION, **facts}
        return {"values": self.values, "places": self.places, "starts": self.starts}, meta


def load(tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> PackedNm:
    """A packed weight from its saved state."""
    door.check_state("nm_spmm", meta, VERSION, ("n", "k", "kept", "group"))
    values, places, starts = (runtime.place(tensors[name]) for name in TABLES)
    return PackedNm(values, places, starts, meta["n"], meta["k"], meta["kept"], meta["group"])


def pack(weight: Tensor, n: int | None = None, m: int | None = None, vector: int = 1) -> PackedNm:
    """Pack weight (N, K) float32, of which at most n of each m inputs are not zero.

    Raises:
        InputError: not a non-empty float32 matrix, a pattern that does not exist, or a weight that
            breaks it: the first row and group that does is named.

    >>> packed = pack(torch.tensor([[0.0, 2.0, 0.0, 1.0], [3.0, 0.0, 0.0, 0.0]]), 2, 4)
    >>> nm_spmm(torch.tensor([[1.0, 10.0, 100.0, 1000.0]]), packed).tolist()
    [[1020.0, 3.0]]
    """
    weight = weight.detach()
    door.check_weight("nm_spmm", "weight", weight, torch.float32, 2)
    if vector not in (1, layout.PANEL):
        raise InputError(f"nm_spmm: vector={vector}; a pattern is shared by 1 or 16 outputs")
    if n is None or m is None:
        if vector == 1 or n != m:
            raise InputError("nm_spmm: n and m are both needed, but for a free pattern of 16x1")
    else:
        if m not in GROUPS or not 0 < n <= m:
            raise InputError(f"nm_spmm: {n}:{m}; m must be 4, 8 or 16, and n from 1 to m")
        layout.check_pattern("nm_spmm", weight, n, m, vector)
    tables = layout.share(weight) if vector > 1 else layout.own(weight, n or 0, m or 0)
    values, places, starts = map(runtime.place, tables)
    kept = n if vector == 1 and n else 0
    rows, k = weight.shape
    return PackedNm(values, places, starts, rows, k, kept, m if kept and m else 0)


def unpack(packed: PackedNm) -> Tensor:
    """The dense weight (N, K) of a packed one."""
    values, places, starts, n, k, kept, group = packed
    if kept:
        return layout.spread_own(values, places, kept, group)[:n, :k].contiguous()
    return layout.spread_shared(values, places, starts)[:n, :k].contiguous()


def reference(x: Tensor, weight: Tensor) -> Tensor:
    """The oracle, in torch: (..., K) -> (..., N)."""
    return F.linear(x, weight)


def nm_spmm(x: Tensor, packed: PackedNm, bias: Tensor | None = None) -> Tensor:
    """Multiply x (..., K) float32 by the packed weight, add bias (N,): (..., N) float32.

    Raises:
        InputError: x or bias of another dtype, device or shape.
    """
    door.check_input("nm_spmm", x, bias, inner=packed.k, axis=-1, n=packed.n)
    if door.takes_short_way(x, bias):
        return _run(x, *packed[:3], bias, *packed[3:])
    op: Tensor = torch.ops.octavo.nm_spmm(x, *packed[:3], bias, *packed[3:])
    return op


def _run(
    x: Tensor, values: Tensor, places: Tensor, starts: Tensor, bias: Tensor | None,
    n: int, k: int, kept: int, group: int,
) -> Tensor:  # fmt: skip
    """One eager call on the backend in use."""
    if not runtime.is_native():
        y = reference(x, unpack(PackedNm(values, places, starts, n, k, kept, group)))
        return y if bias is None else y + bias
    out = x.new_empty((*x.shape[:-1], n))
    bias = None if bias is None else bias.contiguous()
    runtime.native.nm_spmm(
        x.contiguous(), values, places, starts, bias, out, kept, group, runtime.threads()
    )
    return out


def _fake(
    x: Tensor, values: Tensor, places: Tensor, starts: Tensor, bias: Tensor | None,
    n: int, k: int, kept: int, group: int,
) -> Tensor:  # fmt: skip
    """The shape of the answer, for tracing."""
    return x.new_empty((*x.shape[:-1], n))


def _to_x(
    grad: Tensor, x: Tensor, values: Tensor, places: Tensor, starts: Tensor, bias: Tensor | None,
    n: int, k: int, kept: int, group: int,
) -> Tensor:  # fmt: skip
    """The gradient to x."""
    return grad @ unpack(PackedNm(values, places, starts, n, k, kept, group))


define(
    "nm_spmm(Tensor x, Tensor values, Tensor places, Tensor starts, Tensor? bias, "
    "int n, int k, int kept, int group) -> Tensor",
    _run,
    _fake,
    to_x_and_bias(_to_x, bias_axis=-1),
)
