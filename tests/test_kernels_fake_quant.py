"""fake_quant on every instruction set: the reference's bits forward, two oracles backward."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import EPSILON
from torch import Tensor

from octavo.errors import InputError
from octavo.kernels import fake_quant, runtime
from octavo.kernels.fake_quant import reference

NATIVE = [name for name in runtime.backends() if name != runtime.REFERENCE]
some = settings(max_examples=30, deadline=None)

pytestmark = pytest.mark.skipif(not NATIVE, reason="native kernels are not built here")


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def gradients(
    x: Tensor, scale: Tensor, grad: Tensor, low: int, high: int, zero: int, axis: int | None
) -> tuple[Tensor, Tensor]:
    leaves = [t.detach().clone().requires_grad_() for t in (x, scale)]
    y = fake_quant.fake_quant(leaves[0], leaves[1], low, high, zero, axis)
    return torch.autograd.grad(y, leaves, grad)


def oracle(
    x: Tensor, scale: Tensor, grad: Tensor, low: int, high: int, zero: int, axis: int | None
) -> tuple[Tensor, Tensor]:
    leaves = [t.detach().clone().requires_grad_() for t in (x, scale)]
    return torch.autograd.grad(reference(*leaves, low, high, zero, axis), leaves, grad)


def exact_scale_gradient(
    x: Tensor, scale: Tensor, grad: Tensor, low: int, high: int, zero: int, axis: int | None
) -> tuple[Tensor, Tensor]:
    """Sum in float64 of what float32 says an element adds, and of its magnitudes."""
    across = [1] * x.dim() if axis is None else [-1 if d == axis else 1 for d in range(x.dim())]
    v = x * scale.reciprocal().view(across)
    code = v.clamp(low - zero, high - zero).round()
    inside = (v > low - zero) & (v < high - zero)
    parts = torch.where(inside, code - v, code).double() * grad
    others = [d for d in range(x.dim()) if d != axis]
    if not others:
        return parts, parts.abs()
    return parts.sum(others), parts.abs().sum(others)


@some
@given(
    sizes=st.lists(st.integers(0, 40), min_size=1, max_size=3),
    axis=st.integers(-1, 2),
    bits=st.integers(1, 8),
    zero=st.integers(-3, 3),
    seed=st.integers(0, 999),
)
def test_every_backend_gives_the_bits_of_the_reference(
    sizes: list[int], axis: int, bits: int, zero: int, seed: int
) -> None:
    along = axis if 0 <= axis < len(sizes) else None
    x = torch.randn(sizes, generator=seeded(seed)) * 3
    shape = () if along is None else (sizes[along],)
    scale = torch.rand(shape, generator=seeded(seed + 1)) + 0.01
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    grad = torch.randn(sizes, generator=seeded(seed + 2))
    expected = reference(x, scale, low, high, zero, along)
    to_x, to_scale = oracle(x, scale, grad, low, high, zero, along)
    exact, size = exact_scale_gradient(x, scale, grad, low, high, zero, along)
    allowed = 2 * (to_scale - exact).abs() + 8 * EPSILON * size
    for name in NATIVE:
        runtime.native.use(name)
        assert torch.equal(fake_quant.fake_quant(x, scale, low, high, zero, along), expected)
        ours = gradients(x, scale, grad, low, high, zero, along)
        assert torch.equal(ours[0], to_x)
        assert ((ours[1] - exact).abs() <= allowed).all()


def test_it_agrees_with_torch_where_no_tie_is(isa: str) -> None:
    x, scale = torch.randn(5000, generator=seeded(0)), 0.03
    expected = torch.fake_quantize_per_tensor_affine(x, scale, 3, -8, 7)
    y = fake_quant.fake_quant(x, torch.tensor(scale), -8, 7, zero=3)
    torch.testing.assert_close(y, expected, rtol=1e-6, atol=0)


def test_ties_go_to_the_even_code_and_bounds_hold(isa: str) -> None:
    x = torch.tensor([0.5, 1.5, 2.5, -0.5, -1.5, 1e30, -1e30, float("inf"), -float("inf")])
    expected = torch.tensor([0.0, 2.0, 2.0, 0.0, -2.0, 7.0, -8.0, 7.0, -8.0])
    assert torch.equal(fake_quant.fake_quant(x, torch.tensor(1.0), -8, 7), expected)


def test_a_nan_stays_and_gets_no_gradient(isa: str) -> None:
    x = torch.ones(37)
    x[[0, 35, 36]] = float("nan")
    y = fake_quant.fake_quant(x, torch.tensor(1.0))
    assert torch.equal(y.isnan(), x.isnan())
    to_x, to_scale = gradients(x, torch.tensor(1.0), torch.ones(37), -8, 7, 0, None)
    assert torch.equal(to_x, (~x.isnan()).float())
    assert to_scale.isnan()


@pytest.mark.skipif(not runtime.is_native(), reason="the sums of torch depend on its threads")
@pytest.mark.parametrize("axis", [None, 0, 2])
def test_threads_do_not_change_a_bit(isa: str, threads: int, axis: int | None) -> None:
    x = torch.randn(48, 300, 128, generator=seeded(0))  # enough work for the pool
    scale = torch.full(() if axis is None else (x.shape[axis],), 0.1)
    y = fake_quant.fake_quant(x, scale, -8, 7, axis=axis)
    to_x, to_scale = gradients(x, scale, x, -8, 7, 0, axis)
    torch.set_num_threads(1)
    assert torch.equal(y, fake_quant.fake_quant(x, scale, -8, 7, axis=axis))
    again = gradients(x, scale, x, -8, 7, 0, axis)
    assert torch.equal(to_x, again[0])
    assert torch.equal(to_scale, again[1])


def test_strided_inputs_and_the_operation(isa: str) -> None:
    x = torch.randn(6, 5, 4, generator=seeded(0)).permute(2, 0, 1)[:, ::2]
    scale = torch.rand(8, generator=seeded(1))[::2] + 0.1
    y = fake_quant.fake_quant(x, scale, axis=0)
    assert torch.equal(y, fake_quant.fake_quant(x.contiguous(), scale.contiguous(), axis=0))
    leaves = (x.contiguous().requires_grad_(), scale.contiguous().requires_grad_())
    torch.library.opcheck(
        torch.ops.octavo.fake_quant.default, (*leaves, -8, 7, 0),
        test_utils=("test_schema", "test_autograd_registration", "test_faketensor"),
    )  # fmt: skip


def test_a_learned_scale_finds_a_better_grid() -> None:
    x = torch.randn(2000, generator=seeded(0))
    scale = torch.tensor(1.0, requires_grad=True)

    def loss() -> Tensor:
        return (fake_quant.fake_quant(x, scale, -8, 7) - x).square().mean()

    before = loss().item()
    for _ in range(60):
        (step,) = torch.autograd.grad(loss(), scale)
        scale = (scale - 0.05 * step).detach().requires_grad_()
    assert loss().item() < before / 2


def test_errors_at_the_door() -> None:
    x, scale = torch.ones(2, 3), torch.ones(3)
    with pytest.raises(InputError, match="float32"):
        fake_quant.fake_quant(x.double(), torch.tensor(1.0))
    with pytest.raises(InputError, match="axis is None"):
        fake_quant.fake_quant(x, scale)
    with pytest.raises(InputError, match="axis 0"):
        fake_quant.fake_quant(x, scale, axis=0)
    with pytest.raises(InputError, match="low must be under high"):
        fake_quant.fake_quant(x, torch.tensor(1.0), 7, 7)
    for bad in (0.0, -1.0, float("nan")):
        with pytest.raises(InputError, match="positive"):
            fake_quant.fake_quant(x, torch.tensor(bad))
