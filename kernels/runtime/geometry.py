"""Kernel, stride, padding and dilation of a convolution: checked, as the kernels take them.

A weight of a convolution is (N, K), its inputs in the order (C, Kh, Kw) of the flattened weight.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.grad import conv2d_input

from octavo.errors import InputError
from octavo.kernels.runtime import door

Pair = int | tuple[int, int]


def sizes(op: str, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair) -> list[int]:
    """Eight numbers: kernel, stride, padding, dilation, height and width of each.

    Raises:
        InputError: a number that is too small.

    >>> sizes("conv", 3, 1, (1, 0), 1)
    [3, 3, 1, 1, 1, 0, 1, 1]
    """
    flat: list[int] = []
    given = {"kernel": kernel, "stride": stride, "padding": padding, "dilation": dilation}
    for name, value in given.items():
        least = 0 if name == "padding" else 1
        pair = _two(value)
        if min(pair) < least:
            raise InputError(f"{op}: {name}={value} is too small; use {least} or more")
        flat += pair
    return flat


def enter(
    op: str, x: Tensor, bias: Tensor | None, kernel: Pair, place: tuple[Pair, Pair, Pair],
    *, n: int, k: int,
) -> list[int]:  # fmt: skip
    """Check a call of a convolution whose weight is (N, K); the eight numbers of `sizes`.

    `place` is stride, padding, dilation.

    Raises:
        InputError: x or bias of another dtype, device or shape; a kernel larger than its input.
    """
    taken = sizes(op, kernel, *place)
    channels, rest = divmod(k, taken[0] * taken[1])
    if rest:
        raise InputError(f"{op}: kernel={kernel} does not divide in={k}")
    door.check_input(op, x, bias, inner=channels, axis=-3, n=n)
    check_fits(op, x, channels, taken)
    return taken


def extent(x: Tensor, sizes: Sequence[int]) -> tuple[int, int]:
    """Height and width of the output for x (B, C, H, W)."""
    kh, kw, sh, sw, ph, pw, dh, dw = sizes
    tall = (x.shape[2] + 2 * ph - dh * (kh - 1) - 1) // sh + 1
    wide = (x.shape[3] + 2 * pw - dw * (kw - 1) - 1) // sw + 1
    return tall, wide


def check_fits(op: str, x: Tensor, channels: int, sizes: Sequence[int]) -> None:
    """Check that x is (B, channels, H, W) and not smaller, once padded, than the kernel.

    Raises:
        InputError: it is not.
    """
    if x.dim() != 4 or min(extent(x, sizes)) < 1:
        raise InputError(
            f"{op}: x has shape {tuple(x.shape)}; it must be (B, {channels}, H, W) and not "
            f"smaller, once padded, than the {sizes[0]}x{sizes[1]} kernel"
        )


def patch(x: Tensor, sizes: Sequence[int]) -> int:
    """K: the inputs of one output, for x (B, C, H, W)."""
    return int(x.shape[1]) * sizes[0] * sizes[1]


def image(x: Tensor, n: int, sizes: Sequence[int]) -> Tensor:
    """An output for x (B, C, H, W), not yet filled: (B, N, H', W')."""
    return x.new_empty((x.shape[0], n, *extent(x, sizes)))


def image_channels_last(x: Tensor, n: int, sizes: Sequence[int]) -> Tensor:
    """An output for x, not yet filled: (B, N, H', W'), with N next to each other in memory."""
    return x.new_empty((x.shape[0], *extent(x, sizes), n)).permute(0, 3, 1, 2)


def convolve(x: Tensor, weight: Tensor, sizes: Sequence[int]) -> Tensor:
    """The dense convolution with weight (N, K): (B, C, H, W) -> (B, N, H', W')."""
    shaped = weight.view(weight.shape[0], x.shape[1], *sizes[:2])
    return F.conv2d(x, shaped, None, sizes[2:4], sizes[4:6], sizes[6:8])


def unfold(x: Tensor, sizes: Sequence[int]) -> Tensor:
    """The patches of an image as rows: (B, C, H, W) -> (B, H' * W', K)."""
    kernel, stride, padding, dilation = (tuple(sizes[i : i + 2]) for i in (0, 2, 4, 6))
    return F.unfold(x, kernel, dilation, padding, stride).transpose(1, 2)


def gradient_to_x(grad: Tensor, x: Tensor, weight: Tensor, sizes: Sequence[int]) -> Tensor:
    """The gradient of `convolve` to x (B, C, H, W), for grad (B, N, H', W'), weight (N, K)."""
    kernel, stride, padding, dilation = (list(sizes[i : i + 2]) for i in (0, 2, 4, 6))
    shaped = weight.view(weight.shape[0], x.shape[1], *kernel)
    to_x: Tensor = conv2d_input(list(x.shape), shaped, grad, stride, padding, dilation)  # type: ignore[no-untyped-call]
    return to_x


def of_layer(layer: nn.Conv2d) -> dict[str, tuple[int, int]]:
    """Stride, padding and dilation of a convolution that a kernel can stand in for.

    Raises:
        InputError: grouped, not padded with zeros, or padded to "same" unevenly.
    """
    if layer.groups != 1 or layer.padding_mode != "zeros":
        raise InputError(
            f"convolution with groups={layer.groups}, padding_mode={layer.padding_mode!r}; "
            "kernels take groups=1 and zeros: keep this layer dense"
        )
    spans = [d * (k - 1) for d, k in zip(layer.dilation, layer.kernel_size, strict=True)]
    if layer.padding == "same" and any(span % 2 for span in spans):
        raise InputError('convolution padded "same" with an even kernel; keep this layer dense')
    named = {"same": (spans[0] // 2, spans[-1] // 2), "valid": (0, 0)}
    padding = named[layer.padding] if isinstance(layer.padding, str) else layer.padding
    return {
        "stride": _two(layer.stride),
        "padding": _two(padding),
        "dilation": _two(layer.dilation),
    }


def _two(value: Pair | tuple[int, ...]) -> tuple[int, int]:
    """One number for both directions, or two."""
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))
