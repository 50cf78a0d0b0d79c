"""The N:M product as a convolution: output pixels stand for rows, gathered from the image.

The weight's inputs run over (Kh, Kw, C), so that a group lies in the channels of one position.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from octavo.kernels import runtime
from octavo.kernels.nm_spmm import PackedNm, unpack
from octavo.kernels.runtime import door, geometry
from octavo.kernels.runtime.geometry import Pair
from octavo.kernels.runtime.operation import define, to_x_and_bias


def channels_last(weight: Tensor) -> Tensor:
    """A convolution's weight (N, C, Kh, Kw) as `pack` takes it: (N, Kh * Kw * C)."""
    return weight.permute(0, 2, 3, 1).flatten(1)


def channels_first(weight: Tensor, sizes: Sequence[int]) -> Tensor:
    """A weight (N, Kh * Kw * C) with its inputs over (C, Kh, Kw): (N, K)."""
    positions = sizes[0] * sizes[1]
    return weight.view(len(weight), positions, -1).transpose(1, 2).reshape(weight.shape)


def reference_conv2d(x: Tensor, weight: Tensor, sizes: Sequence[int]) -> Tensor:
    """The oracle, in torch, weight (N, Kh * Kw * C): (B, C, H, W) -> (B, N, H', W')."""
    return geometry.convolve(x, channels_first(weight, sizes), sizes)


def nm_conv2d(
    x: Tensor,
    packed: PackedNm,
    kernel: Pair,
    bias: Tensor | None = None,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
) -> Tensor:
    """Convolve x (B, C, H, W) float32, add bias (N,): (B, N, H', W') float32.

    Raises:
        InputError: x or bias of another dtype, device or shape; a kernel larger than its input.
    """
    place = (stride, padding, dilation)
    sizes = geometry.enter("nm_conv2d", x, bias, kernel, place, n=packed.n, k=packed.k)
    call = _run if door.takes_short_way(x, bias) else torch.ops.octavo.nm_conv2d
    y: Tensor = call(x, *packed[:3], bias, packed.n, packed.kept, packed.group, sizes)
    return y


def _run(
    x: Tensor, values: Tensor, places: Tensor, starts: Tensor, bias: Tensor | None,
    n: int, kept: int, group: int, sizes: Sequence[int],
) -> Tensor:  # fmt: skip
    """One eager call on the backend in use."""
    if not runtime.is_native():
        packed = PackedNm(values, places, starts, n, geometry.patch(x, sizes), kept, group)
        y = reference_conv2d(x, unpack(packed), sizes)
        return y if bias is None else y + bias[:, None, None]
    out = geometry.image(x, n, sizes)
    bias = None if bias is None else bias.contiguous()
    runtime.native.nm_conv2d(
        x.contiguous(), values, places, starts, bias, out, kept, group, sizes, runtime.threads()
    )
    return out


def _fake(
    x: Tensor, values: Tensor, places: Tensor, starts: Tensor, bias: Tensor | None,
    n: int, kept: int, group: int, sizes: Sequence[int],
) -> Tensor:  # fmt: skip
    """The shape of the answer, for tracing."""
    return geometry.image(x, n, sizes)


def _to_x(
    grad: Tensor, x: Tensor, values: Tensor, places: Tensor, starts: Tensor, bias: Tensor | None,
    n: int, kept: int, group: int, sizes: Sequence[int],
) -> Tensor:  # fmt: skip
    """The gradient to x."""
    packed = PackedNm(values, places, starts, n, geometry.patch(x, sizes), kept, group)
    return geometry.gradient_to_x(grad, x, channels_first(unpack(packed), sizes), sizes)


define(
    "nm_conv2d(Tensor x, Tensor values, Tensor places, Tensor starts, Tensor? bias, "
    "int n, int kept, int group, int[] sizes) -> Tensor",
    _run,
    _fake,
    to_x_and_bias(_to_x, bias_axis=1),
)
