"""The sparse product as a convolution: output pixels stand for rows, gathered from the image.

The weight's inputs run over (C, Kh, Kw), as the flattened weight does.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.grad import conv2d_input

from octavo.errors import InputError
from octavo.kernels import runtime
from octavo.kernels.csr_spmm import PackedCsr, unpack
from octavo.kernels.runtime import door, geometry
from octavo.kernels.runtime.geometry import Pair
from octavo.kernels.runtime.operation import define, to_x_and_bias


def reference_conv2d(x: Tensor, weight: Tensor, sizes: Sequence[int]) -> Tensor:
    """The oracle, in torch, weight (N, C * Kh * Kw): (B, C, H, W) -> (B, N, H', W')."""
    shaped = weight.view(weight.shape[0], x.shape[1], *sizes[:2])
    return F.conv2d(x, shaped, None, sizes[2:4], sizes[4:6], sizes[6:8])


def csr_conv2d(
    x: Tensor,
    packed: PackedCsr,
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
    sizes = geometry.sizes("csr_conv2d", kernel, stride, padding, dilation)
    channels, rest = divmod(packed.k, sizes[0] * sizes[1])
    if rest:
        raise InputError(f"csr_conv2d: kernel={kernel} does not divide in={packed.k}")
    door.check_input("csr_conv2d", x, bias, inner=channels, axis=-3, n=packed.n)
    geometry.check_fits("csr_conv2d", x, channels, sizes)
    call = _run if door.takes_short_way(x, bias) else torch.ops.octavo.csr_conv2d
    y: Tensor = call(x, *packed[:3], bias, packed.n, packed.block, sizes)
    return y


def _run(
    x: Tensor, values: Tensor, columns: Tensor, starts: Tensor, bias: Tensor | None,
    n: int, block: int, sizes: Sequence[int],
) -> Tensor:  # fmt: skip
    """One eager call on the backend in use."""
    if not runtime.is_native():
        k = x.shape[1] * sizes[0] * sizes[1]
        y = reference_conv2d(x, unpack(PackedCsr(values, columns, starts, n, k, block)), sizes)
        return y if bias is None else y + bias[:, None, None]
    out = _fake(x, values, columns, starts, bias, n, block, sizes)
    bias = None if bias is None else bias.contiguous()
    runtime.native.csr_conv2d(
        x.contiguous(), values, columns, starts, bias, out, block, sizes, runtime.threads()
    )
    return out


def _fake(
    x: Tensor, values: Tensor, columns: Tensor, starts: Tensor, bias: Tensor | None,
    n: int, block: int, sizes: Sequence[int],
) -> Tensor:  # fmt: skip
    """The shape of the answer, for tracing."""
    return x.new_empty((x.shape[0], n, *geometry.extent(x, sizes)))


def _to_x(
    grad: Tensor, x: Tensor, values: Tensor, columns: Tensor, starts: Tensor, bias: Tensor | None,
    n: int, block: int, sizes: Sequence[int],
) -> Tensor:  # fmt: skip
    """The gradient to x."""
    kernel, stride, padding, dilation = (list(sizes[i : i + 2]) for i in (0, 2, 4, 6))
    k = x.shape[1] * kernel[0] * kernel[1]
    weight = unpack(PackedCsr(values, columns, starts, n, k, block)).view(n, -1, *kernel)
    to_x: Tensor = conv2d_input(list(x.shape), weight, grad, stride, padding, dilation)  # type: ignore[no-untyped-call]
    return to_x


define(
    "csr_conv2d(Tensor x, Tensor values, Tensor columns, Tensor starts, Tensor? bias, "
    "int n, int block, int[] sizes) -> Tensor",
    _run,
    _fake,
    to_x_and_bias(_to_x, bias_axis=1),
)
