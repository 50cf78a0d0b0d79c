"""Multiply activations by 8-bit weights of which two of every four are kept: y = x W^T, W = s c.

    y[m, n] = a[m] * s[n] * sum over the kept k of output n:  q[m, k] * c[n, k]   (+ bias[n])

    symbol  in code        shape, type
    x       x              (..., K) float32
    c       codes          (N, K) int8, at most two of each four inputs not zero
    s       scales         (N,) float32
    q, a    (inside)       activations quantized in the call, symmetric int8, by row

Half the multiplications of `int8_matmul` and 5/8 of its bytes; each weight picks its activation by
a shuffle. The sum is an exact 32-bit integer: |sum| <= K/2 * (255 + 128) * 128 as it is
accumulated, so K may be up to 65,536. Every instruction set and thread count gives the same
integers.
Packed: `codes` (panels, 256 + K'/16 * 640) uint8. A panel of 64 outputs starts with 64 int32,
little-endian: -128 times the sum of each output's codes, for activations stored as q + 128. Then,
for each 16 inputs: 2 x 64 x 4 codes int8, the kept ones of 8 inputs, and 2 x 64 bytes with their
places in groups of 4, 2 bits each, the first lowest. `scales` (panels, 1, 64) float32.
Source: 2:4 patterns, Mishra et al. (arXiv 2104.08378); integers, Jacob et al. (arXiv 1712.05877).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.compiler import is_dynamo_compiling

from octavo.errors import InputError
from octavo.kernels import int8_matmul, runtime
from octavo.kernels.int8_2of4_matmul import layout
from octavo.kernels.nm_spmm.layout import check_pattern
from octavo.kernels.runtime import door, panels
from octavo.kernels.runtime.operation import define, to_x_and_bias

OP = "int8_2of4_matmul"
VERSION = 1


class PackedInt8TwoOfFour(NamedTuple):
    """A packed 8-bit weight of which two of every four inputs are kept."""

    codes: Tensor  # (panels, 256 + K'/16 * 640) uint8
    scales: Tensor  # (panels, 1, 64) float32
    n: int
    k: int

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and JSON-ready facts to save; `load` takes them back."""
        meta = {"format": "int8-2of4", "version": VERSION, "n": self.n, "k": self.k}
        return {"codes": self.codes, "scales": self.scales}, meta


def load(tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> PackedInt8TwoOfFour:
    """A packed weight from its saved state."""
    door.check_state(OP, meta, VERSION, ("n", "k"))
    codes, scales = runtime.place(tensors["codes"]), runtime.place(tensors["scales"])
    return PackedInt8TwoOfFour(codes, scales, meta["n"], meta["k"])


def pack(codes: Tensor, scales: Tensor) -> PackedInt8TwoOfFour:
    """Pack codes (N, K) int8, two of each four inputs not zero, with scales (N,) or (N, 1).

    Raises:
        InputError: wrong dtype or shape, a row longer than the integer sums allow, or more than
            two of four that are not zero: the first such row and group is named.

    >>> packed = pack(torch.tensor([[0, 100, 0, -100], [1, 0, 2, 0]]).char(), torch.ones(2))
    >>> int8_2of4_matmul(torch.tensor([[9.0, 127.0, 1.0, 3.0]]), packed).tolist()
    [[12400.0, 11.0]]
    """
    door.check_weight(OP, "codes", codes, torch.int8, 2)
    n, k = codes.shape
    if k > int8_matmul.LONGEST_ROW:
        longest = int8_matmul.LONGEST_ROW
        raise InputError(f"{OP}: K={k} overflows 32-bit sums; at most {longest}: split K")
    if scales.dtype != torch.float32 or scales.numel() != n:
        raise InputError(
            f"{OP}: scales are {scales.dtype} {tuple(scales.shape)}; "
            f"they must be float32 ({n},): one a row"
        )
    check_pattern(OP, codes, 2, 4, 1)
    steps = panels.scales_to_panels(scales.reshape(n, 1))
    table = runtime.place(layout.to_panels(codes))
    return PackedInt8TwoOfFour(table, runtime.place(steps), n, k)


def unpack(packed: PackedInt8TwoOfFour) -> tuple[Tensor, Tensor]:
    """The codes (N, K) int8, zeros and all, and scales (N,) float32 of a packed weight."""
    codes = layout.from_panels(packed.codes)[: packed.n, : packed.k].contiguous()
    return codes, panels.scales_from_panels(packed.scales, packed.n)[:, 0]


def reference(x: Tensor, codes: Tensor, scales: Tensor) -> Tensor:
    """The oracle, in torch: (..., K) -> (..., N); that of `int8_matmul`, zeros multiplied too."""
    return int8_matmul.reference(x, codes, scales)


_eager = runtime.eager(OP)


def int8_2of4_matmul(x: Tensor, packed: PackedInt8TwoOfFour, bias: Tensor | None = None) -> Tensor:
    """Multiply x (..., K) float32 by the packed weight, add bias (N,): (..., N) float32.

    Raises:
        InputError: x or bias of another dtype, device or shape.
    """
    if not is_dynamo_compiling() and (y := _eager(x, bias, packed)) is not None:
        return y
    door.check_input(OP, x, bias, inner=packed.k, axis=-1, n=packed.n)
    op: Tensor = torch.ops.octavo.int8_2of4_matmul(x, *packed[:2], bias, *packed[2:])
    return op


def _run(x: Tensor, codes: Tensor, scales: Tensor, bias: Tensor | None, n: int, k: int) -> Tensor:
    """One eager call on the backend in use."""
    if not runtime.is_native():
        y = reference(x, *unpack(PackedInt8TwoOfFour(codes, scales, n, k)))
        return y if bias is None else y + bias
    if (short := _eager(x, bias, (codes, scales, n, k))) is not None:
        return short
    out = x.new_empty((*x.shape[:-1], n))
    bias = None if bias is None else bias.contiguous()
    runtime.native.int8_2of4_matmul(x.contiguous(), codes, scales, bias, out, runtime.threads())
    return out


def _fake(x: Tensor, codes: Tensor, scales: Tensor, bias: Tensor | None, n: int, k: int) -> Tensor:
    """The shape of the answer, for tracing."""
    return x.new_empty((*x.shape[:-1], n))


def _to_x(
    grad: Tensor, x: Tensor, codes: Tensor, scales: Tensor, bias: Tensor | None, n: int, k: int
) -> Tensor:
    """The gradient to x, as if activations were not rounded (straight through)."""
    whole, steps = unpack(PackedInt8TwoOfFour(codes, scales, n, k))
    return grad @ (whole * steps.unsqueeze(1)).to(grad.dtype)


define(
    "int8_2of4_matmul(Tensor x, Tensor codes, Tensor scales, Tensor? bias, int n, int k) -> Tensor",
    _run,
    _fake,
    to_x_and_bias(_to_x, bias_axis=-1),
)
