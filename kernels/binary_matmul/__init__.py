"""Multiply activations by weights of one bit: y = x W^T, W[n, k] = s[n] b[n, k], b in {-1, 1}.

    y[m, n] = a[m] * s[n] * sum_k q[m, k] * b[n, k]   (+ bias[n])

    symbol  in code        shape, type
    x       x              (..., K) float32
    b       codes          (N, K) int8, each -1 or 1
    s       scales         (N,) float32
    q, a    (inside)       activations quantized in the call, symmetric int8, by row

The sum is an exact 32-bit integer: |sum| <= K * 128 * 127 as it is accumulated, so K may be up to
131,072. Every instruction set and thread count gives the same integers. Activations of one bit,
by the same packed weight: `octavo.kernels.binary_matmul.xnor`.
Packed: `codes` (panels, K'/32, 64, 4) uint8: bit f of byte i is the input 32 j + 4 f + i, set where
b = 1; `scales` (panels, 1, 64) float32.
Source: binary weights with a scale a filter, XNOR-Net (arXiv 1603.05279), eqs. (1) and (6).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from octavo.errors import InputError
from octavo.kernels import runtime
from octavo.kernels.runtime import activations, door, panels
from octavo.kernels.runtime.operation import define, to_x_and_bias

VERSION = 1
STEP = 32  # inputs
LONGEST_ROW = 1 << 17


class PackedBinary(NamedTuple):
    """A packed weight of one bit."""

    codes: Tensor  # (panels, K'/32, 64, 4) uint8
    scales: Tensor  # (panels, 1, 64) float32
    n: int
    k: int

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and JSON-ready facts to save; `load` takes them back."""
        meta = {"format": "binary", "version": VERSION, "n": self.n, "k": self.k}
        return {"codes": self.codes, "scales": self.scales}, meta


def load(tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> PackedBinary:
    """A packed weight from its saved state."""
    door.check_state("binary_matmul", meta, VERSION, ("n", "k"))
    codes, scales = runtime.place(tensors["codes"]), runtime.place(tensors["scales"])
    return PackedBinary(codes, scales, meta["n"], meta["k"])


def pack(codes: Tensor, scales: Tensor) -> PackedBinary:
    """Pack codes (N, K) int8, each -1 or 1, with scales (N,) or (N, 1) float32.

    Raises:
        InputError: wrong dtype or shape, another code, or a row longer than the sums allow.

    >>> packed = pack(torch.tensor([[1, -1], [1, 1]], dtype=torch.int8), torch.ones(2))
    >>> binary_matmul(torch.tensor([[1.0, -1.0]]), packed).round(decimals=3).tolist()
    [[2.0, 0.0]]
    """
    door.check_weight("binary_matmul", "codes", codes, torch.int8, 2)
    n, k = codes.shape
    if k > LONGEST_ROW:
        raise InputError(f"binary_matmul: K={k} overflows its sums; at most {LONGEST_ROW}: split K")
    if not bool((codes.abs() == 1).all()):
        raise InputError("binary_matmul: a code is neither -1 nor 1; zeros go to int2_matmul")
    panels.check_scales("binary_matmul", scales.reshape(-1, 1), n, 1)
    bits = panels.to_fields((codes > 0).char(), 1, 0)  # (P, K'/32, 64, 4)
    steps = panels.scales_to_panels(scales.reshape(n, 1))
    return PackedBinary(runtime.place(bits), runtime.place(steps), n, k)


def unpack(packed: PackedBinary) -> tuple[Tensor, Tensor]:
    """The codes (N, K) int8 and scales (N,) float32 of a packed weight."""
    codes = panels.from_fields(packed.codes, packed.n, packed.k, 1, 0) * 2 - 1
    return codes, panels.scales_from_panels(packed.scales, packed.n)[:, 0]


def reference(x: Tensor, codes: Tensor, scales: Tensor) -> Tensor:
    """The oracle, in torch: (..., K) -> (..., N)."""
    q = activations.quantize_rows(x.reshape(-1, codes.shape[1]), codes.shape[1])
    y = activations.integer_product(q, codes, scales.reshape(-1, 1))  # (M, N)
    return y.reshape(*x.shape[:-1], codes.shape[0])


def binary_matmul(x: Tensor, packed: PackedBinary, bias: Tensor | None = None) -> Tensor:
    """Multiply x (..., K) float32, by the packed weight, add bias (N,): (..., N) float32.

    Raises:
        InputError: x or bias of another dtype, device or shape.
    """
    door.check_input("binary_matmul", x, bias, inner=packed.k, axis=-1, n=packed.n)
    if door.takes_short_way(x, bias):
        return _run(x, packed.codes, packed.scales, bias, packed.n, packed.k)
    op: Tensor = torch.ops.octavo.binary_matmul(x, *packed[:2], bias, *packed[2:])
    return op


def _run(x: Tensor, codes: Tensor, scales: Tensor, bias: Tensor | None, n: int, k: int) -> Tensor:
    """One eager call on the backend in use."""
    if not runtime.is_native():
        y = reference(x, *unpack(PackedBinary(codes, scales, n, k)))
        return y if bias is None else y + bias
    out = x.new_empty((*x.shape[:-1], n))
    bias = None if bias is None else bias.contiguous()
    runtime.native.binary_matmul(x.contiguous(), codes, scales, bias, out, runtime.threads())
    return out


def _fake(x: Tensor, codes: Tensor, scales: Tensor, bias: Tensor | None, n: int, k: int) -> Tensor:
    """The shape of the answer, for tracing."""
    return x.new_empty((*x.shape[:-1], n))


def _to_x(
    grad: Tensor, x: Tensor, codes: Tensor, scales: Tensor, bias: Tensor | None, n: int, k: int
) -> Tensor:
    """The gradient to x, as if activations were not rounded (straight through)."""
    signs, steps = unpack(PackedBinary(codes, scales, n, k))
    return grad @ (signs * steps.unsqueeze(1))


define(
    "binary_matmul(Tensor x, Tensor codes, Tensor scales, Tensor? bias, int n, int k) -> Tensor",
    _run,
    _fake,
    to_x_and_bias(_to_x, bias_axis=-1),
)
