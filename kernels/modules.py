"""Modules that run a compressed layer on its kernel: what a materialised model is made of.

Each holds its packed weight in buffers, so it saves and moves like any module; `simulate(x)` is the
same arithmetic in plain torch, `bytes_on_disk()` counts codes, scales and indices alike.
"""

from __future__ import annotations

from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from octavo.errors import InputError
from octavo.kernels import csr_spmm, int4_matmul, int8_matmul, stripe_conv2d
from octavo.kernels.csr_spmm.convolution import csr_conv2d
from octavo.kernels.int4_matmul.convolution import int4_conv2d, reference_conv2d
from octavo.kernels.runtime.geometry import Pair, sizes


class _Packed(nn.Module):
    """A module whose weight is packed in buffers."""

    bias: Tensor | None

    def _hold(self, bias: Tensor | None, **tables: Tensor) -> None:
        """Register the packed tensors and the bias."""
        for name, table in tables.items():
            self.register_buffer(name, table)
        self.register_buffer("bias", None if bias is None else bias.detach().clone())

    def bytes_on_disk(self) -> int:
        """Bytes of everything in the state: codes or values, scales, indices, bias."""
        return sum(tensor.nbytes for tensor in self.state_dict().values())


def _nearest(weight: Tensor, bits: int, group: int | None) -> tuple[Tensor, Tensor]:
    """Round weight (N, ...) to the nearest symmetric codes (N, ...) int8, scales (N, groups)."""
    top = 2 ** (bits - 1) - 1
    flat = weight.detach().flatten(1)  # (N, K)
    size = group or flat.shape[1]
    if flat.shape[1] % size:
        raise InputError(f"group={size} does not divide in={flat.shape[1]}; use a divisor or None")
    groups = flat.view(flat.shape[0], -1, size)  # (N, G, group)
    scales = groups.abs().amax(-1).clamp(min=1e-12) / top  # (N, G)
    codes = (groups / scales.unsqueeze(-1)).round().clamp(-top, top)
    return codes.to(torch.int8).view(weight.shape), scales


class Int4Linear(_Packed):
    """A linear layer with 4-bit codes (N, K) and scales (N, K / group); see `int4_matmul`."""

    codes: Tensor
    scales: Tensor

    def __init__(
        self, codes: Tensor, scales: Tensor, group: int | None = None, bias: Tensor | None = None
    ) -> None:
        super().__init__()
        packed = int4_matmul.pack(codes.flatten(1), scales, group)
        self._hold(bias, codes=packed.codes, scales=packed.scales)
        self.out_features, self.in_features, self.group = packed.n, packed.k, packed.group

    @classmethod
    def from_dense(cls, layer: nn.Linear, group: int | None = None) -> Self:
        """Round a dense layer to the nearest codes in [-7, 7]."""
        return cls(*_nearest(layer.weight, 4, group), group, layer.bias)

    @property
    def packed(self) -> int4_matmul.PackedInt4:
        """The weight as the kernel takes it."""
        return int4_matmul.PackedInt4(
            self.codes, self.scales, self.out_features, self.in_features, self.group
        )

    def forward(self, x: Tensor) -> Tensor:
        """(..., K) -> (..., N)."""
        return int4_matmul.int4_matmul(x, self.packed, self.bias)

    def simulate(self, x: Tensor) -> Tensor:
        """The same arithmetic in plain torch."""
        y = int4_matmul.reference(x, *int4_matmul.unpack(self.packed), self.group)
        return y if self.bias is None else y + self.bias


class Int8Linear(_Packed):
    """A linear layer with 8-bit codes (N, K) and scales (N,); see `int8_matmul`."""

    codes: Tensor
    scales: Tensor

    def __init__(self, codes: Tensor, scales: Tensor, bias: Tensor | None = None) -> None:
        super().__init__()
        packed = int8_matmul.pack(codes.flatten(1), scales)
        self._hold(bias, codes=packed.codes, scales=packed.scales)
        self.out_features, self.in_features = packed.n, packed.k

    @classmethod
    def from_dense(cls, layer: nn.Linear) -> Self:
        """Round a dense layer to the nearest codes in [-127, 127]."""
        return cls(*_nearest(layer.weight, 8, None), layer.bias)

    @property
    def packed(self) -> int8_matmul.PackedInt8:
        """The weight as the kernel takes it."""
        return int8_matmul.PackedInt8(self.codes, self.scales, self.out_features, self.in_features)

    def forward(self, x: Tensor) -> Tensor:
        """(..., K) -> (..., N)."""
        return int8_matmul.int8_matmul(x, self.packed, self.bias)

    def simulate(self, x: Tensor) -> Tensor:
        """The same arithmetic in plain torch."""
        y = int8_matmul.reference(x, *int8_matmul.unpack(self.packed))
        return y if self.bias is None else y + self.bias


class CsrLinear(_Packed):
    """A linear layer that keeps only the non-zeros of weight (N, K); see `csr_spmm`."""

    values: Tensor
    columns: Tensor
    starts: Tensor

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        super().__init__()
        packed = csr_spmm.pack(weight.detach().flatten(1))
        self._hold(bias, values=packed.values, columns=packed.columns, starts=packed.starts)
        self.out_features, self.in_features, self.block = packed.n, packed.k, packed.block

    @classmethod
    def from_dense(cls, layer: nn.Linear, keep: Tensor | None = None) -> Self:
        """Keep the weights of a dense layer where keep (N, K) is true, or its non-zeros."""
        return cls(layer.weight if keep is None else layer.weight * keep, layer.bias)

    @property
    def packed(self) -> csr_spmm.PackedCsr:
        """The weight as the kernel takes it."""
        tables = (self.values, self.columns, self.starts)
        return csr_spmm.PackedCsr(*tables, self.out_features, self.in_features, self.block)

    def forward(self, x: Tensor) -> Tensor:
        """(..., K) -> (..., N)."""
        return csr_spmm.csr_spmm(x, self.packed, self.bias)

    def simulate(self, x: Tensor) -> Tensor:
        """The same arithmetic in plain torch."""
        return F.linear(x, csr_spmm.unpack(self.packed), self.bias)


