"""pq_matmul on every instruction set: the same bits, exact where tables are, within its bound."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import EPSILON, within_two_oracles
from torch import Tensor

from octavo.errors import InputError
from octavo.kernels import load_packed, runtime
from octavo.kernels.pq_matmul import (
    PackedPqWeight,
    error_bound,
    pack,
    pq_matmul,
    reference,
    unpack,
    weight,
)

NATIVE = [name for name in runtime.backends() if name != runtime.REFERENCE]
some = settings(max_examples=40, deadline=None)
sizes = st.tuples(st.integers(1, 20), st.integers(1, 150), st.integers(1, 40), st.integers(1, 9))

pytestmark = pytest.mark.skipif(not NATIVE, reason="native kernels are not built here")


def layer(n: int, groups: int, piece: int, size: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    codes = torch.randint(0, size, (n, groups), generator=generator, dtype=torch.uint8)
    return codes, torch.randn(groups, size, piece, generator=generator)


def rows(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def on_each_isa(x: Tensor, packed: PackedPqWeight) -> list[Tensor]:
    answers = []
    for name in NATIVE:
        runtime.native.use(name)
        answers.append(pq_matmul(x, packed))
    return answers


@some
@given(shape=sizes, size=st.integers(1, 16), seed=st.integers(0, 999))
def test_tables_of_8_bits_stay_within_their_bound(
    shape: tuple[int, int, int, int], size: int, seed: int
) -> None:
    m, n, groups, piece = shape
    packed = pack(*layer(n, groups, piece, size, seed))
    x = rows(m, groups * piece, seed=seed)
    exact = x.double() @ weight(packed).double().T
    first, *others = on_each_isa(x, packed)
    assert all(torch.equal(first, other) for other in others)
    allowed = error_bound(x, packed) * (1 + 1e-5) + 8 * EPSILON * exact.abs().amax(1)
    assert bool(((first - exact).abs().amax(1) <= allowed).all())


@some
@given(shape=sizes, size=st.integers(17, 256), seed=st.integers(0, 999))
def test_float_tables_keep_the_two_oracle_rule(
    shape: tuple[int, int, int, int], size: int, seed: int
) -> None:
    m, n, groups, piece = shape
    codes, books = layer(n, groups, piece, size, seed)
    x = rows(m, groups * piece, seed=seed)
    single, exact = reference(x, codes, books), reference(x.double(), codes, books.double())
    first, *others = on_each_isa(x, pack(codes, books))
    assert all(torch.equal(first, other) for other in others)
    within_two_oracles(first, single, exact, x.abs() @ weight(pack(codes, books)).abs().T)


@some
@given(m=st.integers(1, 9), n=st.integers(1, 200), groups=st.integers(1, 600))
def test_integers_are_exact(m: int, n: int, groups: int) -> None:
    codes, _ = layer(n, groups, 1, 16, seed=n)
    books = torch.arange(-8, 8.0).view(1, 16, 1).repeat(groups, 1, 1)
    x = torch.randint(-15, 16, (m, groups), generator=torch.Generator().manual_seed(m)).float()
    books[0, int(codes[0, 0])], x[:, 0] = 127.0, 1.0  # the largest of every row: a step of 1
    packed = pack(codes, books)
    exact = (x.double() @ weight(packed).double().T).float()
    for y in on_each_isa(x, packed):
        assert torch.equal(y, exact)


def test_many_groups_overflow_nothing(isa: str) -> None:
    codes = torch.zeros(70, 5000, dtype=torch.uint8)
    packed = pack(codes, torch.full((5000, 16, 1), -1.0))
    assert torch.equal(pq_matmul(torch.ones(2, 5000), packed), torch.full((2, 70), -5000.0))


@pytest.mark.parametrize("size", [16, 256])
@pytest.mark.parametrize("m", [1, 3, 40])
def test_threads_and_strides_do_not_change_a_bit(isa: str, threads: int, size: int, m: int) -> None:
    packed = pack(*layer(2048, 256, 4, size))
    x = rows(1024, m).T
    y = pq_matmul(x, packed)
    torch.set_num_threads(1)
    assert torch.equal(y, pq_matmul(x.contiguous(), packed))
    assert torch.equal(y[-1:], pq_matmul(x[-1:], packed))


@pytest.mark.parametrize("size", [5, 16, 100, 256])
def test_saved_and_loaded(isa: str, size: int, tmp_path: Path) -> None:
    codes, books = layer(70, 9, 3, size)
    packed = pack(codes, books)
    tensors, meta = packed.state()
    torch.save((tensors, meta), tmp_path / "packed.pt")
    again = load_packed(*torch.load(tmp_path / "packed.pt"))
    assert isinstance(again, PackedPqWeight)
    x, bias = rows(2, 3, 27), rows(70)
    assert torch.equal(pq_matmul(x, again, bias), pq_matmul(x, packed, bias))
    unpacked, padded = unpack(again)
    assert torch.equal(unpacked, codes)
    assert torch.equal(padded[:, :size], books)


@pytest.mark.parametrize("size", [16, 256])
def test_what_is_not_finite_shows(isa: str, size: int) -> None:
    packed = pack(*layer(66, 10, 2, size))
    x = rows(3, 20)
    x[0, 3], x[2, 0] = torch.nan, torch.inf
    y = pq_matmul(x, packed)
    assert bool(y[0].isnan().all())
    assert not bool(y[2].isfinite().any())
    assert torch.equal(y[1], pq_matmul(x[1], packed))


@pytest.mark.parametrize("size", [16, 256])
def test_nothing_comes_of_nothing(isa: str, size: int) -> None:
    packed, bias = pack(*layer(66, 10, 2, size)), rows(66)
    assert torch.equal(pq_matmul(torch.zeros(2, 20), packed, bias), bias.expand(2, -1))
    assert pq_matmul(torch.zeros(0, 20), packed).shape == (0, 66)


@pytest.mark.parametrize("size", [16, 256])
def test_the_gradient_is_that_of_the_dense_weight(size: int) -> None:
    packed = pack(*layer(7, 4, 2, size))
    x, bias = rows(3, 8).requires_grad_(), rows(7).requires_grad_()
    ours = torch.autograd.grad(pq_matmul(x, packed, bias).sum(), (x, bias))
    theirs = torch.autograd.grad((x @ weight(packed).T + bias).sum(), (x, bias))
    torch.testing.assert_close(ours, theirs)


def test_refusals_name_what_is_wrong() -> None:
    codes, books = layer(3, 4, 2, 16)
    for bad_codes, bad_books in (
        (codes.int(), books), (codes, books.double()), (codes[:, :3], books), (codes[:0], books),
        (codes, books.repeat(1, 17, 1)), (codes.clamp(min=3), books[:, :3]),
    ):  # fmt: skip
        with pytest.raises(InputError, match="pq_matmul"):
            pack(bad_codes, bad_books)
    packed = pack(codes, books)
    for x, bias in ((rows(2, 7), None), (rows(2, 8).double(), None), (rows(2, 8), rows(4))):
        with pytest.raises(InputError, match="pq_matmul"):
            pq_matmul(x, packed, bias)
    tensors, meta = packed.state()
    with pytest.raises(InputError, match="version"):
        load_packed(tensors, {**meta, "version": 9})
