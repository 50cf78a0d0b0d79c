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

from octavo.errors import InputError

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


def to_fields(codes: Tensor, bits: int, offset: int) -> Tensor:
    """Lay codes (N, K) of 1, 2 or 4 bits out as (panels, K'/(4 F), 64, 4) uint8, F a byte.

    Field f of a byte holds the input 4 f further on, so that each field of a register is a register
    of whole codes.
    """
    fields = 8 // bits
    wide = to_panels(codes, 4 * fields, offset)  # (P, K'/4, 64, 4)
    shifts = torch.arange(fields, dtype=torch.uint8).view(-1, 1, 1) * bits
    parts = wide.view(wide.shape[0], -1, fields, COLUMNS, 4) << shifts  # (P, K'/(4 F), F, 64, 4)
    return parts.sum(2, dtype=torch.uint8)


def from_fields(packed: Tensor, n: int, k: int, bits: int, offset: int) -> Tensor:
    """The codes (n, k) int8 behind fields (P, K'/(4 F), 64, 4)."""
    shifts = torch.arange(0, 8, bits, dtype=torch.uint8).view(-1, 1, 1)
    wide = (packed.unsqueeze(2) >> shifts) & (2**bits - 1)  # (P, K'/(4 F), F, 64, 4)
    return from_panels(wide.flatten(1, 2), n, k, offset)


def check_group(op: str, k: int, group: int | None, step: int, longest: int) -> int:
    """The group in inputs, None being the whole row, once it is known to fit.

    Raises:
        InputError: it does not divide K, is no multiple of step, or is longer than the sums allow.
    """
    if (group is None or group == k) and k <= longest:
        return k
    if group is None or group <= 0 or k % group or group % step or group > longest:
        fits = [g for g in (32, 64, 128, 256) if k % g == 0]
        use = ", ".join(map(str, fits)) or "None (the whole row)"
        raise InputError(f"{op}: group={group} does not divide in={k}; use {use}")
    return group


def check_scales(op: str, scales: Tensor, n: int, groups: int) -> None:
    """Check that scales are (n, groups) float32.

    Raises:
        InputError: they are not.
    """
    if scales.dtype != torch.float32 or scales.shape != (n, groups):
        raise InputError(
            f"{op}: scales are {scales.dtype} {tuple(scales.shape)}; "
            f"they must be float32 {(n, groups)}: one a row and group"
        )


def scales_to_panels(scales: Tensor) -> Tensor:
    """Lay scales (N, G) out as (panels, G, 64)."""
    n, groups = scales.shape
    padded = F.pad(scales, (0, 0, 0, round_up(n, COLUMNS) - n))
    return padded.view(-1, COLUMNS, groups).transpose(1, 2).contiguous()


def scales_from_panels(panels: Tensor, n: int) -> Tensor:
    """The scales (n, G) behind panels (P, G, 64)."""
    return panels.transpose(1, 2).reshape(-1, panels.shape[1])[:n].contiguous()
