"""Multiply activations by 4-bit weights with a scale a group: y = x W^T, W = s c.

    y[m, n] = sum_G  a[m, G] * s[n, G] * sum_{k in G} q[m, k] * c[n, k]   (+ bias[n])

    symbol  in code        shape, type
    x       x              (..., K) float32
    c       codes          (N, K) int8 in [-8, 7]
    s       scales         (N, K / group) float32
    q, a    (inside)       activations quantized in the call, symmetric int8, by row and group

The inner sum is an exact 32-bit integer: |sum| <= group * 120 * 127 as it is accumulated, so a
group may be up to 131,072 inputs. Every instruction set and thread count gives the same integers.
Packed: `codes` (panels, K'/8, 64, 4) uint8, low nibble the input k, high nibble k + 4, stored as
code + 8; `scales` (panels, groups, 64) float32.
Source: group-wise integer products as in Q8BERT-style dynamic quantization (arXiv 1910.06188).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.compiler import is_dynamo_compiling

from octavo.errors import InputError
from octavo.kernels import runtime
from octavo.kernels.runtime import activations, door, panels
from octavo.kernels.runtime.operation import define, to_x_and_bias

VERSION = 1
BITS = 4
OFFSET = 8
STEP = 8  # inputs
LONGEST_GROUP = 1 << 17


class PackedInt4(NamedTuple):
    """A packed 4-bit weight. `group` counts inputs; a whole row is `group == k`."""

    codes: Tensor  # (panels, K'/8, 64, 4) uint8
    scales: Tensor  # (panels, groups, 64) float32
    n: int
    k: int
    group: int

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and JSON-ready facts to save; `load` takes them back."""
        meta = {"format": "int4", "version": VERSION, "n": self.n, "k": self.k, "group": self.group}
        return {"codes": self.codes, "scales": self.scales}, meta


def load(tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> PackedInt4:
    """A packed weight from its saved state."""
    door.check_state("int4_matmul", meta, VERSION, ("n", "k", "group"))
    codes, scales = runtime.place(tensors["codes"]), runtime.place(tensors["scales"])
    return PackedInt4(codes, scales, meta["n"], meta["k"], meta["group"])


def pack(codes: Tensor, scales: Tensor, group: int | None = None) -> PackedInt4:
    """Pack codes (N, K) int8 in [-8, 7] with scales (N, K / group); group None is the whole row.

    Raises:
        InputError: wrong dtype or shape, a code outside 4 bits, a group that does not divide K.

    >>> packed = pack(torch.tensor([[7, -8], [1, 0]], dtype=torch.int8), torch.ones(2, 1))
    >>> int4_matmul(torch.tensor([[1.0, -1.0]]), packed).round(decimals=3).tolist()
    [[15.0, 1.0]]
    """
    door.check_weight("int4_matmul", "codes", codes, torch.int8, 2)
    n, k = codes.shape
    group = panels.check_group("int4_matmul", k, group, STEP, LONGEST_GROUP)
    panels.check_scales("int4_matmul", scales, n, k // group)
    if int(codes.min()) < -8 or int(codes.max()) > 7:
        raise InputError("int4_matmul: codes leave [-8, 7]; clamp them, or use int8_matmul")
    nibbles = runtime.place(panels.to_fields(codes, BITS, OFFSET))  # (P, K'/8, 64, 4)
    steps = runtime.place(panels.scales_to_panels(scales))
    return PackedInt4(nibbles, steps, n, k, group)


def unpack(packed: PackedInt4) -> tuple[Tensor, Tensor]:
    """The codes (N, K) int8 and scales (N, groups) float32 of a packed weight."""
    codes = panels.from_fields(packed.codes, packed.n, packed.k, BITS, OFFSET)
    return codes, panels.scales_from_panels(packed.scales, packed.n)


def reference(x: Tensor, codes: Tensor, scales: Tensor, group: int | None = None) -> Tensor:
    """The oracle, in torch: (..., K) -> (..., N)."""
    rows = x.reshape(-1, codes.shape[1])  # (M, K)
    q = activations.quantize_rows(rows, group or codes.shape[1])
    return activations.integer_product(q, codes, scales).reshape(*x.shape[:-1], codes.shape[0])


_eager = runtime.eager("int4_matmul")


def int4_matmul(x: Tensor, packed: PackedInt4, bias: Tensor | None = None) -> Tensor:
    """Multiply x (..., K) float32 by the packed weight, add bias (N,): (..., N) float32.

    Raises:
        InputError: x or bias of another dtype, device or shape.
    """
    if not is_dynamo_compiling() and (y := _eager(x, bias, packed)) is not None:
        return y
    door.check_input("int4_matmul", x, bias, inner=packed.k, axis=-1, n=packed.n)
    op: Tensor = torch.ops.octavo.int4_matmul(x, *packed[:2], bias, *packed[2:])
    return op


def _run(
    x: Tensor, codes: Tensor, scales: Tensor, bias: Tensor | None, n: int, k: int, group: int
) -> Tensor:
    """One eager call on the backend in use."""
    if not runtime.is_native():
        y = reference(x, *unpack(PackedInt4(codes, scales, n, k, group)), group)
        return y if bias is None else y + bias
    if (short := _eager(x, bias, (codes, scales, n, k, group))) is not None:
        return short
    out = x.new_empty((*x.shape[:-1], n))
    bias = None if bias is None else bias.contiguous()
    runtime.native.int4_matmul(x.contiguous(), codes, scales, bias, out, group, runtime.threads())
    return out


def _fake(
    x: Tensor, codes: Tensor, scales: Tensor, bias: Tensor | None, n: int, k: int, group: int
) -> Tensor:
    """The shape of the answer, for tracing."""
    return x.new_empty((*x.shape[:-1], n))


def _to_x(
    grad: Tensor, x: Tensor, codes: Tensor, scales: Tensor, bias: Tensor | None,
    n: int, k: int, group: int,
) -> Tensor:  # fmt: skip
    """The gradient to x, as if activations were not rounded (straight through)."""
    whole, steps = unpack(PackedInt4(codes, scales, n, k, group))
    return grad @ (whole * steps.repeat_interleave(group, dim=1)).to(grad.dtype)


define(
    "int4_matmul(Tensor x, Tensor codes, Tensor scales, Tensor? bias, "
    "int n, int k, int group) -> Tensor",
    _run,
    _fake,
    to_x_and_bias(_to_x, bias_axis=-1),
    on_gpu=f"{__name__}.gpu",
)
