"""Convolve with filters that keep only some of their stripes.

    y[b, n, p] = sum over the kept (i, j) of filter n:  sum_c w[n, c, i, j] * x[b, c, p + (i, j)]

    symbol  in code    shape, type
    x       x          (B, C, H, W) float32
    w       weight     (N, C, Kh, Kw) float32
    kept    keep       (N, Kh, Kw) bool: a stripe is the C weights of one filter at one position

At each position the kept filters are a dense product [filters x C] x [C x pixels]; nothing is
gathered, a filter is only a row pointer. A pruned stripe costs neither bytes nor time.
Packed: `values` (kept * C,) float32: by position, by group of up to 6 filters, [C][filters of the
group]; `filters` (kept,) int32, by position; `starts` (Kh * Kw + 1,) int32 into `filters`.
Source: Pruning Filter in Filter (arXiv 2009.14410), section 3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from octavo.errors import InputError
from octavo.kernels import runtime
from octavo.kernels.runtime import door, geometry
from octavo.kernels.runtime.geometry import Pair
from octavo.kernels.runtime.operation import define, to_x_and_bias

VERSION = 1
TABLES = ("values", "filters", "starts")
GROUP = 6


class PackedStripes(NamedTuple):
    """A packed stripe-pruned convolution weight."""

    values: Tensor  # (kept * C,) float32
    filters: Tensor  # (kept,) int32
    starts: Tensor  # (Kh * Kw + 1,) int32
    shape: tuple[int, int, int, int]  # N, C, Kh, Kw

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and JSON-ready facts to save; `load` takes them back."""
        meta = {"format": "stripes", "version": VERSION, "shape": list(self.shape)}
        return {"values": self.values, "filters": self.filters, "starts": self.starts}, meta


