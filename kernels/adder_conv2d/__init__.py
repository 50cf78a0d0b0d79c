"""Convolve with distances in place of products: the layer of an adder network, and its gradients.

    y[b, n, p] = - sum over c, i, j of  |x[b, c, p + (i, j)] - w[n, c, i, j]|   (+ bias[n])
    to w:  sum over b, p of  g[b, n, p] * (x - w)                  (full precision, no sign)
    to x:  sum over n, p of  g[b, n, p] * clip(w - x, -1, 1)

    symbol  in code    shape, type
    x       x          (B, C, H, W) float32; the border of zeros counts as inputs, |0 - w|
    w       weight     (N, C, Kh, Kw) float32
    g       grad       (B, N, H', W'), the gradient of y

Two additions and a mask an element, no product. Sums run over blocks of 64 inputs, then over
blocks: the error is about 8 + K / 64 roundings, K = C * Kh * Kw. The gradient to w is a dense
product: sum of g x, less w times the sum of g. `codes.py` has the layer on 8-bit codes.
Source: AdderNet (arXiv 1912.13200), eqs. (2), (5) and (6). Differs: its adaptive learning rate,
eq. (11), is the optimiser's business, not part of the gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.grad import conv2d_weight

from octavo.errors import InputError
from octavo.kernels import runtime
from octavo.kernels.runtime import door, geometry
from octavo.kernels.runtime.geometry import Pair
from octavo.kernels.runtime.operation import define


def _patches(x: Tensor, sizes: Sequence[int]) -> Tensor:
    """Inputs under each output pixel: (B, K, H' * W')."""
    return geometry.unfold(x, sizes).transpose(1, 2)


def reference(x: Tensor, weight: Tensor, sizes: Sequence[int]) -> Tensor:
    """The oracle, in torch: (B, C, H, W) -> (B, N, H', W'). sizes: see `geometry.sizes`."""
    apart = _patches(x, sizes).unsqueeze(1) - weight.flatten(1).unsqueeze(-1)  # (B, N, K, pixels)
    return -apart.abs().sum(2).view(-1, len(weight), *geometry.extent(x, sizes))


def reference_to_x(grad: Tensor, x: Tensor, weight: Tensor, sizes: Sequence[int]) -> Tensor:
    """The oracle of the gradient to x: (B, N, H', W') -> (B, C, H, W)."""
    apart = weight.flatten(1).unsqueeze(-1) - _patches(x, sizes).unsqueeze(1)  # (B, N, K, pixels)
    to_patches = torch.einsum("bnp,bnkp->bkp", grad.flatten(2), apart.clamp(-1, 1))
    kernel, stride, padding, dilation = (tuple(sizes[i : i + 2]) for i in (0, 2, 4, 6))
    return F.fold(to_patches, x.shape[2:], kernel, dilation, padding, stride)


def adder_conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
) -> Tensor:
    """Distances of x (B, C, H, W) to the filters, negated, plus bias (N,): (B, N, H', W') float32.

    Raises:
        InputError: x, weight or bias of another dtype, device or shape; a kernel larger than its
            input.

    >>> filters = torch.tensor([[[[1.0]]], [[[5.0]]]])
    >>> adder_conv2d(torch.tensor([[[[1.0, 3.0]]]]), filters).tolist()
    [[[[0.0, -2.0]], [[-4.0, -2.0]]]]
    """
    if weight.dtype != x.dtype or weight.dim() != 4 or not weight.numel():
        raise InputError(
            f"adder_conv2d: weight is {weight.dtype} {tuple(weight.shape)}; "
            f"it must be a non-empty (N, C, Kh, Kw) of {x.dtype}, as x is"
        )
    n, c, kh, kw = weight.shape
    place = (stride, padding, dilation)
    sizes = geometry.enter("adder_conv2d", x, bias, (kh, kw), place, n=n, k=c * kh * kw)
    short = door.takes_short_way(x, bias) and door.takes_short_way(x, weight)
    y: Tensor = (_run if short else torch.ops.octavo.adder_conv2d)(x, weight, bias, sizes)
    return y


def _run(x: Tensor, weight: Tensor, bias: Tensor | None, sizes: Sequence[int]) -> Tensor:
    """One eager call on the backend in use."""
    if not runtime.is_native():
        y = reference(x, weight, sizes)
        return y if bias is None else y + bias[:, None, None]
    out = _fake(x, weight, bias, sizes)
    bias = None if bias is None else bias.detach().contiguous()
    x, weight = x.detach().contiguous(), weight.detach().contiguous()
    runtime.native.adder_conv2d(x, weight, bias, out, sizes, runtime.threads())
    return out


def _fake(x: Tensor, weight: Tensor, bias: Tensor | None, sizes: Sequence[int]) -> Tensor:
    """The shape of the answer, for tracing."""
    return geometry.image(x, len(weight), sizes)


def _run_to_x(grad: Tensor, x: Tensor, weight: Tensor, sizes: Sequence[int]) -> Tensor:
    """The gradient to x on the backend in use."""
    if not runtime.is_native():
        return reference_to_x(grad, x, weight, sizes)
    tensors = (t.detach().contiguous() for t in (grad, x, weight))
    out = _fake_to_x(grad, x, weight, sizes)
    runtime.native.adder_conv2d_to_x(*tensors, out, sizes, runtime.threads())
    return out


def _fake_to_x(grad: Tensor, x: Tensor, weight: Tensor, sizes: Sequence[int]) -> Tensor:
    """The shape of the gradient, for tracing."""
    return x.new_empty(x.shape)


def _gradient(
    grad: Tensor, needs: Any, x: Tensor, weight: Tensor, bias: Tensor | None, sizes: Sequence[int]
) -> tuple[Tensor | None, ...]:
    """To x clipped, to the weight in full, to the bias."""
    whole = grad.sum((0, 2, 3))  # (N,)
    to_x = torch.ops.octavo.adder_conv2d_to_x(grad, x, weight, sizes) if needs[0] else None
    to_weight = None
    if needs[1]:
        stride, padding, dilation = (list(sizes[i : i + 2]) for i in (2, 4, 6))
        products = conv2d_weight(x, list(weight.shape), grad, stride, padding, dilation)  # type: ignore[no-untyped-call]
        to_weight = products - weight * whole.view(-1, 1, 1, 1)
    return to_x, to_weight, whole if needs[2] else None, None


define(
    "adder_conv2d(Tensor x, Tensor weight, Tensor? bias, int[] sizes) -> Tensor",
    _run,
    _fake,
    _gradient,
    on_gpu=f"{__name__}.gpu",
)
define(
    "adder_conv2d_to_x(Tensor grad, Tensor x, Tensor weight, int[] sizes) -> Tensor",
    _run_to_x,
    _fake_to_x,
    on_gpu=f"{__name__}.gpu",
)
