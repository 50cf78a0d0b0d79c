"""adder_conv2d on every instruction set: two oracles forward and for each gradient."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from octavo.errors import InputError
from octavo.kernels import runtime
from octavo.kernels.adder_conv2d import adder_conv2d, reference, reference_to_x
from octavo.kernels.runtime import geometry

NATIVE = [name for name in runtime.backends() if name != runtime.REFERENCE]
EPSILON = torch.finfo(torch.float32).eps
some = settings(max_examples=30, deadline=None)

pytestmark = pytest.mark.skipif(not NATIVE, reason="native kernels are not built here")


def normal(*sizes: int, seed: int = 0) -> Tensor:
    return torch.randn(sizes, generator=torch.Generator().manual_seed(seed))


def within_two_oracles(y: Tensor, single: Tensor, exact: Tensor) -> None:
    """Error against float64 at most twice that of the same maths in float32."""
    assert y.shape == exact.shape
    if y.numel():
        allowed = 2 * (single - exact).abs().max() + 8 * EPSILON * exact.abs().max()
        assert (y - exact).abs().max() <= allowed


@some
@given(
    batch=st.integers(0, 2),
    c=st.integers(1, 40),
    n=st.integers(1, 20),
    size=st.tuples(st.integers(5, 13), st.integers(5, 13)),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.integers(1, 3),
    padding=st.integers(0, 2),
    dilation=st.integers(1, 2),
)
def test_the_two_oracle_rule_holds(
    batch: int,
    c: int,
    n: int,
    size: tuple[int, int],
    kernel: tuple[int, int],
    stride: int,
    padding: int,
    dilation: int,
) -> None:
    sizes = geometry.sizes("adder_conv2d", kernel, stride, padding, dilation)
    x, weight, bias = normal(batch, c, *size), normal(n, c, *kernel, seed=1), normal(n, seed=2)
    whole = x.double(), weight.double()
    shift = bias[:, None, None]
    single, exact = reference(x, weight, sizes) + shift, reference(*whole, sizes) + shift
    grad = normal(*exact.shape, seed=3)
    single_x, exact_x = (
        reference_to_x(g, *inputs, sizes)
        for g, inputs in ((grad, (x, weight)), (grad.double(), whole))
    )
    for name in NATIVE:
        runtime.native.use(name)
        y = adder_conv2d(x, weight, bias, stride, padding, dilation)
        within_two_oracles(y, single, exact)
        to_x = torch.ops.octavo.adder_conv2d_to_x(grad, x, weight, sizes)
        within_two_oracles(to_x, single_x, exact_x)


def test_gradients_are_those_of_the_paper(isa: str) -> None:
    x, weight, bias = normal(2, 3, 6, 7), normal(5, 3, 3, 3, seed=1), normal(5, seed=2)
    leaves = [t.requires_grad_() for t in (x, weight, bias)]
    y = adder_conv2d(*leaves, stride=2, padding=1)
    grad = normal(*y.shape, seed=3)
    to_x, to_weight, to_bias = torch.autograd.grad(y, leaves, grad)
    sizes = geometry.sizes("adder_conv2d", 3, 2, 1, 1)
    torch.testing.assert_close(to_x, reference_to_x(grad, x, weight, sizes))
    patches = torch.nn.functional.unfold(x, 3, 1, 1, 2)  # (B, K, pixels)
    apart = patches.unsqueeze(1) - weight.flatten(1).unsqueeze(-1)  # (B, N, K, pixels)
    full = torch.einsum("bnp,bnkp->nk", grad.flatten(2), apart).view_as(weight)
    torch.testing.assert_close(to_weight, full, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(to_bias, grad.sum((0, 2, 3)))


def test_threads_and_strides_do_not_change_a_bit(isa: str, threads: int) -> None:
    x = normal(24, 24, 2, 24).permute(2, 3, 0, 1)  # enough work for the pool
    weight, grad = normal(3, 3, 32, 24, seed=1).permute(2, 3, 0, 1), normal(2, 32, 24, 24, seed=2)
    sizes = geometry.sizes("adder_conv2d", 3, 1, 1, 1)
    y = adder_conv2d(x, weight, padding=1)
    to_x = torch.ops.octavo.adder_conv2d_to_x(grad, x, weight, sizes)
    torch.set_num_threads(1)
    x, weight = x.contiguous(), weight.contiguous()
    assert torch.equal(y, adder_conv2d(x, weight, padding=1))
    assert torch.equal(to_x, torch.ops.octavo.adder_conv2d_to_x(grad, x, weight, sizes))


def test_equal_patches_are_at_no_distance(isa: str) -> None:
    x = normal(1, 5, 3, 3)
    assert torch.equal(adder_conv2d(x, x), torch.zeros(1, 1, 1, 1))
    assert bool((adder_conv2d(x, normal(7, 5, 3, 3, seed=1)) < 0).all())


def test_the_operation_passes_the_checks_of_torch() -> None:
    inputs = [t.requires_grad_() for t in (normal(1, 2, 5, 5), normal(3, 2, 3, 3), normal(3))]
    sizes = geometry.sizes("adder_conv2d", 3, 1, 1, 1)
    torch.library.opcheck(
        torch.ops.octavo.adder_conv2d.default, (*inputs, sizes),
        test_utils=("test_schema", "test_autograd_registration", "test_faketensor"),
    )  # fmt: skip


def test_an_adder_layer_learns() -> None:
    x, aim = normal(8, 2, 6, 6), normal(4, 2, 3, 3, seed=1)
    target = adder_conv2d(x, aim)
    weight = normal(4, 2, 3, 3, seed=2)

    def loss() -> Tensor:
        return (adder_conv2d(x, weight) - target).square().mean()

    before = loss().item()
    for _ in range(100):
        weight.requires_grad_()
        (step,) = torch.autograd.grad(loss(), weight)
        weight = (weight - 0.1 * step / step.norm()).detach()
    assert loss().item() < before / 2


def test_errors_at_the_door() -> None:
    x, weight = torch.ones(1, 2, 4, 4), torch.ones(3, 2, 3, 3)
    with pytest.raises(InputError, match="must be 2"):
        adder_conv2d(torch.ones(1, 3, 4, 4), weight)
    with pytest.raises(InputError, match="smaller"):
        adder_conv2d(torch.ones(1, 2, 2, 2), weight)
    with pytest.raises(InputError, match="weight is"):
        adder_conv2d(x, weight.double())
    with pytest.raises(InputError, match="bias"):
        adder_conv2d(x, weight, torch.ones(4))
    with pytest.raises(InputError, match="stride=0"):
        adder_conv2d(x, weight, stride=0)
