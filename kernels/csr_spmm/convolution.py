"""The sparse product as a convolution: output pixels stand for rows, gathered from the image.

The weight's inputs run over (C, Kh, Kw), as the flattened weight does.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from octavo.kernels import runtime
from octavo.kernels.csr_spmm import PackedCsr, unpack
from octavo.kernels.runtime import door, geometry
from octavo.kernels.runtime.geometry import Pair
from octavo.kernels.runtime.operation import define, to_x_and_bias


def reference_conv2d(x: Tensor, weight: Tensor, sizes: Sequence[int]) -> Tensor:
    """The oracle, in torch, weight (N, C * Kh * Kw): (B, C, H, W) -> (B, N, H', W')."""
    return geometry.convolve(x, weight, sizes)


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
    place = (stride, padding, dilation)
    sizes = geometry.enter("csr_conv2d", x, bias, kernel, place, n=packed.n, k=packed.k)
    call = _run if door.takes_short_way(x, bias) else torch.ops.octavo.csr_conv2d
    y: Tensor = call(x, *packed[:3], bias, packed.n, packed.block, sizes)
    return y


def _run(
    x: Tensor, values: Tensor, columns: Tensor, starts: Tensor, bias: Tensor | None,
    n: int, block: int, sizes: Sequence[int],
) -> Tensor:  # fmt: skip
    """One eager call on the backend in use."""
    if not runtime.is_native():
        packed = PackedCsr(values, columns, starts, n, geometry.patch(x, sizes), block)
        y = reference_conv2d(x, unpack(packed), sizes)
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
    return geometry.image(x, n, sizes)


def _to_x(
    grad: Tensor, x: Tensor, values: Tensor, columns: Tensor, starts: Tensor, bias: Tensor | None,
    n: int, block: int, sizes: Sequence[int],
) -> Tensor:  # fmt: skip
    """The gradient to x."""
    packed = PackedCsr(values, columns, starts, n, geometry.patch(x, sizes), block)
    return geometry.gradient_to_x(grad, x, unpack(packed), sizes)


define(
    "csr_conv2d(Tensor x, Tensor values, Tensor columns, Tensor starts, Tensor? bias, "
    "int n, int block, int[] sizes) -> Tensor",
    _run,
    _fake,
    to_x_and_bias(_to_x, bias_axis=1),
)
