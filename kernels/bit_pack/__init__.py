"""Put codes of 4, 2 or 1 bits side by side in bytes, and take them out again.

    byte[i] = sum over j < 8 / bits of  (code[i * 8 / bits + j] mod 2^bits) * 2^(bits j)

    symbol  in code   shape, type
    code    codes     (..., n) uint8 in [0, 2^bits), or int8 in [-2^(bits-1), 2^(bits-1))
    byte    packed    (..., ceil(n * bits / 8)) uint8

The first code takes the lowest bits. Each row starts on a byte of its own; what is left of its last
byte is zero. The order is that of `numpy.packbits(..., bitorder="little")` for 1 bit, and the same
on every instruction set.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from octavo.errors import InputError
from octavo.kernels import runtime
from octavo.kernels.runtime import door
from octavo.kernels.runtime.operation import define

WIDTHS = (1, 2, 4)


def reference(codes: Tensor, bits: int) -> Tensor:
    """The oracle of packing, in torch: (..., n) -> (..., bytes)."""
    each, n = 8 // bits, codes.shape[-1]
    whole = F.pad(codes.int() & (2**bits - 1), (0, -n % each))
    groups = whole.view(*codes.shape[:-1], -(-n // each), each)  # (..., bytes, each)
    return (groups << (torch.arange(each) * bits)).sum(-1).to(torch.uint8)


def reference_unpack(packed: Tensor, bits: int, n: int, signed: bool) -> Tensor:
    """The oracle of unpacking, in torch: (..., bytes) -> (..., n)."""
    each, half = 8 // bits, 2 ** (bits - 1) if signed else 0
    parts = packed.int().unsqueeze(-1) >> (torch.arange(each) * bits)  # (..., bytes, each)
    codes: Tensor = ((parts & (2**bits - 1)).flatten(-2)[..., :n] ^ half) - half
    return codes.to(torch.int8 if signed else torch.uint8)


def bit_pack(codes: Tensor, bits: int) -> Tensor:
    """Pack codes (..., n), uint8 or signed int8: (..., ceil(n * bits / 8)) uint8.

    Raises:
        InputError: bits are not 1, 2 or 4, wrong dtype or device, a code that needs more bits.

    >>> bit_pack(torch.tensor([1, 2, 15], dtype=torch.uint8), 4).tolist()
    [33, 15]
    """
    _check(codes, "codes", (torch.uint8, torch.int8), bits)
    if door.takes_short_way(codes, None):
        return _run(codes, bits)
    op: Tensor = torch.ops.octavo.bit_pack(codes, bits)
    return op


def bit_unpack(packed: Tensor, bits: int, n: int, signed: bool = False) -> Tensor:
    """The n codes of each row of packed (..., bytes) uint8: (..., n) uint8, or int8 if signed.

    Raises:
        InputError: bits are not 1, 2 or 4, wrong dtype or device, rows that do not hold n codes.

    >>> bit_unpack(torch.tensor([33, 15], dtype=torch.uint8), 4, 3, signed=True).tolist()
    [1, 2, -1]
    """
    _check(packed, "packed", (torch.uint8,), bits)
    if n < 0 or packed.shape[-1] != -(-n * bits // 8):
        raise InputError(
            f"bit_pack: packed has rows of {packed.shape[-1]} bytes; {n} codes of {bits} bits "
            f"take {-(-n * bits // 8)}"
        )
    if door.takes_short_way(packed, None):
        return _run_unpack(packed, bits, n, signed)
    op: Tensor = torch.ops.octavo.bit_unpack(packed, bits, n, signed)
    return op


def _check(tensor: Tensor, name: str, allowed: tuple[torch.dtype, ...], bits: int) -> None:
    if bits not in WIDTHS:
        raise InputError(f"bit_pack: bits={bits}; use 1, 2 or 4")
    if tensor.dtype not in allowed or tensor.device.type not in ("cpu", "meta") or not tensor.dim():
        raise InputError(
            f"bit_pack: {name} is {tensor.dtype} {tuple(tensor.shape)} on {tensor.device}; it must "
            f"be {' or '.join(map(str, allowed))} (..., n) on the CPU"
        )


def _run(codes: Tensor, bits: int) -> Tensor:
    """Pack on the backend in use."""
    signed = codes.dtype == torch.int8
    if runtime.is_native():
        packed, codes = _fake(codes, bits), codes.contiguous()
        fits = runtime.native.bit_pack(codes, packed, bits, signed, runtime.threads())
    else:
        packed = reference(codes, bits)
        fits = torch.equal(reference_unpack(packed, bits, codes.shape[-1], signed), codes)
    if not fits:
        low = -(2 ** (bits - 1)) if signed else 0
        raise InputError(
            f"bit_pack: a code needs more than {bits} bits; {codes.dtype} codes go from {low} to "
            f"{low + 2**bits - 1}"
        )
    return packed


def _fake(codes: Tensor, bits: int) -> Tensor:
    """The shape of the bytes, for tracing."""
    return codes.new_empty((*codes.shape[:-1], -(-codes.shape[-1] * bits // 8)), dtype=torch.uint8)


def _run_unpack(packed: Tensor, bits: int, n: int, signed: bool) -> Tensor:
    """Unpack on the backend in use."""
    if not runtime.is_native():
        return reference_unpack(packed, bits, n, signed)
    codes = _fake_unpack(packed, bits, n, signed)
    runtime.native.bit_unpack(packed.contiguous(), codes, bits, signed, runtime.threads())
    return codes


def _fake_unpack(packed: Tensor, bits: int, n: int, signed: bool) -> Tensor:
    """The shape of the codes, for tracing."""
    return packed.new_empty((*packed.shape[:-1], n), dtype=torch.int8 if signed else torch.uint8)


define("bit_pack(Tensor codes, int bits) -> Tensor", _run, _fake)
define(
    "bit_unpack(Tensor packed, int bits, int n, bool signed) -> Tensor", _run_unpack, _fake_unpack
)
