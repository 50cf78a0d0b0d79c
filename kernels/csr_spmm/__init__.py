"""Multiply activations by a sparse weight: y = x W^T, where most of W is zero.

    y[m, n] = sum over the kept k of row n:  w[n, k] * x[m, k]   (+ bias[n])

    symbol  in code                     shape, type
    x       x                           (..., K) float32
    w       values, columns, starts     the non-zeros of W (N, K), by blocks of inputs

The inputs are cut in blocks of 128 (256 where seven in eight weights or more are zero): a block of
x transposed stays near in the caches while every row of W passes over it. A pruned weight never
touches x, so a NaN behind a pruned weight does not spread.
Packed: `values` (nnz,) float32 and `columns` (nnz,) uint8, the input's place in its block, both
ordered by block, row, input; `starts` (blocks, N + 1) int32, where each row begins.
Source: blocked CSR as in Sparse GPU kernels for deep learning (arXiv 2006.10901), for CPU caches.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.compiler import is_dynamo_compiling

from octavo.errors import InputError
from octavo.kernels import runtime
from octavo.kernels.runtime import door
from octavo.kernels.runtime.operation import define, to_x_and_bias

VERSION = 1
TABLES = ("values", "columns", "starts")
MOST_NONZEROS = 2**31 - 1


class PackedCsr(NamedTuple):
    """A packed sparse weight."""

    values: Tensor  # (nnz,) float32
    columns: Tensor  # (nnz,) uint8
    starts: Tensor  # (blocks, N + 1) int32
    n: int
    k: int
    block: int

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and JSON-ready facts to save; `load` takes them back."""
        meta = {"format": "csr", "version": VERSION, "n": self.n, "k": self.k, "block": self.block}
        return {"values": self.values, "columns": self.columns, "starts": self.starts}, meta


def load(tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> PackedCsr:
    """A packed weight from its saved state."""
    door.check_state("csr_spmm", meta, VERSION, ("n", "k", "block"))
    values, columns, starts = (runtime.place(tensors[name]) for name in TABLES)
    return PackedCsr(values, columns, starts, meta["n"], meta["k"], meta["block"])


def pack(weight: Tensor) -> PackedCsr:
    """Pack the non-zeros of weight (N, K) float32.

    Raises:
        InputError: not a non-empty float32 matrix, or more than 2^31 - 1 non-zeros.

    >>> packed = pack(torch.tensor([[0.0, 2.0], [0.0, 0.0], [1.0, 3.0]]))
    >>> csr_spmm(torch.tensor([[10.0, 1.0]]), packed).tolist()
    [[2.0, 0.0, 13.0]]
    """
    weight = weight.detach()
    door.check_weight("csr_spmm", "weight", weight, torch.float32, 2)
    n, k = weight.shape
    kept = int(torch.count_nonzero(weight))
    if kept > MOST_NONZEROS:
        raise InputError(f"csr_spmm: {kept} non-zeros; at most {MOST_NONZEROS}: split the rows")
    block = 256 if 8 * kept <= weight.numel() else 128
    blocks = -(-k // block)
    cut = F.pad(weight, (0, blocks * block - k)).view(n, blocks, block).transpose(0, 1)  # (B, N, b)
    where = cut.nonzero()  # (nnz, 3), ordered by block, row, input
    counts = torch.zeros(blocks * n + 1, dtype=torch.int64)
    counts[1:] = (cut != 0).sum(-1).flatten()  # (B * N,)
    ends = counts.cumsum(0)
    starts = torch.stack([ends[b * n : b * n + n + 1] for b in range(blocks)])  # (B, N + 1)
    tables = (cut[tuple(where.T)], where[:, 2].to(torch.uint8), starts.to(torch.int32))
    values, columns, starts = map(runtime.place, tables)
    return PackedCsr(values, columns, starts, n, k, block)


def unpack(packed: PackedCsr) -> Tensor:
    """The dense weight (N, K) of a packed one."""
    blocks = packed.starts.shape[0]
    counts = packed.starts.diff(dim=1).flatten().long()  # (B * N,)
    kept = packed.values.numel()
    rows = torch.arange(blocks * packed.n).repeat_interleave(counts, output_size=kept)  # (nnz,)
    cut = torch.zeros(blocks * packed.n, packed.block)
    cut[rows, packed.columns.long()] = packed.values
    dense = cut.view(blocks, packed.n, packed.block).transpose(0, 1).reshape(packed.n, -1)
    return dense[:, : packed.k].contiguous()


def reference(x: Tensor, weight: Tensor) -> Tensor:
    """The oracle, in torch: (..., K) -> (..., N)."""
    return F.linear(x, weight)


_eager = runtime.eager("csr_spmm")


def csr_spmm(x: Tensor, packed: PackedCsr, bias: Tensor | None = None) -> Tensor:
    """Multiply x (..., K) float32 by the packed weight, add bias (N,): (..., N) float32.

    Raises:
        InputError: x or bias of another dtype, device or shape.
    """
    if not is_dynamo_compiling() and (y := _eager(x, bias, packed)) is not None:
        return y
    door.check_input("csr_spmm", x, bias, inner=packed.k, axis=-1, n=packed.n)
    op: Tensor = torch.ops.octavo.csr_spmm(x, *packed[:3], bias, *packed[3:])
    return op


def _run(
    x: Tensor, values: Tensor, columns: Tensor, starts: Tensor, bias: Tensor | None,
    n: int, k: int, block: int,
) -> Tensor:  # fmt: skip
    """One eager call on the backend in use."""
    if not runtime.is_native():
        y = reference(x, unpack(PackedCsr(values, columns, starts, n, k, block)))
        return y if bias is None else y + bias
    if (short := _eager(x, bias, (values, columns, starts, n, k, block))) is not None:
        return short
    out = x.new_empty((*x.shape[:-1], n))
    bias = None if bias is None else bias.contiguous()
    runtime.native.csr_spmm(
        x.contiguous(), values, columns, starts, bias, out, block, runtime.threads()
    )
    return out


def _fake(
    x: Tensor, values: Tensor, columns: Tensor, starts: Tensor, bias: Tensor | None,
    n: int, k: int, block: int,
) -> Tensor:  # fmt: skip
    """The shape of the answer, for tracing."""
    return x.new_empty((*x.shape[:-1], n))


def _to_x(
    grad: Tensor, x: Tensor, values: Tensor, columns: Tensor, starts: Tensor, bias: Tensor | None,
    n: int, k: int, block: int,
) -> Tensor:  # fmt: skip
    """The gradient to x."""
    return grad @ unpack(PackedCsr(values, columns, starts, n, k, block))


define(
    "csr_spmm(Tensor x, Tensor values, Tensor columns, Tensor starts, Tensor? bias, "
    "int n, int k, int block) -> Tensor",
    _run,
    _fake,
    to_x_and_bias(_to_x, bias_axis=-1),
)
