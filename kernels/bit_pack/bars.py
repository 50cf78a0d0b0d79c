"""bit_pack against the same shifts in torch and, for single bits, numpy."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from octavo.kernels import roofline
from octavo.kernels.bars import Case, seeded
from octavo.kernels.bit_pack import bit_pack, bit_unpack
from octavo.kernels.curves import curve
from octavo.kernels.timing import Call

CODES = 1 << 20


def cases(quick: bool) -> Iterator[Case]:
    """A million codes: codes and bytes lie in the caches."""
    for bits in (4,) if quick else (4, 2, 1):
        codes = torch.randint(0, 2**bits, (CODES,), generator=seeded(), dtype=torch.uint8)
        yield _pack(codes, bits)
        yield _unpack(bit_pack(codes, bits), bits)


def crossovers(quick: bool) -> Iterator[dict[str, Any]]:
    """From a call's own cost to the rate of memory."""

    def calls(size: float) -> dict[str, Call]:
        codes = torch.randint(0, 16, (int(size),), generator=seeded(), dtype=torch.uint8)
        theirs = lambda: codes[::2] | codes[1::2] << 4  # noqa: E731
        return {"bit_pack": partial(bit_pack, codes, 4), "shifts": theirs}

    sizes = (64, 4096, 1 << 18) if quick else (16, 256, 4096, 1 << 14, 1 << 16, 1 << 18, 1 << 20)
    yield curve("4 bits, by codes", "codes", sizes, calls)


def _pack(codes: Tensor, bits: int) -> Case:
    each = 8 // bits

    def shifts() -> Tensor:
        byte = codes[::each]
        for j in range(1, each):
            byte = byte | codes[j::each] << (j * bits)
        return byte

    peers: dict[str, Call] = {"shifts": shifts}
    if bits == 1:
        peers["numpy packbits"] = lambda: np.packbits(codes.numpy(), bitorder="little")
    return _case("pack", bits, lambda: bit_pack(codes, bits), peers)


def _unpack(packed: Tensor, bits: int) -> Case:
    mask, places = 2**bits - 1, [j * bits for j in range(8 // bits)]
    peers: dict[str, Call] = {
        "shifts": lambda: torch.stack([packed >> p & mask for p in places], -1).flatten()
    }
    if bits == 1:
        peers["numpy unpackbits"] = lambda: np.unpackbits(packed.numpy(), bitorder="little")
    return _case("unpack", bits, lambda: bit_unpack(packed, bits, CODES), peers)


def _case(what: str, bits: int, ours: Call, peers: dict[str, Call]) -> Case:
    moved = CODES * (1 + bits / 8)
    return Case(
        "bit_pack",
        f"{what} {CODES} x {bits} bit",
        CODES,
        ours,
        peers,
        moved=moved,
        bar_id="K20-pack" if bits == 4 else None,
        limit=roofline.level(int(moved)),
    )
