"""int8_matmul with a step of the activations that is known before: static quantization."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import within_two_oracles
from torch import Tensor

from octavo.errors import InputError
from octavo.kernels import runtime
from octavo.kernels.int8_matmul import int8_matmul, pack, reference, unpack
from octavo.kernels.int8_matmul.convolution import int8_conv2d, reference_conv2d
from octavo.kernels.int8_matmul.module import Int8Conv2d, Int8Linear
from octavo.kernels.runtime.activations import calibrated_step, quantize_by

NATIVE = [name for name in runtime.backends() if name != runtime.REFERENCE]
some = settings(max_examples=40, deadline=None)

pytestmark = pytest.mark.skipif(not NATIVE, reason="native kernels are not built here")


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def codes_of(n: int, k: int, seed: int = 0) -> Tensor:
    return torch.randint(-128, 128, (n, k), generator=seeded(seed), dtype=torch.int8)


@some
@given(
    m=st.integers(0, 40), k=st.integers(1, 200), n=st.integers(1, 140),
    step=st.floats(1e-3, 0.1), size=st.sampled_from([1e-3, 1.0, 50.0]), seed=st.integers(0, 999),
)  # fmt: skip
def test_the_two_oracle_rule_holds(
    m: int, k: int, n: int, step: float, size: float, seed: int
) -> None:
    x, codes = size * torch.randn(m, k, generator=seeded(seed)), codes_of(n, k, seed)
    scales, bias, known = torch.rand(n), torch.randn(n), torch.tensor([step])
    packed, q = pack(codes, scales), quantize_by(x, known)
    single = reference(x, codes, scales, known) + bias
    sums = q.codes[:, 0].double() @ codes.double().T
    exact = sums * (q.steps.double() * scales.double()) + bias
    for name in NATIVE:
        runtime.native.use(name)
        within_two_oracles(int8_matmul(x, packed, bias, known), single, exact)


@some
@given(m=st.integers(1, 9), k=st.integers(1, 90), seed=st.integers(0, 999))
def test_codes_are_those_of_the_reference(m: int, k: int, seed: int) -> None:
    """Identity weights give the codes back, ties and what lies beyond 127 among them."""
    x = torch.randn(m, k, generator=seeded(seed)) * 100
    x = torch.where(x > 0, x, (x * 2).round() / 2)
    step, codes = torch.ones(1), torch.eye(k, dtype=torch.int8)
    expected = x.round().clamp(-127, 127)
    for name in NATIVE:
        runtime.native.use(name)
        assert torch.equal(int8_matmul(x, pack(codes, torch.ones(k)), step=step), expected)


@pytest.mark.parametrize("m", [1, 2, 6, 7, 33])
def test_a_step_of_the_rows_own_changes_nothing(isa: str, m: int) -> None:
    """Rows with one largest magnitude have the step that they would find."""
    x = torch.randint(-127, 128, (m, 96), generator=seeded(1)).float()
    x[:, 5] = 127.0
    packed = pack(codes_of(70, 96), torch.rand(70))
    assert torch.equal(int8_matmul(x, packed, step=calibrated_step(x)), int8_matmul(x, packed))


def test_threads_do_not_change_a_bit(isa: str, threads: int) -> None:
    x, packed = torch.randn(96, 768, generator=seeded(0)), pack(codes_of(640, 768), torch.rand(640))
    y = int8_matmul(x, packed, step=torch.tensor([0.02]))
    torch.set_num_threads(1)
    assert torch.equal(y, int8_matmul(x, packed, step=torch.tensor([0.02])))


def test_a_row_that_is_not_finite_is_nan_and_no_other(isa: str) -> None:
    x = torch.ones(4, 33)
    x[1, 32], x[2, 0], x[3, 7] = float("inf"), float("nan"), -float("inf")
    codes, step = codes_of(70, 33), torch.tensor([0.5])
    y = int8_matmul(x, pack(codes, torch.ones(70)), step=step)
    assert torch.equal(y[0], reference(x, codes, torch.ones(70), step)[0])
    assert y[1:].isnan().all()
    assert reference(x, codes, torch.ones(70), step)[1:].isnan().all()


@pytest.mark.parametrize("padding", [0, 2])
def test_a_convolution_is_the_product_over_patches(isa: str, padding: int) -> None:
    codes, step = codes_of(20, 7 * 9), torch.tensor([0.02])
    x, bias, scales = torch.randn(2, 7, 9, 8, generator=seeded(2)), torch.randn(20), torch.rand(20)
    y = int8_conv2d(x, pack(codes, scales), 3, bias, 1, padding, step=step)
    expected = reference_conv2d(x, codes, scales, [3, 3, 1, 1, padding, padding, 1, 1], step)
    torch.testing.assert_close(y, expected + bias[:, None, None], rtol=1e-6, atol=1e-6)


def test_activations_beyond_the_step_pass_no_gradient() -> None:
    x = torch.tensor([[0.5, 2.0, -0.5, -2.0]], requires_grad=True)
    packed = pack(torch.ones(1, 4, dtype=torch.int8), torch.ones(1))
    int8_matmul(x, packed, step=torch.tensor([1.0 / 127])).sum().backward()
    assert x.grad.tolist() == [[1.0, 0.0, 1.0, 0.0]]
    image = x.detach().view(1, 4, 1, 1).requires_grad_()
    int8_conv2d(image, packed, 1, step=torch.tensor([1.0 / 127])).sum().backward()
    assert image.grad.flatten().tolist() == [1.0, 0.0, 1.0, 0.0]


def test_a_calibrated_step_holds_what_it_saw() -> None:
    x = torch.randn(50, 64, generator=seeded(3))
    step = calibrated_step(x)
    module = Int8Linear.from_dense(torch.nn.Linear(64, 32, bias=False), step)
    assert torch.equal(module.state_dict()["step"], step)
    codes, scales = unpack(module.packed)
    weight = codes * scales.unsqueeze(1)
    off = (module(x) - x @ weight.T).abs()  # half a step of each activation, at the most
    assert (off <= 0.501 * step * weight.abs().sum(1)).all()
    assert "step" not in Int8Linear.from_dense(torch.nn.Linear(64, 32)).state_dict()
    assert "step" not in Int8Conv2d.from_dense(torch.nn.Conv2d(4, 4, 1)).state_dict()


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf"), 1e-39])
def test_a_step_that_is_none_is_refused(value: float) -> None:
    packed, step = pack(codes_of(5, 4), torch.ones(5)), torch.tensor([value])
    with pytest.raises(InputError, match="int8_matmul: step is"):
        int8_matmul(torch.ones(2, 4), packed, step=step)
    with pytest.raises(InputError, match="int8_conv2d: step is"):
        int8_conv2d(torch.ones(1, 4, 2, 2), packed, 1, step=step)


@pytest.mark.parametrize(
    "step", [torch.ones(2), torch.ones(1).double(), torch.ones(1, requires_grad=True)]
)
def test_the_door_refuses_what_is_no_step(step: Tensor) -> None:
    packed = pack(codes_of(5, 4), torch.ones(5))
    with pytest.raises(InputError, match="step"):
        int8_matmul(torch.ones(2, 4), packed, step=step)
    with pytest.raises(InputError, match="step"):
        int8_conv2d(torch.ones(1, 4, 2, 2), packed, 1, step=step)
