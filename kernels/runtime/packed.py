"""What the modules of packed layers share: buffers, bytes on disk, the place of a convolution."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from octavo.errors import InputError
from octavo.kernels.runtime.geometry import Pair


class Packed(nn.Module):
    """A module whose weight is packed in buffers, so that it saves and moves like any module."""

    bias: Tensor | None

    def _hold(self, bias: Tensor | None, **tables: Tensor) -> None:
        """Register the packed tensors and the bias."""
        for name, table in tables.items():
            self.register_buffer(name, table)
        self.register_buffer("bias", None if bias is None else bias.detach().clone())

    def _hold_step(self, step: Tensor | None) -> None:
        """Register the step (1,) of the activations, or None."""
        held = None if step is None else step.detach().clone().reshape(1)
        self.register_buffer("step", held)

    def bytes_on_disk(self) -> int:
        """Bytes of everything in the state: codes or values, scales, indices, bias."""
        return sum(tensor.nbytes for tensor in self.state_dict().values())


class PackedConv2d(Packed):
    """A packed convolution: kernel (Kh, Kw), and where it is put on the image."""

    def _put(self, kernel: Sequence[int], stride: Pair, padding: Pair, dilation: Pair) -> None:
        """Take the kernel's extent, and how it moves over the image."""
        self.kernel = (int(kernel[0]), int(kernel[1]))
        self.stride, self.padding, self.dilation = stride, padding, dilation

    @property
    def place(self) -> tuple[Pair, Pair, Pair]:
        """Stride, padding, dilation: what follows the bias in a call."""
        return self.stride, self.padding, self.dilation


def nearest(weight: Tensor, bits: int, group: int | None) -> tuple[Tensor, Tensor]:
    """Round weight (N, ...) to the nearest symmetric codes (N, ...) int8, scales (N, groups).

    Raises:
        InputError: the group does not divide a row.
    """
    top = 2 ** (bits - 1) - 1
    flat = weight.detach().flatten(1)  # (N, K)
    size = group or flat.shape[1]
    if flat.shape[1] % size:
        raise InputError(f"group={size} does not divide in={flat.shape[1]}; use a divisor or None")
    groups = flat.view(flat.shape[0], -1, size)  # (N, G, group)
    scales = groups.abs().amax(-1).clamp(min=1e-12) / top  # (N, G)
    codes = (groups / scales.unsqueeze(-1)).round().clamp(-top, top)
    return codes.char().view(weight.shape), scales
