"""The layer of an adder network on 8-bit codes: distances are exact integers.

    y[b, n, p] = - sum over c, i, j of  |q[b, c, p + (i, j)] - w[n, c, i, j]|

    symbol  in code    shape, type
    q       x          (B, C, H, W) uint8; the border is of the code `zero`
    w       codes      (N, C, Kh, Kw) uint8, on the grid of x: a distance needs one scale
    y                  (B, N, H', W') int32, |y| <= 255 * C * Kh * Kw < 2^31

One instruction takes eight distances and adds them up; every instruction set and number of threads
gives the same integers. Real distances are y times the scale.
Packed: `codes` (panels, Kh * Kw * C' / 8, 32, 8) uint8: 32 filters a panel, 8 channels side by
side, C' the next multiple of 8, padded with 0 as the input is.
Source: AdderNet (arXiv 1912.13200), eq. (2); one scale for both operands, Nie et al.,
Redistribution of weights and activations for AdderNet quantization (2022).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from octavo.errors import InputError
from octavo.kernels import runtime
from octavo.kernels.adder_conv2d import reference as distances
from octavo.kernels.runtime import door, geometry
from octavo.kernels.runtime.geometry import Pair
from octavo.kernels.runtime.operation import define
from octavo.kernels.runtime.panels import round_up

VERSION = 1
PANEL, DEEP = 32, 8
MOST_INPUTS = (2**31 - 1) // 255


class PackedAdder(NamedTuple):
    """Packed 8-bit filters of an adder layer."""

    codes: Tensor  # (panels, Kh * Kw * C' / 8, 32, 8) uint8
    shape: tuple[int, int, int, int]  # N, C, Kh, Kw

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and JSON-ready facts to save; `load` takes them back."""
        meta = {"format": "adder", "version": VERSION, "shape": list(self.shape)}
        return {"codes": self.codes}, meta


def load(tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> PackedAdder:
    """Packed filters from their saved state."""
    door.check_state("adder_conv2d_u8", meta, VERSION, ("shape",))
    n, c, kh, kw = meta["shape"]
    return PackedAdder(runtime.place(tensors["codes"]), (n, c, kh, kw))


def pack(codes: Tensor) -> PackedAdder:
    """Pack filters (N, C, Kh, Kw) uint8.

    Raises:
        InputError: wrong dtype or shape, or more inputs than 32 bits add up.

    >>> packed = pack(torch.tensor([[[[1]]], [[[5]]]], dtype=torch.uint8))
    >>> adder_conv2d_u8(torch.tensor([[[[1, 3]]]], dtype=torch.uint8), packed).tolist()
    [[[[0, -2]], [[-4, -2]]]]
    """
    door.check_weight("adder_conv2d_u8", "codes", codes, torch.uint8, 4)
    n, c, kh, kw = codes.shape
    if c * kh * kw > MOST_INPUTS:
        raise InputError(f"adder_conv2d_u8: {c * kh * kw} inputs; at most {MOST_INPUTS}")
    padded = F.pad(codes.permute(0, 2, 3, 1), (0, round_up(c, DEEP) - c))  # (N, Kh, Kw, C')
    rows = F.pad(padded.flatten(1), (0, 0, 0, round_up(n, PANEL) - n))  # (N', Kh * Kw * C')
    laid = rows.view(-1, PANEL, rows.shape[1] // DEEP, DEEP).transpose(1, 2).contiguous()
    return PackedAdder(runtime.place(laid), (n, c, kh, kw))


def unpack(packed: PackedAdder) -> Tensor:
    """The filters (N, C, Kh, Kw) uint8 of packed ones."""
    n, c, kh, kw = packed.shape
    rows = packed.codes.transpose(1, 2).reshape(-1, kh, kw, round_up(c, DEEP))  # (N', Kh, Kw, C')
    return rows[:n, ..., :c].permute(0, 3, 1, 2).contiguous()


def reference(x: Tensor, codes: Tensor, zero: int, sizes: Sequence[int]) -> Tensor:
    """The oracle, in torch: (B, C, H, W) -> (B, N, H', W'). sizes: see `geometry.sizes`."""
    ph, pw = sizes[4:6]
    bordered = F.pad(x.double(), (pw, pw, ph, ph), value=float(zero))
    bare = [*sizes[:4], 0, 0, *sizes[6:]]
    return distances(bordered, codes.double(), bare).to(torch.int32)


def adder_conv2d_u8(
    x: Tensor,
    packed: PackedAdder,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    zero: int = 0,
) -> Tensor:
    """Distances of x (B, C, H, W) uint8 to the filters, negated: (B, N, H', W') int32.

    x that lies channels last in memory, as the answer does, is taken as it is.

    Raises:
        InputError: x of another dtype, device or shape; a kernel larger than its input; a zero
            that is no byte.
    """
    _, c, kh, kw = packed.shape
    sizes = geometry.sizes("adder_conv2d_u8", (kh, kw), stride, padding, dilation)
    if x.dtype != torch.uint8 or x.dim() != 4 or x.shape[1] != c or not 0 <= zero <= 255:
        raise InputError(
            f"adder_conv2d_u8: x is {x.dtype} {tuple(x.shape)}, zero {zero}; x must be uint8 "
            f"(B, {c}, H, W) and zero from 0 to 255"
        )
    if x.device.type not in ("cpu", "meta"):
        raise InputError(f"adder_conv2d_u8: x is on {x.device}; use x.cpu()")
    geometry.check_fits("adder_conv2d_u8", x, c, sizes)
    call = _run if door.takes_short_way(x, None) else torch.ops.octavo.adder_conv2d_u8
    y: Tensor = call(x, packed.codes, packed.shape[0], zero, sizes)
    return y


def _run(x: Tensor, codes: Tensor, n: int, zero: int, sizes: Sequence[int]) -> Tensor:
    """One eager call on the backend in use."""
    if not runtime.is_native():
        filters = unpack(PackedAdder(codes, (n, x.shape[1], sizes[0], sizes[1])))
        y = reference(x, filters, zero, sizes)
        return y.contiguous(memory_format=torch.channels_last)
    out = _fake(x, codes, n, zero, sizes)
    rows = out.permute(0, 2, 3, 1)  # (B, H', W', N), contiguous
    pixels = x.permute(0, 2, 3, 1).contiguous()  # (B, H, W, C)
    runtime.native.adder_conv2d_u8(pixels, codes, rows, zero, sizes, runtime.threads())
    return out


def _fake(x: Tensor, codes: Tensor, n: int, zero: int, sizes: Sequence[int]) -> Tensor:
    """The shape of the answer, for tracing."""
    shape = (x.shape[0], *geometry.extent(x, sizes), n)
    return x.new_empty(shape, dtype=torch.int32).permute(0, 3, 1, 2)


define(
    "adder_conv2d_u8(Tensor x, Tensor codes, int n, int zero, int[] sizes) -> Tensor", _run, _fake
)
