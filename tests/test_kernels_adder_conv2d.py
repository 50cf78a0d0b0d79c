"""adder_conv2d on every instruction set: two oracles, each gradient, and exact on codes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import within_two_oracles
from torch import Tensor

from octavo.errors import InputError
from octavo.kernels import load_packed, runtime
from octavo.kernels.adder_conv2d import adder_conv2d, codes, reference, reference_to_x
from octavo.kernels.runtime import geometry

NATIVE = [name for name in runtime.backends() if name != runtime.REFERENCE]
some = settings(max_examples=30, deadline=None)

pytestmark = pytest.mark.skipif(not NATIVE, reason="native kernels are not built here")


def normal(*sizes: int, seed: int = 0) -> Tensor:
    return torch.randn(sizes, generator=torch.Generator().manual_seed(seed))


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
    to_each = reference_to_x(grad.abs(), torch.full_like(x, -1e6), weight, sizes)
    for name in NATIVE:
        runtime.native.use(name)
        y = adder_conv2d(x, weight, bias, stride, padding, dilation)
        within_two_oracles(y, single, exact)
        to_x = torch.ops.octavo.adder_conv2d_to_x(grad, x, weight, sizes)
        within_two_oracles(to_x, single_x, exact_x, to_each)


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


def codes_of(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)


@some
@given(
    batch=st.integers(0, 2),
    c=st.integers(1, 20),
    n=st.integers(1, 70),
    size=st.tuples(st.integers(5, 13), st.integers(5, 13)),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.integers(1, 3),
    padding=st.integers(0, 2),
    dilation=st.integers(1, 2),
    zero=st.integers(0, 255),
)
def test_distances_of_codes_are_exact(
    batch: int,
    c: int,
    n: int,
    size: tuple[int, int],
    kernel: tuple[int, int],
    stride: int,
    padding: int,
    dilation: int,
    zero: int,
) -> None:
    x, filters = codes_of(batch, c, *size), codes_of(n, c, *kernel, seed=1)
    sizes = geometry.sizes("codes", kernel, stride, padding, dilation)
    exact, packed = codes.reference(x, filters, zero, sizes), codes.pack(filters)
    for name in NATIVE:
        runtime.native.use(name)
        assert torch.equal(codes.adder_conv2d_u8(x, packed, stride, padding, dilation, zero), exact)


def test_threads_and_layout_do_not_change_a_code(isa: str, threads: int) -> None:
    x, packed = codes_of(2, 64, 24, 24), codes.pack(codes_of(96, 64, 3, 3, seed=1))
    y = codes.adder_conv2d_u8(x, packed, padding=1, zero=9)
    torch.set_num_threads(1)
    last = x.contiguous(memory_format=torch.channels_last)
    assert torch.equal(y, codes.adder_conv2d_u8(last, packed, padding=1, zero=9))


def test_filters_of_codes_saved_and_loaded() -> None:
    filters = codes_of(40, 9, 3, 2)
    packed = load_packed(*codes.pack(filters).state())
    assert isinstance(packed, codes.PackedAdder)
    assert torch.equal(codes.unpack(packed), filters)
    x = codes_of(1, 9, 5, 5, seed=1)
    compiled = torch.compile(codes.adder_conv2d_u8, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(x, packed), codes.adder_conv2d_u8(x, packed))
    sizes = geometry.sizes("codes", (3, 2), 1, 0, 1)
    torch.library.opcheck(torch.ops.octavo.adder_conv2d_u8.default, (x, packed.codes, 40, 0, sizes))


def test_errors_at_the_door_of_codes() -> None:
    x, packed = codes_of(1, 2, 4, 4), codes.pack(codes_of(3, 2, 3, 3))
    for bad, zero in ((x.int(), 0), (x[0], 0), (x[:, :1], 0), (x, 256), (x[:, :, :2], 0)):
        with pytest.raises(InputError, match="adder_conv2d_u8"):
            codes.adder_conv2d_u8(bad, packed, zero=zero)
    for filters in (x.float(), x[0], x[:0]):
        with pytest.raises(InputError, match="adder_conv2d_u8"):
            codes.pack(filters)
