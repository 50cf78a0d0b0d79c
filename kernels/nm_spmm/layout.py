"""How nm_spmm lays a weight out, and back; and which N:M pattern a weight has.

Outputs stand in panels of 16; a last panel that is not full is filled with zeros.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from octavo.errors import InputError

PANEL = 16
BLOCK = 1024  # inputs that one row of `starts` covers
Tables = tuple[Tensor, Tensor, Tensor]  # values, places, starts


class Pattern(NamedTuple):
    """At most n of each m inputs, shared by `vector` outputs; n, m are None where it is free."""

    n: int | None
    m: int | None
    vector: int

    def __str__(self) -> str:
        shared = "" if self.vector == 1 else f"{self.vector}x1"
        return shared if self.n is None else f"{self.n}:{self.m} {shared}".strip()


def patterns(keep: Tensor) -> list[Pattern]:
    """The patterns that keep (N, K) bool has exactly, the one for CPUs first.

    N:M: every whole group of m inputs keeps n, and n < m. 16x1: each 16 outputs keep the same
    inputs, and some are pruned.

    >>> patterns(torch.tensor([[True, False, False, True]]))
    [Pattern(n=2, m=4, vector=1)]
    """
    found = []
    rows = torch.cat((keep, keep[-1:].expand(-len(keep) % PANEL, -1)))  # whole panels
    panels = rows.view(-1, PANEL, keep.shape[1])
    if len(keep) >= PANEL and not keep.all() and bool((panels == panels[:, :1]).all()):
        found.append(Pattern(None, None, PANEL))
    for m in (4, 8, 16):
        whole = keep.shape[1] // m * m
        counts = keep[:, :whole].reshape(len(keep), -1, m).sum(-1)  # (N, groups)
        n = int(counts[0, 0]) if counts.numel() else m
        rest = keep[:, whole:].sum(1)
        if 0 < n < m and bool((counts == n).all()) and bool((rest <= n).all()):
            return [*found, Pattern(n, m, 1)]
    return found


def check_pattern(op: str, weight: Tensor, n: int, m: int, vector: int) -> None:
    """Check that of each m inputs at most n are not zero, in any of `vector` outputs.

    Raises:
        InputError: more are; the first such output and its group are named.
    """
    kept = F.pad(weight != 0, (0, -weight.shape[1] % m, 0, -len(weight) % vector))
    counts = kept.view(-1, vector, kept.shape[1]).any(1).view(-1, kept.shape[1] // m, m).sum(-1)
    wrong = (counts > n).nonzero()
    if len(wrong):
        row, group = wrong[0].tolist()
        where = f"row {row}" if vector == 1 else f"rows {row * vector} to {(row + 1) * vector - 1}"
        raise InputError(
            f"{op}: {where}, inputs {group * m} to {group * m + m - 1}: "
            f"{int(counts[row, group])} are not zero; {n}:{m} allows {n}"
        )


def own(weight: Tensor, n: int, m: int) -> Tables:
    """Tables of a weight (N, K) whose every output has its own pattern n:m."""
    rows, k = weight.shape
    filled = F.pad(weight, (0, -k % m, 0, -rows % PANEL))
    groups = filled.view(len(filled), -1, m)  # (N', G, m)
    place = kept_places(groups, n)
    values = groups.gather(-1, place)
    panels = len(filled) // PANEL
    by_panel = values.view(panels, PANEL, -1).transpose(1, 2)  # (panels, G * n, 16)
    return by_panel.contiguous(), _words(place.view(panels, PANEL, -1), m), torch.zeros(0).int()


def kept_places(groups: Tensor, n: int) -> Tensor:
    """Where in each of the groups (N, G, m) the n kept inputs are, in their order: (N, G, n).

    >>> kept_places(torch.tensor([[[0, 5, 0, 7], [0, 0, 0, 0]]]), 2).tolist()
    [[[1, 3], [0, 1]]]
    """
    order = torch.argsort((groups == 0).to(torch.uint8), dim=-1, stable=True)
    return order[..., :n].sort(-1).values


def _words(place: Tensor, m: int) -> Tensor:
    """Places (panels, 16, slots) in words (panels, words, 16) int32, the first slot lowest."""
    bits = _bits(m)
    each = 32 // bits
    filled = F.pad(place, (0, -place.shape[-1] % each))
    filled = filled.view(*place.shape[:2], -1, each)  # (panels, 16, words, each)
    words = (filled << (bits * torch.arange(each))).sum(-1)  # (panels, 16, words)
    signed = torch.where(words >= 2**31, words - 2**32, words)
    return signed.to(torch.int32).transpose(1, 2).contiguous()


def _bits(m: int) -> int:
    """Bits of one place in a group of m."""
    return 2 if m == 4 else 4


def spread_own(values: Tensor, places: Tensor, n: int, m: int) -> Tensor:
    """The dense weight (panels * 16, groups * m) of `own` tables."""
    panels, slots, _ = values.shape
    bits = _bits(m)
    shifts = bits * torch.arange(32 // bits)
    words = places.transpose(1, 2).unsqueeze(-1)  # (panels, 16, words, 1)
    place = (words >> shifts & (1 << bits) - 1).flatten(2)[..., :slots].long()
    dense = torch.zeros(panels * PANEL, slots // n, m)
    rows = values.transpose(1, 2).reshape(panels * PANEL, -1, n)
    dense.scatter_add_(-1, place.reshape(rows.shape), rows)
    return dense.flatten(1)


def share(weight: Tensor) -> Tables:
    """Tables of a weight (N, K): each 16 outputs keep the inputs that any of them does."""
    rows, k = weight.shape
    filled = F.pad(weight, (0, -k % BLOCK, 0, -rows % PANEL))
    panels = len(filled) // PANEL
    # (blocks, panels, 1024, 16)
    cut = filled.view(panels, PANEL, -1, BLOCK).permute(2, 0, 3, 1)
    kept = (cut != 0).any(-1)  # (blocks, panels, 1024)
    ends = kept.sum(-1).flatten().cumsum(0)  # (blocks * panels,)
    all_ends = torch.cat((torch.zeros(1, dtype=ends.dtype), ends))
    starts = torch.stack([all_ends[b * panels : (b + 1) * panels + 1] for b in range(len(cut))])
    return cut[kept].contiguous(), kept.nonzero()[:, 2].to(torch.int16), starts.to(torch.int32)


def spread_shared(values: Tensor, places: Tensor, starts: Tensor) -> Tensor:
    """The dense weight (panels * 16, blocks * 1024) of `share` tables."""
    blocks, panels = starts.shape[0], starts.shape[1] - 1
    counts = starts.diff(dim=1).flatten().long()
    piece = torch.arange(blocks * panels).repeat_interleave(counts, output_size=len(places))
    cut = torch.zeros(blocks * panels, BLOCK, PANEL)
    cut[piece, places.long()] = values
    by_panel = cut.view(blocks, panels, BLOCK, PANEL).permute(1, 3, 0, 2)
    return by_panel.reshape(panels * PANEL, blocks * BLOCK)
