"""Kernel, stride, padding and dilation of a convolution, as the kernels take them."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from octavo.errors import InputError

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
        pair = (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))
        if min(pair) < least:
            raise InputError(f"{op}: {name}={value} is too small; use {least} or more")
        flat += pair
    return flat


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
