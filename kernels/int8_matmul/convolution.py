"""The 8-bit product as a convolution: its rows are patches of the image, taken when needed.

A patch runs over (C, Kh, Kw), as the flattened weight does; it is quantized like any row.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from octavo.kernels import runtime
from octavo.kernels.int8_matmul import PackedInt8, reference, unpack
from octavo.kernels.runtime import door, geometry
from octavo.kernels.runtime.geometry import Pair
from octavo.kernels.runtime.operation import define, to_x_and_bias


def reference_conv2d(x: Tensor, codes: Tensor, scales: Tensor, sizes: Sequence[int]) -> Tensor:
    """The oracle, in torch: (B, C, H, W) -> (B, N, H', W')."""
    y = reference(geometry.unfold(x, sizes), codes, scales)  # (B, H' W', N)
    return y.transpose(1, 2).reshape(x.shape[0], codes.shape[0], *geometry.extent(x, sizes))


def int8_conv2d(
    x: Tensor,
    packed: PackedInt8,
    kernel: Pair,
    bias: Tensor | None = None,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
) -> Tensor:
    """Convolve x (B, C, H, W) float32, add bias (N,): (B, N, H', W'), channels last in memory.

    Raises:
        InputError: x or bias of another dtype, device or shape; a kernel larger than its input.
    """
    place = (stride, padding, dilation)
    sizes = geometry.enter("int8_conv2d", x, bias, kernel, place, n=packed.n, k=packed.k)
    call = _run if door.takes_short_way(x, bias) else torch.ops.octavo.int8_conv2d
    y: Tensor = call(x, *packed[:2], bias, packed.n, sizes)
    return y


def _run(
    x: Tensor, codes: Tensor, scales: Tensor, bias: Tensor | None,
    n: int, sizes: Sequence[int],
) -> Tensor:  # fmt: skip
    """One eager call on the backend in use."""
    if not runtime.is_native():
        packed = PackedInt8(codes, scales, n, geometry.patch(x, sizes))
        y = reference_conv2d(x, *unpack(packed), sizes)
        y = y if bias is None else y + bias[:, None, None]
        return y.contiguous(memory_format=torch.channels_last)
    out = _fake(x, codes, scales, bias, n, sizes)
    bias = None if bias is None else bias.contiguous()
    rows = out.permute(0, 2, 3, 1)  # (B, H', W', N), contiguous
    runtime.native.int8_conv2d(x.contiguous(), codes, scales, bias, rows, sizes, runtime.threads())
    return out


def _fake(
    x: Tensor, codes: Tensor, scales: Tensor, bias: Tensor | None,
    n: int, sizes: Sequence[int],
) -> Tensor:  # fmt: skip
    """The shape of the answer, for tracing."""
    return geometry.image_channels_last(x, n, sizes)


def _to_x(
    grad: Tensor, x: Tensor, codes: Tensor, scales: Tensor, bias: Tensor | None,
    n: int, sizes: Sequence[int],
) -> Tensor:  # fmt: skip
    """The gradient to x, as if activations were not rounded (straight through)."""
    whole, steps = unpack(PackedInt8(codes, scales, n, geometry.patch(x, sizes)))
    weight = whole * steps.unsqueeze(1)
    return geometry.gradient_to_x(grad, x, weight, sizes)


define(
    "int8_conv2d(Tensor x, Tensor codes, Tensor scales, Tensor? bias, "
    "int n, int[] sizes) -> Tensor",
    _run,
    _fake,
    to_x_and_bias(_to_x, bias_axis=1),
)
