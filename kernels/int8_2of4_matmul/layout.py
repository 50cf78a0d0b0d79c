"""How int8_2of4_matmul lays a weight out, and back."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from octavo.kernels.nm_spmm.layout import kept_places
from octavo.kernels.runtime.panels import COLUMNS

BLOCK = 16  # inputs
CODES, PLACES = 2 * COLUMNS * 4, 2 * COLUMNS  # bytes of a block
HEAD = 4 * COLUMNS  # bytes before the blocks
OFFSET = 128


def to_panels(codes: Tensor) -> Tensor:
    """Lay codes (N, K) int8, two of four, out as (panels, 256 + K'/16 * 640) uint8."""
    n, k = codes.shape
    filled = F.pad(codes, (0, -k % BLOCK, 0, -n % COLUMNS))
    groups = filled.view(len(filled), -1, 4)  # (N', K'/4, 4)
    place = kept_places(groups, 2)  # (N', K'/4, 2)
    kept = groups.gather(-1, place).view(-1, COLUMNS, filled.shape[1] // BLOCK, 2, 4)
    shifted = place.view(kept.shape) << (2 * torch.arange(4))
    places = shifted.sum(-1).to(torch.uint8)  # (P, 64, blocks, 2)
    sums = filled.view(-1, COLUMNS, filled.shape[1]).sum(-1, dtype=torch.int32)  # (P, 64)
    blocks = torch.cat(
        (
            kept.permute(0, 2, 3, 1, 4).flatten(2).contiguous().view(torch.uint8),
            places.permute(0, 2, 3, 1).flatten(2),
        ),
        -1,
    )  # (P, blocks, 640)
    return torch.cat(((-OFFSET * sums).view(torch.uint8), blocks.flatten(1)), 1).contiguous()


def from_panels(packed: Tensor) -> Tensor:
    """The codes (N', K') int8 behind panels (P, 256 + K'/16 * 640) uint8."""
    blocks = packed[:, HEAD:].reshape(len(packed), -1, CODES + PLACES)
    shape = (*blocks.shape[:2], 2, COLUMNS)
    kept = blocks[..., :CODES].contiguous().view(torch.int8).view(*shape, 2, 2)
    places = blocks[..., CODES:].reshape(*shape, 1)
    place = (places >> (2 * torch.arange(4, dtype=torch.uint8))) & 3  # (P, blocks, 2, 64, 4)
    groups = torch.zeros(*shape, 2, 4, dtype=torch.int8)
    groups.scatter_add_(-1, place.long().view(kept.shape), kept)
    rows = groups.permute(0, 3, 1, 2, 4, 5)  # (P, 64, blocks, 2, 2, 4)
    return rows.reshape(len(packed) * COLUMNS, -1)
