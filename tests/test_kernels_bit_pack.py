"""bit_pack on every instruction set: the reference's bytes, and the codes back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from octavo.errors import InputError
from octavo.kernels import runtime
from octavo.kernels.bit_pack import bit_pack, bit_unpack, reference, reference_unpack

NATIVE = [name for name in runtime.backends() if name != runtime.REFERENCE]
some = settings(max_examples=60, deadline=None)

pytestmark = pytest.mark.skipif(not NATIVE, reason="native kernels are not built here")


def codes_of(sizes: list[int], bits: int, signed: bool, seed: int = 0) -> Tensor:
    low = -(2 ** (bits - 1)) if signed else 0
    dtype, generator = torch.int8 if signed else torch.uint8, torch.Generator().manual_seed(seed)
    return torch.randint(low, low + 2**bits, sizes, generator=generator, dtype=dtype)


@some
@given(
    rows=st.lists(st.integers(0, 4), max_size=2),
    n=st.integers(0, 300),
    bits=st.sampled_from([1, 2, 4]),
    signed=st.booleans(),
    seed=st.integers(0, 999),
)
def test_bytes_are_those_of_the_reference_and_codes_come_back(
    rows: list[int], n: int, bits: int, signed: bool, seed: int
) -> None:
    codes = codes_of([*rows, n], bits, signed, seed)
    expected = reference(codes, bits)
    assert torch.equal(reference_unpack(expected, bits, n, signed), codes)
    for name in NATIVE:
        runtime.native.use(name)
        packed = bit_pack(codes, bits)
        assert torch.equal(packed, expected)
        again = bit_unpack(packed, bits, n, signed)
        assert again.dtype == codes.dtype
        assert torch.equal(again, codes)


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("n", [1001, 1 << 23])
def test_threads_and_streams_do_not_change_a_byte(
    isa: str, threads: int, bits: int, n: int
) -> None:
    codes = codes_of([8_400_000 // n, n], bits, signed=True)  # enough work for the pool
    packed = bit_pack(codes, bits)
    assert torch.equal(bit_unpack(packed, bits, n, signed=True), codes)
    torch.set_num_threads(1)
    assert torch.equal(packed, bit_pack(codes, bits))


def test_single_bits_are_packed_as_numpy_does(isa: str) -> None:
    codes = codes_of([3, 77], 1, signed=False)
    theirs = np.packbits(codes.numpy(), axis=-1, bitorder="little")
    assert np.array_equal(bit_pack(codes, 1).numpy(), theirs)


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("place", [0, 63, 64, 130])
def test_a_code_of_more_bits_is_refused_wherever_it_stands(isa: str, bits: int, place: int) -> None:
    for signed, bad in ((False, 2**bits), (True, 2 ** (bits - 1)), (True, -(2**bits))):
        codes = torch.zeros(131, dtype=torch.int8 if signed else torch.uint8)
        codes[place] = bad
        with pytest.raises(InputError, match=f"more than {bits} bits"):
            bit_pack(codes, bits)


def test_strided_codes(isa: str) -> None:
    codes = codes_of([90, 8], 4, signed=False).T[::2]
    assert torch.equal(bit_pack(codes, 4), reference(codes.contiguous(), 4))


def test_the_operations_pass_the_checks_of_torch() -> None:
    codes = codes_of([2, 9], 4, signed=True)
    for op, inputs in (
        (torch.ops.octavo.bit_pack.default, (codes, 4)),
        (torch.ops.octavo.bit_unpack.default, (reference(codes, 4), 4, 9, True)),
    ):
        torch.library.opcheck(op, inputs, test_utils=("test_schema", "test_faketensor"))


def test_errors_at_the_door() -> None:
    codes = torch.zeros(9, dtype=torch.uint8)
    with pytest.raises(InputError, match="use 1, 2 or 4"):
        bit_pack(codes, 3)
    with pytest.raises(InputError, match="uint8"):
        bit_pack(codes.int(), 4)
    with pytest.raises(InputError, match="9 codes of 4 bits take 5"):
        bit_unpack(codes, 4, 9)
    with pytest.raises(InputError, match="uint8"):
        bit_pack(torch.tensor(1, dtype=torch.uint8), 4)
