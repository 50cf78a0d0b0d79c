"""pq_embedding on every instruction set: the bits of the reference, the gradient of the books."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from octavo.errors import InputError
from octavo.kernels import load_packed, runtime
from octavo.kernels.pq_embedding import PackedPq, encode, pack, pq_embedding, reference

NATIVE = [name for name in runtime.backends() if name != runtime.REFERENCE]
some = settings(max_examples=40, deadline=None)

pytestmark = pytest.mark.skipif(not NATIVE, reason="native kernels are not built here")


def table(words: int, groups: int, size: int, piece: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    codes = torch.randint(0, size, (words, groups), generator=generator, dtype=torch.uint8)
    return codes, torch.randn(groups, size, piece, generator=generator)


def ids_of(words: int, *sizes: int, seed: int = 0) -> Tensor:
    return torch.randint(0, words, sizes, generator=torch.Generator().manual_seed(seed))


@some
@given(
    words=st.integers(1, 40),
    groups=st.integers(1, 9),
    size=st.integers(1, 256),
    piece=st.sampled_from([1, 2, 3, 4, 5, 8, 12, 16, 32, 33]),
    rows=st.lists(st.integers(0, 5), max_size=3),
)
def test_every_backend_gives_the_bits_of_the_reference(
    words: int, groups: int, size: int, piece: int, rows: list[int]
) -> None:
    codes, books = table(words, groups, size, piece)
    packed, ids = pack(codes, books), ids_of(words, *rows)
    expected = reference(ids, codes, books)
    for name in NATIVE:
        runtime.native.use(name)
        y = pq_embedding(ids, packed)
        assert y.shape == (*rows, groups * piece)
        assert torch.equal(y, expected)


@pytest.mark.parametrize("piece", [4, 8, 16])
def test_threads_and_streams_do_not_change_a_bit(isa: str, threads: int, piece: int) -> None:
    codes, books = table(50, 64, 256, piece)
    ids, packed = ids_of(50, 9000), pack(codes, books)  # more than the second-level cache
    assert torch.equal(pq_embedding(ids, packed), reference(ids, codes, books))


def test_strided_and_short_ids(isa: str) -> None:
    codes, books = table(9, 3, 7, 4)
    ids, packed = ids_of(9, 6, 8), pack(codes, books)
    assert torch.equal(pq_embedding(ids.T[::2], packed), reference(ids.T[::2], codes, books))
    assert torch.equal(pq_embedding(ids.int(), packed), pq_embedding(ids, packed))


def test_the_gradient_goes_to_the_pieces_that_were_used() -> None:
    codes, books = table(9, 3, 7, 4)
    ids = ids_of(9, 5, 2)
    ours, theirs = (books.clone().requires_grad_() for _ in range(2))
    upstream = torch.randn(5, 2, 12, generator=torch.Generator().manual_seed(1))
    pq_embedding(ids, PackedPq(codes, ours)).backward(upstream)
    reference(ids, codes, theirs).backward(upstream)
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_encoding_finds_the_pieces_again(isa: str) -> None:
    codes, books = table(20, 4, 50, 6)
    rows = reference(torch.arange(20), codes, books)
    assert torch.equal(encode(rows, books), codes)


def test_state_round_trip() -> None:
    packed = pack(*table(9, 3, 7, 4))
    tensors, meta = packed.state()
    again = load_packed(tensors, dict(meta))
    assert isinstance(again, PackedPq)
    assert all(torch.equal(a, b) for a, b in zip(again, packed, strict=True))
    with pytest.raises(InputError, match="version"):
        load_packed(tensors, {**meta, "version": 99})


def test_the_operation_passes_the_checks_of_torch() -> None:
    codes, books = table(9, 3, 7, 4)
    torch.library.opcheck(
        torch.ops.octavo.pq_embedding.default, (ids_of(9, 5), codes, books.requires_grad_()),
        test_utils=("test_schema", "test_autograd_registration", "test_faketensor"),
    )  # fmt: skip


def test_errors_at_the_door() -> None:
    codes, books = table(9, 3, 7, 4)
    packed = pack(codes, books)
    for bad in (9, -1):
        with pytest.raises(InputError, match="from 0 to 8"):
            pq_embedding(torch.tensor([0, bad]), packed)
    with pytest.raises(InputError, match="int64"):
        pq_embedding(torch.tensor([0.0]), packed)
    with pytest.raises(InputError, match="codes go from 0 to 6"):
        pack(torch.full_like(codes, 7), books)
    with pytest.raises(InputError, match="a book for each column"):
        pack(codes, books[:2])
    with pytest.raises(InputError, match="uint8"):
        pack(codes.long(), books)
    with pytest.raises(InputError, match="3 x 4 long"):
        encode(torch.ones(2, 11), books)
