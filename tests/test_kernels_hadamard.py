"""hadamard on every instruction set: two oracles, its own inverse, its own gradient."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import within_two_oracles
from torch import Tensor

from octavo.errors import InputError
from octavo.kernels import runtime
from octavo.kernels.hadamard import hadamard, reference

NATIVE = [name for name in runtime.backends() if name != runtime.REFERENCE]
some = settings(max_examples=40, deadline=None)

pytestmark = pytest.mark.skipif(not NATIVE, reason="native kernels are not built here")


def rows(*sizes: int, seed: int = 0) -> Tensor:
    return torch.randn(sizes, generator=torch.Generator().manual_seed(seed))


@some
@given(m=st.integers(0, 5), log=st.integers(0, 14), seed=st.integers(0, 999))
def test_the_two_oracle_rule_holds(m: int, log: int, seed: int) -> None:
    x = rows(m, 1 << log, seed=seed)
    single, exact = reference(x, 0.3), reference(x.double(), 0.3)
    for name in NATIVE:
        runtime.native.use(name)
        within_two_oracles(hadamard(x, 0.3), single, exact, 0.3 * x.abs().sum(-1))


@pytest.mark.parametrize("d", [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096])
def test_it_is_its_own_inverse_and_keeps_lengths(isa: str, d: int) -> None:
    x = rows(3, d)
    y = hadamard(x)
    torch.testing.assert_close(hadamard(y), x, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(y.norm(dim=-1), x.norm(dim=-1))


@pytest.mark.parametrize("d", [2, 16, 128, 1024])
def test_the_matrix_is_that_of_the_recursion(isa: str, d: int) -> None:
    half = hadamard(torch.eye(d // 2), 1.0)
    whole = torch.cat((torch.cat((half, half), 1), torch.cat((half, -half), 1)))
    assert torch.equal(hadamard(torch.eye(d), 1.0), whole)


def test_threads_and_strides_do_not_change_a_bit(isa: str, threads: int) -> None:
    x = rows(256, 9, 1024).transpose(0, 1)[::2]  # enough work for the pool
    y = hadamard(x)
    torch.set_num_threads(1)
    assert torch.equal(y, hadamard(x.contiguous()))


def test_the_gradient_is_the_transform(isa: str) -> None:
    x = rows(4, 32).requires_grad_()
    upstream = rows(4, 32, seed=1)
    (ours,) = torch.autograd.grad(hadamard(x, 0.5), x, upstream)
    (theirs,) = torch.autograd.grad(reference(x, 0.5), x, upstream)
    torch.testing.assert_close(ours, theirs)


def test_the_operation_passes_the_checks_of_torch() -> None:
    torch.library.opcheck(
        torch.ops.octavo.hadamard.default, (rows(2, 8).requires_grad_(), 1.0),
        test_utils=("test_schema", "test_autograd_registration", "test_faketensor"),
    )  # fmt: skip


def test_an_outlier_is_spread() -> None:
    x = torch.zeros(128)
    x[5] = 128.0
    assert torch.equal(hadamard(x).abs(), torch.full((128,), 128 / 128**0.5))


@pytest.mark.parametrize("shape", [(2, 0), (2, 3), (5,), ()])
def test_lengths_that_are_no_power_of_two_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="hadamard"):
        hadamard(torch.zeros(shape))


def test_other_dtypes_are_refused() -> None:
    with pytest.raises(InputError, match="float32"):
        hadamard(torch.zeros(2, 4, dtype=torch.float64))
