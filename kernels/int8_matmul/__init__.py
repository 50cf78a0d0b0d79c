"""Multiply activations by 8-bit weights with a scale a row: y = x W^T, W[n, k] = s[n] c[n, k].

    y[m, n] = a[m] * s[n] * sum_k q[m, k] * c[n, k]   (+ bias[n])

    symbol  in code        shape, type
    x       x              (..., K) float32
    c       codes          (N, K) int8
    s       scales         (N,) float32
    q, a    (inside)       activations quantized in the call, symmetric int8, by row
    a       step           (1,) float32: of all rows, where it is known before (static)

A step that is known, from activations seen before, spares each call one of two readings of x; what
lies beyond 127 steps is held there. `calibrated_step` of runtime.activations gives the one that
holds all.
The sum is an exact 32-bit integer: |sum| <= K * 255 * 127 as it is accumulated, so K may be up to
65,536. Every instruction set and thread count gives the same integers.
Packed: `codes` (panels, K'/4, 64, 4) uint8, stored as code + 128; `scales` (panels, 1, 64) float32.
Source: integer-arithmetic inference, Jacob et al. (arXiv 1712.05877), eq. (7), symmetric.
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
OFFSET = 128
STEP = 4
LONGEST_ROW = 1 << 16


class PackedInt8(NamedTuple):
    """A packed 8-bit weight."""

    codes: Tensor  # (panels, K'/4, 64, 4) uint8
    scales: Tensor  # (panels, 1, 64) float32
    n: int
    k: int

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and JSON-ready facts to save; `load` takes them back."""
        meta = {"format": "int8", "version": VERSION, "n": self.n, "k": self.k}
        return {"codes": self.codes, "scales": self.scales}, meta


def load(tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> PackedInt8:
    """A packed weight from its saved state."""
    door.check_state("int8_matmul", meta, VERSION, ("n", "k"))
    codes, scales = runtime.place(tensors["codes"]), runtime.place(tensors["scales"])
    return PackedInt8(codes, scales, meta["n"], meta["k"])


def pack(codes: Tensor, scales: Tensor) -> PackedInt8:
    """Pack codes (N, K) int8 with scales (N,) or (N, 1) float32.

    Raises:
        InputError: wrong dtype or shape, or a row longer than the integer sums allow.

    >>> packed = pack(torch.tensor([[100, -100], [1, 0]], dtype=torch.int8), torch.ones(2))
    >>> int8_matmul(torch.tensor([[1.0, -1.0]]), packed).round(decimals=3).tolist()
    [[200.0, 1.0]]
    """
    door.check_weight("int8_matmul", "codes", codes, torch.int8, 2)
    n, k = codes.shape
    if k > LONGEST_ROW:
        raise InputError(
            f"int8_matmul: K={k} overflows 32-bit sums; at most {LONGEST_ROW}: split K"
        )
    if scales.dtype != torch.float32 or scales.numel() != n:
        raise InputError(
            f"int8_matmul: scales are {scales.dtype} {tuple(scales.shape)}; "
            f"they must be float32 ({n},): one a row"
        )
    table = runtime.place(panels.to_panels(codes, STEP, OFFSET))
    return PackedInt8(table, runtime.place(panels.scales_to_panels(scales.reshape(n, 1))), n, k)


def unpack(packed: PackedInt8) -> tuple[Tensor, Tensor]:
    """The codes (N, K) int8 and scales (N,) float32 of a packed weight."""
    codes = panels.from_panels(packed.codes, packed.n, packed.k, OFFSET)
    return codes, panels.scales_from_panels(packed.scales, packed.n)[:, 0]


def reference(x: Tensor, codes: Tensor, scales: Tensor, step: Tensor | None = None) -> Tensor:
    """The oracle, in torch: (..., K) -> (..., N)."""
    k, rows = codes.shape[1], x.reshape(-1, codes.shape[1])  # (M, K)
    dynamic = activations.quantize_rows
    q = dynamic(rows, k) if step is None else activations.quantize_by(rows, step)
    y = activations.integer_product(q, codes, scales.reshape(-1, 1))  # (M, N)
    return y.reshape(*x.shape[:-1], codes.shape[0])


_eager = runtime.eager("int8_matmul")


def int8_matmul(
    x: Tensor, packed: PackedInt8, bias: Tensor | None = None, step: Tensor | None = None
) -> Tensor:
    """Multiply x (..., K) float32 by the packed weight, add bias (N,): (..., N) float32.

    `step` (1,) float32 is that of all activations, where it is known; None finds one a row.

    Raises:
        InputError: x, bias or step of another dtype, device or shape; a step that is not positive.

    >>> packed = pack(torch.tensor([[2]], dtype=torch.int8), torch.ones(1))
    >>> int8_matmul(torch.tensor([[1.3]]), packed, step=torch.tensor([0.5])).tolist()
    [[3.0]]
    """
    if not is_dynamo_compiling() and (y := _eager(x, bias, packed, step)) is not None:
        return y
    door.check_input("int8_matmul", x, bias, inner=packed.k, axis=-1, n=packed.n)
    if step is not None:
        door.check_step("int8_matmul", step, x)
    op: Tensor = torch.ops.octavo.int8_matmul(x, *packed[:2], bias, *packed[2:], step)
    return op


def _run(
    x: Tensor, codes: Tensor, scales: Tensor, bias: Tensor | None, n: int, k: int,
    step: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """One eager call on the backend in use."""
    if runtime.is_native() and (y := _eager(x, bias, (codes, scales, n, k), step)) is not None:
        return y
    door.check_step_value("int8_matmul", step)
    if not runtime.is_native():
        y = reference(x, *unpack(PackedInt8(codes, scales, n, k)), step)
        return y if bias is None else y + bias
    out = x.new_empty((*x.shape[:-1], n))
    bias = None if bias is None else bias.contiguous()
    runtime.native.int8_matmul(x.contiguous(), codes, scales, bias, out, step, runtime.threads())
    return out


def _fake(
    x: Tensor, codes: Tensor, scales: Tensor, bias: Tensor | None, n: int, k: int,
    step: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """The shape of the answer, for tracing."""
    return x.new_empty((*x.shape[:-1], n))


def _to_x(
    grad: Tensor, x: Tensor, codes: Tensor, scales: Tensor, bias: Tensor | None, n: int, k: int,
    step: Tensor | None,
) -> Tensor:  # fmt: skip
    """The gradient to x, as if activations were not rounded (straight through), but where held."""
    whole, steps = unpack(PackedInt8(codes, scales, n, k))
    to_x = grad @ (whole * steps.unsqueeze(1)).to(grad.dtype)
    return to_x if step is None else to_x * (x.abs() <= activations.LEVELS * step)


define(
    "int8_matmul(Tensor x, Tensor codes, Tensor scales, Tensor? bias, int n, int k, "
    "Tensor? step=None) -> Tensor",
    _run,
    _fake,
    to_x_and_bias(_to_x, bias_axis=-1),
    on_gpu=f"{__name__}.gpu",
)