class StripeConv2d(_Packed):
    """A convolution that keeps only some stripes of its filters; see `stripe_conv2d`."""

    values: Tensor
    filters: Tensor
    starts: Tensor

    def __init__(
        self,
        weight: Tensor,
        keep: Tensor,
        bias: Tensor | None = None,
        stride: Pair = 1,
        padding: Pair = 0,
        dilation: Pair = 1,
    ) -> None:
        super().__init__()
        packed = stripe_conv2d.pack(weight, keep)
        self._hold(bias, values=packed.values, filters=packed.filters, starts=packed.starts)
        self.shape = packed.shape
        self.stride, self.padding, self.dilation = stride, padding, dilation

    @classmethod
    def from_dense(cls, layer: nn.Conv2d, keep: Tensor) -> Self:
        """Keep the stripes of a dense convolution where keep (N, Kh, Kw) is true."""
        return cls(layer.weight, keep, layer.bias, **geometry(layer))

    @property
    def packed(self) -> stripe_conv2d.PackedStripes:
        """The weight as the kernel takes it."""
        return stripe_conv2d.PackedStripes(self.values, self.filters, self.starts, self.shape)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, N, H', W')."""
        return stripe_conv2d.stripe_conv2d(
            x, self.packed, self.bias, self.stride, self.padding, self.dilation
        )

    def simulate(self, x: Tensor) -> Tensor:
        """The same arithmetic in plain torch."""
        weight, _ = stripe_conv2d.unpack(self.packed)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding, self.dilation)


class Int4Conv2d(_Packed):
    """A convolution with 4-bit codes (N, C, Kh, Kw); scales (N, groups) run over C * Kh * Kw."""

    codes: Tensor
    scales: Tensor

    def __init__(
        self,
        codes: Tensor,
        scales: Tensor,
        group: int | None = None,
        bias: Tensor | None = None,
        stride: Pair = 1,
        padding: Pair = 0,
        dilation: Pair = 1,
    ) -> None:
        super().__init__()
        packed = int4_matmul.pack(codes.flatten(1), scales, group)
        self._hold(bias, codes=packed.codes, scales=packed.scales)
        self.n, self.k, self.group = packed.n, packed.k, packed.group
        self.kernel = (codes.shape[2], codes.shape[3])
        self.stride, self.padding, self.dilation = stride, padding, dilation

    @classmethod
    def from_dense(cls, layer: nn.Conv2d, group: int | None = None) -> Self:
        """Round a dense convolution to the nearest codes in [-7, 7]."""
        codes, scales = _nearest(layer.weight, 4, group)
        return cls(codes, scales, group, layer.bias, **geometry(layer))

    @property
    def packed(self) -> int4_matmul.PackedInt4:
        """The weight as the kernel takes it."""
        return int4_matmul.PackedInt4(self.codes, self.scales, self.n, self.k, self.group)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, N, H', W')."""
        return int4_conv2d(
            x, self.packed, self.kernel, self.bias, self.stride, self.padding, self.dilation
        )

    def simulate(self, x: Tensor) -> Tensor:
        """The same arithmetic in plain torch."""
        codes, scales = int4_matmul.unpack(self.packed)
        around = (self.stride, self.padding, self.dilation)
        taken = sizes("Int4Conv2d", self.kernel, *around)
        y = reference_conv2d(x, codes, scales, self.group, taken)
        return y if self.bias is None else y + self.bias[:, None, None]


class CsrConv2d(_Packed):
    """A convolution that keeps only the non-zeros of weight (N, C, Kh, Kw)."""

    values: Tensor
    columns: Tensor
    starts: Tensor

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Pair = 1,
        padding: Pair = 0,
        dilation: Pair = 1,
    ) -> None:
        super().__init__()
        packed = csr_spmm.pack(weight.detach().flatten(1))
        self._hold(bias, values=packed.values, columns=packed.columns, starts=packed.starts)
        self.n, self.k, self.block = packed.n, packed.k, packed.block
        self.kernel = (weight.shape[2], weight.shape[3])
        self.stride, self.padding, self.dilation = stride, padding, dilation

    @classmethod
    def from_dense(cls, layer: nn.Conv2d, keep: Tensor | None = None) -> Self:
        """Keep the weights of a dense convolution where keep is true, or its non-zeros."""
        weight = layer.weight if keep is None else layer.weight * keep
        return cls(weight, layer.bias, **geometry(layer))

    @property
    def packed(self) -> csr_spmm.PackedCsr:
        """The weight as the kernel takes it."""
        tables = (self.values, self.columns, self.starts)
        return csr_spmm.PackedCsr(*tables, self.n, self.k, self.block)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, N, H', W')."""
        return csr_conv2d(
            x, self.packed, self.kernel, self.bias, self.stride, self.padding, self.dilation
        )

    def simulate(self, x: Tensor) -> Tensor:
        """The same arithmetic in plain torch."""
        weight = csr_spmm.unpack(self.packed).view(self.n, -1, *self.kernel)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding, self.dilation)


def geometry(layer: nn.Conv2d) -> dict[str, tuple[int, int]]:
    """Stride, padding and dilation of a convolution that these modules can stand in for.

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
    return (value, value) if isinstance(value, int) else (value[0], value[1])
