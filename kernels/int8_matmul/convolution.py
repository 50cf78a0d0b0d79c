"""The 8-bit product as a convolution: its rows are patches of the image, taken when needed.

A patch runs over (C, Kh, Kw), as the flattened weight does; it is quantized like any row.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from octavo.kernels import runtime
from octavo.kernels.int8_matmul import PackedInt8, reference, unpack
from octavo.kernels.runtime import activations, door, geometry
from octavo.kernels.runtime.geometry import Pair
from octavo.kernels.runtime.operation import define, to_x_and_bias


def reference_conv2d(
    x: Tensor, codes: Tensor, scales: Tensor, sizes: Sequence[int],
    step: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """The oracle, in torch: (B, C, H, W) -> (B, N, H', W')."""
    y = reference(geometry.unfold(x, sizes), codes, scales, step)  # (B, H' W', N)
    return y.transpose(1, 2).reshape(x.shape[0], codes.shape[0], *geometry.extent(x, sizes))


def int8_conv2d(
    x: Tensor,
    packed: PackedInt8,
    kernel: Pair,
    bias: Tensor | None = None,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    step: Tensor | None = None,
) -> Tensor:
    """Convolve x (B, C, H, W) float32, add bias (N,): (B, N, H', W'), channels last in memory.

    `step` (1,) float32 is that of all activations, where it is known; None finds one a patch.

    Raises:
        InputError: x, bias or step of another dtype, device or shape; a step that is not positive;
            a kernel larger than its input.
    """
    place = (stride, padding, dilation)
    sizes = geometry.enter("int8_conv2d", x, bias, kernel, place, n=packed.n, k=packed.k)
    if step is not None:
        door.check_step("int8_conv2d", step, x)
    call = _run if door.takes_short_way(x, bias) else torch.ops.octavo.int8_conv2d
    y: Tensor = call(x, *packed[:2], bias, packed.n, sizes, step)
    return y


def _run(
    x: Tensor, codes: Tensor, scales: Tensor, bias: Tensor | None,
    n: int, sizes: Sequence[int], step: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """One eager call on the backend in use."""
    door.check_step_value("int8_conv2d", step)
    if not runtime.is_native():
        packed = PackedInt8(codes, scales, n, geometry.patch(x, sizes))
        y = reference_conv2d(x, *unpack(packed), sizes, step)
        y = y if bias is None else y + bias[:, None, None]
        return y.contiguous(memory_format=torch.channels_last)
    out = _fake(x, codes, scales, bias, n, sizes)
    bias = None if bias is None else bias.contiguous()
    rows = out.permute(0, 2, 3, 1)  # (B, H', W', N), contiguous
    call = runtime.native.int8_conv2d
    call(x.contiguous(), codes, scales, bias, rows, step, sizes, runtime.threads())
    return out


def _fake(
    x: Tensor, codes: Tensor, scales: Tensor, bias: Tensor | None,
    n: int, sizes: Sequence[int], step: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """The shape of the answer, for tracing."""
    return geometry.image_channels_last(x, n, sizes)


def _to_x(
    grad: Tensor, x: Tensor, codes: Tensor, scales: Tensor, bias: Tensor | None,
    n: int, sizes: Sequence[int], step: Tensor | None,
) -> Tensor:  # fmt: skip
    """The gradient to x, as if activations were not rounded (straight through), but where held."""
    whole, steps = unpack(PackedInt8(codes, scales, n, geometry.patch(x, sizes)))
    weight = whole * steps.unsqueeze(1)
    to_x = geometry.gradient_to_x(grad, x, weight, sizes)
    return to_x if step is None else to_x * (x.abs() <= activations.LEVELS * step)


define(
    "int8_conv2d(Tensor x, Tensor codes, Tensor scales, Tensor? bias, "
    "int n, int[] sizes, Tensor? step=None) -> Tensor",
    _run,
    _fake,
    to_x_and_bias(_to_x, bias_axis=1),
)