def load(tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> PackedStripes:
    """A packed weight from its saved state."""
    door.check_state("stripe_conv2d", meta, VERSION, ("shape",))
    values, filters, starts = (runtime.place(tensors[name]) for name in TABLES)
    n, c, kh, kw = meta["shape"]
    return PackedStripes(values, filters, starts, (n, c, kh, kw))


def pack(weight: Tensor, keep: Tensor) -> PackedStripes:
    """Pack the kept stripes of weight (N, C, Kh, Kw) float32; keep is (N, Kh, Kw) bool.

    Raises:
        InputError: wrong dtype or shape.

    >>> keep = torch.tensor([[[True, False]]])
    >>> packed = pack(torch.tensor([[[[2.0, 5.0]]]]), keep)
    >>> stripe_conv2d(torch.tensor([[[[1.0, 10.0, 100.0]]]]), packed).tolist()
    [[[[2.0, 20.0]]]]
    """
    weight = weight.detach()
    door.check_weight("stripe_conv2d", "weight", weight, torch.float32, 4)
    n, c, kh, kw = weight.shape
    if keep.dtype != torch.bool or keep.shape != (n, kh, kw):
        raise InputError(
            f"stripe_conv2d: keep is {keep.dtype} {tuple(keep.shape)}; "
            f"it must be bool {(n, kh, kw)}"
        )
    positions = keep.flatten(1).T  # (Kh * Kw, N)
    filters = positions.nonzero()[:, 1]  # (kept,), by position
    starts = torch.zeros(kh * kw + 1, dtype=torch.int64)
    starts[1:] = positions.sum(1).cumsum(0)
    stripes = weight.flatten(2).permute(2, 0, 1)[positions]  # (kept, C)
    values = torch.empty(stripes.numel())
    values[_places(starts, len(filters), c)] = stripes
    tables = (values, filters.to(torch.int32), starts.to(torch.int32))
    values, filters, starts = map(runtime.place, tables)
    return PackedStripes(values, filters, starts, (n, c, kh, kw))


def _places(starts: Tensor, kept: int, c: int) -> Tensor:
    """Where in `values` each kept stripe's weights stand: (kept, C)."""
    index = torch.arange(kept)
    at = torch.searchsorted(starts, index, right=True) - 1  # position of each stripe
    lane = (index - starts[at]) % GROUP
    first = index - lane  # of its group
    width = (starts[at + 1] - first).clamp(max=GROUP)  # filters in its group
    channels = torch.arange(c)
    return (first * c + lane).unsqueeze(1) + channels * width.unsqueeze(1)


def unpack(packed: PackedStripes) -> tuple[Tensor, Tensor]:
    """The weight (N, C, Kh, Kw), zero where pruned, and keep (N, Kh, Kw)."""
    n, c, kh, kw = packed.shape
    filters, starts = packed.filters.long(), packed.starts.long()
    at = torch.searchsorted(starts, torch.arange(len(filters)), right=True) - 1  # position, (kept,)
    weight = torch.zeros(kh * kw, n, c)
    weight[at, filters] = packed.values[_places(starts, len(filters), c)]
    keep = torch.zeros(kh * kw, n, dtype=torch.bool)
    keep[at, filters] = True
    return weight.permute(1, 2, 0).reshape(n, c, kh, kw), keep.T.reshape(n, kh, kw)


def reference(
    x: Tensor, weight: Tensor, keep: Tensor, stride: Pair = 1, padding: Pair = 0, dilation: Pair = 1
) -> Tensor:
    """The oracle, in torch: (B, C, H, W) -> (B, N, H', W')."""
    kept = weight * keep.unsqueeze(1)
    return F.conv2d(x, kept, stride=stride, padding=padding, dilation=dilation)


def stripe_conv2d(
    x: Tensor,
    packed: PackedStripes,
    bias: Tensor | None = None,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
) -> Tensor:
    """Convolve x (B, C, H, W) float32, add bias (N,): (B, N, H', W') float32, as F.conv2d does.

    Raises:
        InputError: x or bias of another dtype, device or shape; a kernel larger than its input.
    """
    n, c, kh, kw = packed.shape
    place = (stride, padding, dilation)
    sizes = geometry.enter("stripe_conv2d", x, bias, (kh, kw), place, n=n, k=c * kh * kw)
    call = _run if door.takes_short_way(x, bias) else torch.ops.octavo.stripe_conv2d
    y: Tensor = call(x, *packed[:3], bias, n, sizes)
    return y


def _run(
    x: Tensor, values: Tensor, filters: Tensor, starts: Tensor, bias: Tensor | None,
    n: int, sizes: Sequence[int],
) -> Tensor:  # fmt: skip
    """One eager call on the backend in use."""
    if not runtime.is_native():
        shape = (n, x.shape[1], sizes[0], sizes[1])
        weight, _ = unpack(PackedStripes(values, filters, starts, shape))
        return F.conv2d(x, weight, bias, sizes[2:4], sizes[4:6], sizes[6:8])
    out = _fake(x, values, filters, starts, bias, n, sizes)
    bias = None if bias is None else bias.contiguous()
    runtime.native.stripe_conv2d(
        x.contiguous(), values, filters, starts, bias, out, sizes, runtime.threads()
    )
    return out


def _fake(
    x: Tensor, values: Tensor, filters: Tensor, starts: Tensor, bias: Tensor | None,
    n: int, sizes: Sequence[int],
) -> Tensor:  # fmt: skip
    """The shape of the answer, for tracing."""
    return geometry.image(x, n, sizes)


def _to_x(
    grad: Tensor, x: Tensor, values: Tensor, filters: Tensor, starts: Tensor, bias: Tensor | None,
    n: int, sizes: Sequence[int],
) -> Tensor:  # fmt: skip
    """The gradient to x."""
    shape = (n, x.shape[1], sizes[0], sizes[1])
    weight, _ = unpack(PackedStripes(values, filters, starts, shape))
    return geometry.gradient_to_x(grad, x, weight.flatten(1), sizes)


define(
    "stripe_conv2d(Tensor x, Tensor values, Tensor filters, Tensor starts, Tensor? bias, "
    "int n, int[] sizes) -> Tensor",
    _run,
    _fake,
    to_x_and_bias(_to_x, bias_axis=1),
)
