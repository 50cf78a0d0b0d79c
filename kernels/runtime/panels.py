"""The layout that the integer kernels share: panels of 64 output columns.

A panel holds, for each step of 4 inputs, 64 columns x 4 bytes. A 512-bit register takes 16 columns
of it, a 256-bit one 8, a 128-bit one 4: the same bytes serve every instruction set. Codes are
stored unsigned (code + offset), activations stay signed, so the correction is one
`offset * sum(x)` a row and group.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

COLUMNS = 64


def round_up(value: int, step: int) -> int:
    """The next multiple of step.

    >>> round_up(65, 64)
    128
    """
    return -(-value // step) * step


def to_panels(codes: Tensor, step: int, offset: int) -> Tensor:
    """Lay codes (N, K) out as (panels, K'/4, 64, 4) uint8, K' the next multiple of step."""
    n, k = codes.shape
    padded = F.pad(codes, (0, round_up(k, step) - k, 0, round_up(n, COLUMNS) - n))
    unsigned = (padded.to(torch.int16) + offset).to(torch.uint8)
    panels = unsigned.view(-1, COLUMNS, padded.shape[1] // 4, 4)  # (P, 64, K'/4, 4)
    return panels.transpose(1, 2).contiguous()


def from_panels(panels: Tensor, n: int, k: int, offset: int) -> Tensor:
    """The codes (n, k) int8 behind panels (P, K'/4, 64, 4)."""
    rows = panels.transpose(1, 2).reshape(-1, panels.shape[1] * 4)  # (N', K')
    return (rows[:n, :k].to(torch.int16) - offset).to(torch.int8)


def scales_to_panels(scales: Tensor) -> Tensor:
    """Lay scales (N, G) out as (panels, G, 64)."""
    n, groups = scales.shape
    padded = F.pad(scales, (0, 0, 0, round_up(n, COLUMNS) - n))
    return padded.view(-1, COLUMNS, groups).transpose(1, 2).contiguous()


def scales_from_panels(panels: Tensor, n: int) -> Tensor:
    """The scales (n, G) behind panels (P, G, 64)."""
    return panels.transpose(1, 2).reshape(-1, panels.shape[1])[:n].contiguous()
