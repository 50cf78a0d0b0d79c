"""Weights of one bit on every instruction set, by 8-bit activations and by signs."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import within_two_oracles
from torch import Tensor, nn

from octavo.errors import InputError
from octavo.kernels import load_packed, runtime
from octavo.kernels.binary_matmul import PackedBinary, binary_matmul, pack, reference, unpack, xnor
from octavo.kernels.binary_matmul.module import BinaryLinear
from octavo.kernels.binary_matmul.xnor import Signs, binarize, xnor_matmul

NATIVE = [name for name in runtime.backends() if name != runtime.REFERENCE]
some = settings(max_examples=30, deadline=None)

pytestmark = pytest.mark.skipif(not NATIVE, reason="native kernels are not built here")


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def codes_of(n: int, k: int, seed: int = 0) -> Tensor:
    return torch.randint(0, 2, (n, k), generator=seeded(seed), dtype=torch.int8) * 2 - 1


def signs_of(m: int, k: int, seed: int = 1) -> Tensor:
    """Activations of which the mean magnitude is one."""
    return codes_of(m, k, seed).float()


SHAPES = [(1, 32, 1), (2, 96, 63), (3, 128, 64), (5, 1056, 65), (7, 7, 130), (12, 65, 16)]
SHAPES += [(13, 512, 70), (17, 80, 128), (31, 1, 33), (37, 1000, 192), (65, 272, 100)]


@pytest.mark.parametrize(("m", "k", "n"), SHAPES)
def test_sums_are_exact(isa: str, m: int, k: int, n: int) -> None:
    codes = codes_of(n, k)
    packed = pack(codes, torch.ones(n))
    x = torch.randint(-127, 128, (m, k), generator=seeded(7)).float()
    x[:, 0] = 127.0  # quantizes to itself
    assert torch.equal(binary_matmul(x, packed), x @ codes.float().T)
    signs = signs_of(m, k)
    expected = signs @ codes.float().T
    assert torch.equal(xnor_matmul(signs, packed), expected)
    assert torch.equal(xnor_matmul(binarize(signs), packed), expected)


@pytest.mark.parametrize("m", [1, 2, 3, 8])
def test_the_longest_row_does_not_overflow(isa: str, m: int) -> None:
    k = 1 << 17
    for code in (-1, 1):
        packed = pack(torch.full((2, k), code, dtype=torch.int8), torch.ones(2))
        x = torch.full((m, k), 127.0)
        assert torch.equal(binary_matmul(x, packed), torch.full((m, 2), code * 127.0 * k))
        assert torch.equal(xnor_matmul(x / 127, packed), torch.full((m, 2), 1.0 * code * k))
    with pytest.raises(InputError, match="overflows"):
        pack(torch.ones(1, k + 1, dtype=torch.int8), torch.ones(1))


@some
@given(m=st.integers(0, 30), k=st.integers(1, 300), n=st.integers(1, 140), seed=st.integers(0, 999))
def test_the_two_oracle_rule_holds(m: int, k: int, n: int, seed: int) -> None:
    codes, scales, bias = codes_of(n, k, seed), torch.rand(n), torch.randn(n)
    x = torch.randn(m, k, generator=seeded(seed + 1))
    packed = pack(codes, scales)
    words = xnor.reference_binarize(x)
    single = reference(x, codes, scales) + bias
    single_signs = xnor.reference(words, codes, scales) + bias
    q = runtime.activations.quantize_rows(x, k)
    exact = (q.codes[:, 0].double() * q.steps) @ (codes * scales.double()[:, None]).T + bias
    signs = torch.where(x >= 0, 1.0, -1.0).double() * x.double().abs().mean(-1, keepdim=True)
    exact_signs = signs @ (codes * scales.double()[:, None]).T + bias
    size = x.double().abs() @ scales.double().expand(k, n)
    for name in NATIVE:
        runtime.native.use(name)
        y, z = binary_matmul(x, packed, bias), xnor_matmul(x, packed, bias)
        within_two_oracles(y, single, exact, size)
        within_two_oracles(z, single_signs, exact_signs, size)
        if m:
            assert torch.equal(binarize(x).words[:, 1:], words[:, 1:])
            assert torch.equal(xnor_matmul(binarize(x), packed, bias), z)


def test_means_do_not_depend_on_the_instruction_set() -> None:
    x, all_words = torch.randn(5, 1003, generator=seeded(0)), set()
    for name in NATIVE:
        runtime.native.use(name)
        all_words.add(binarize(x).words.numpy().tobytes())
    assert len(all_words) == 1


def test_threads_and_strides_do_not_change_a_bit(isa: str, threads: int) -> None:
    packed = pack(codes_of(1024, 2048), torch.rand(1024))
    x = torch.randn(2048, 96, 4, generator=seeded(0)).permute(1, 2, 0)[:, ::2]  # (96, 2, 2048)
    y, z, words = binary_matmul(x, packed), xnor_matmul(x, packed), binarize(x)
    u = xnor_matmul(words, packed)
    torch.set_num_threads(1)
    x = x.contiguous()
    assert torch.equal(y, binary_matmul(x, packed))
    assert torch.equal(z, xnor_matmul(x, packed))
    assert torch.equal(words.words, binarize(x).words)
    assert torch.equal(u, z)


def test_zeros_and_non_finite_rows(isa: str) -> None:
    x = torch.ones(5, 40)
    x[0], x[1, ::2], x[2, 5], x[3, 39] = 0.0, -0.0, float("nan"), float("inf")
    codes = codes_of(70, 40)
    packed = pack(codes, torch.ones(70))
    for y in (binary_matmul(x, packed), xnor_matmul(x, packed), xnor_matmul(binarize(x), packed)):
        assert torch.equal(y[0], torch.zeros(70))
        assert y[2:4].isnan().all()
    everywhere = codes.float().sum(1)
    torch.testing.assert_close(xnor_matmul(x, packed)[1], everywhere / 2)  # -0.0 counts as positive


@some
@given(n=st.integers(1, 140), k=st.integers(1, 200), seed=st.integers(0, 99))
def test_packing_is_undone(n: int, k: int, seed: int) -> None:
    codes, scales = codes_of(n, k, seed), torch.rand(n)
    packed = pack(codes, scales)
    back, steps = unpack(packed)
    assert torch.equal(back, codes)
    assert torch.equal(steps, scales)
    assert packed.codes.nbytes == -(-n // 64) * 64 * -(-k // 32) * 4


def test_state_round_trip() -> None:
    packed = pack(codes_of(70, 48), torch.rand(70))
    tensors, meta = packed.state()
    again = load_packed({k: v.clone() for k, v in tensors.items()}, dict(meta))
    assert isinstance(again, PackedBinary)
    assert torch.equal(again.codes, packed.codes)
    assert again[2:] == packed[2:]
    with pytest.raises(InputError, match="version"):
        load_packed(tensors, {**meta, "version": 99})


def test_errors_at_the_door() -> None:
    codes = codes_of(8, 96)
    with pytest.raises(InputError, match="neither -1 nor 1"):
        pack(codes * 0, torch.ones(8))
    with pytest.raises(InputError, match="scales"):
        pack(codes, torch.ones(9))
    with pytest.raises(InputError, match="non-empty"):
        pack(codes.float(), torch.ones(8))
    packed = pack(codes, torch.ones(8))
    for call in (binary_matmul, xnor_matmul):
        with pytest.raises(InputError, match="float32"):
            call(torch.ones(2, 96, dtype=torch.float64), packed)
        with pytest.raises(InputError, match="must be 96"):
            call(torch.ones(2, 95), packed)
        with pytest.raises(InputError, match="bias"):
            call(torch.ones(2, 96), packed, torch.ones(9))
    with pytest.raises(InputError, match="signs of 64 inputs"):
        xnor_matmul(binarize(torch.ones(2, 64)), packed)
    with pytest.raises(InputError, match="bias"):
        xnor_matmul(binarize(torch.ones(2, 96)), packed, torch.ones(9))
    with pytest.raises(InputError, match="words"):
        xnor_matmul(Signs(torch.ones(2, 3, dtype=torch.int32), 96), packed)
    with pytest.raises(InputError, match="one input"):
        binarize(torch.ones(2, 0))


def test_native_refuses_what_does_not_fit() -> None:
    packed, out = pack(codes_of(8, 96), torch.ones(8)), torch.ones(2, 8)
    with pytest.raises(ValueError, match="codes do not fit"):
        runtime.native.binary_matmul(torch.ones(2, 128), *packed[:2], None, out, 1)
    words = torch.ones(2, 3, dtype=torch.int32)
    with pytest.raises(ValueError, match="words do not fit"):
        runtime.native.xnor_matmul_words(words, *packed[:2], None, out, 96, 1)
    with pytest.raises(ValueError, match="words do not fit"):
        runtime.native.binarize(torch.ones(2, 96), words, 1)


@pytest.mark.parametrize("signs", [False, True])
def test_the_module_is_the_kernel(signs: bool) -> None:
    torch.manual_seed(0)
    dense, x = nn.Linear(96, 70), torch.randn(2, 5, 96)
    module = BinaryLinear.from_dense(dense, signs)
    y = module(x)
    torch.testing.assert_close(y, module.simulate(x), rtol=1e-5, atol=1e-5)
    assert torch.equal(torch.compile(module, fullgraph=True, backend="aot_eager")(x), y)
    assert torch.equal(torch.export.export(module, (x,)).module()(x), y)
    assert module.bytes_on_disk() == 128 * 96 // 8 + 128 * 4 + 70 * 4
    fresh = BinaryLinear(codes_of(70, 96), torch.zeros(70), torch.ones(70), signs)
    fresh.load_state_dict(module.state_dict())
    assert torch.equal(fresh(x), y)
    assert module(x[:0]).shape == (0, 5, 70)
    codes, scales = unpack(module.packed)
    assert torch.equal(codes > 0, dense.weight >= 0)
    assert torch.equal(scales, dense.weight.abs().mean(1))


@pytest.mark.parametrize("name", ["binary_matmul", "xnor_matmul", "xnor_matmul_words", "binarize"])
@pytest.mark.parametrize("needs_grad", [False, True])
def test_operations_pass_opcheck(name: str, needs_grad: bool) -> None:
    packed = pack(codes_of(70, 96), torch.rand(70))
    takes_gradient = needs_grad and name in ("binary_matmul", "xnor_matmul")
    x, bias = (torch.randn(*size, requires_grad=takes_gradient) for size in ((5, 96), (70,)))
    first = binarize(x).words if name == "xnor_matmul_words" else x
    rest = () if name == "binarize" else (*packed[:2], bias, *packed[2:])
    op = getattr(torch.ops.octavo, name).default
    assert set(torch.library.opcheck(op, (first, *rest)).values()) == {"SUCCESS"}


def test_gradients_go_straight_through() -> None:
    codes, scales = codes_of(70, 96), torch.rand(70)
    x, bias = torch.randn(5, 96, requires_grad=True), torch.randn(70, requires_grad=True)
    packed, upstream = pack(codes, scales), torch.randn(5, 70)
    dense = x @ (codes * scales.unsqueeze(1)).T + bias
    to_x, to_bias = torch.autograd.grad(dense, (x, bias), upstream)
    ours = torch.autograd.grad(binary_matmul(x, packed, bias), (x, bias), upstream)
    torch.testing.assert_close(ours, (to_x, to_bias), rtol=1e-4, atol=1e-4)
    ours = torch.autograd.grad(xnor_matmul(x, packed, bias), (x, bias), upstream)
    torch.testing.assert_close(ours, (to_x * (x.abs() <= 1), to_bias), rtol=1e-4, atol=1e-4)
