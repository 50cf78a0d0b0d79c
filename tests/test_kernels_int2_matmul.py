"""int2_matmul on every instruction set: integers exactly, floats by the two-oracle rule."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import within_two_oracles
from torch import Tensor, nn

from octavo.errors import InputError
from octavo.kernels import load_packed, runtime
from octavo.kernels.int2_matmul import PackedInt2, int2_matmul, pack, reference, unpack
from octavo.kernels.int2_matmul.module import Int2Linear

NATIVE = [name for name in runtime.backends() if name != runtime.REFERENCE]
some = settings(max_examples=30, deadline=None)

pytestmark = pytest.mark.skipif(not NATIVE, reason="native kernels are not built here")


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def codes_of(n: int, k: int, seed: int = 0, low: int = -2) -> Tensor:
    return torch.randint(low, 2, (n, k), generator=seeded(seed), dtype=torch.int8)


def whole_numbers(m: int, k: int, group: int) -> Tensor:
    """Activations that quantize to themselves: integers with a 127 in each group."""
    x = torch.randint(-127, 128, (m, k), generator=seeded(7)).float()
    x[:, ::group] = 127.0
    return x


SHAPES = [(1, 16, 1), (2, 48, 63), (3, 128, 64), (5, 528, 65), (7, 96, 130), (12, 64, 16)]
SHAPES += [(13, 512, 70), (17, 80, 128), (31, 144, 33), (37, 1024, 192), (65, 272, 100)]


@pytest.mark.parametrize(("m", "k", "n"), SHAPES)
@pytest.mark.parametrize("group", [16, None])
@pytest.mark.parametrize("low", [-2, -1])
def test_sums_are_exact(isa: str, m: int, k: int, n: int, group: int | None, low: int) -> None:
    codes, x = codes_of(n, k, low=low), whole_numbers(m, k, group or k)
    packed = pack(codes, torch.ones(n, k // (group or k)), group)
    assert torch.equal(int2_matmul(x, packed), x @ codes.float().T)


@pytest.mark.parametrize("k", [1, 7, 15, 17, 99, 300])
@pytest.mark.parametrize("m", [1, 2, 6])
def test_rows_of_any_length(isa: str, m: int, k: int) -> None:
    codes, x = codes_of(66, k), whole_numbers(m, k, k)
    assert torch.equal(int2_matmul(x, pack(codes, torch.ones(66, 1))), x @ codes.float().T)


@pytest.mark.parametrize("code", [-2, 1])
@pytest.mark.parametrize("m", [1, 2, 3, 8])
def test_extreme_codes_do_not_saturate(isa: str, m: int, code: int) -> None:
    x = torch.full((m, 32768), 127.0) * torch.tensor([1.0, -1.0] * m)[:m, None]
    codes = torch.full((65, 32768), code, dtype=torch.int8)
    assert torch.equal(int2_matmul(x, pack(codes, torch.ones(65, 1))), x @ codes.float().T)


@pytest.mark.parametrize("m", [1, 2, 3])
def test_the_longest_group_does_not_overflow(isa: str, m: int) -> None:
    x = torch.full((m, 1 << 18), 127.0)
    for code in (-2, 1):
        codes = torch.full((2, 1 << 18), code, dtype=torch.int8)
        y = int2_matmul(x, pack(codes, torch.ones(2, 1)))
        assert torch.equal(y, torch.full((m, 2), code * 127.0 * (1 << 18)))
    with pytest.raises(InputError, match="group"):
        pack(torch.zeros(1, (1 << 18) + 16, dtype=torch.int8), torch.ones(1, 1))


@some
@given(
    m=st.integers(0, 40),
    groups=st.integers(1, 5),
    group=st.sampled_from([16, 32, 48, 64, 128]),
    n=st.integers(1, 140),
    seed=st.integers(0, 999),
)
def test_the_two_oracle_rule_holds(m: int, groups: int, group: int, n: int, seed: int) -> None:
    k = groups * group
    x, scales = torch.randn(m, k, generator=seeded(seed)), torch.rand(n, groups)
    codes, bias = codes_of(n, k, seed), torch.randn(n)
    packed = pack(codes, scales, group)
    single = reference(x, codes, scales, group) + bias
    q = runtime.activations.quantize_rows(x, group)
    sums = torch.einsum("mgk,ngk->mng", q.codes.double(), codes.view(n, groups, group).double())
    exact = torch.einsum("mng,mg,ng->mn", sums, q.steps.double(), scales.double()) + bias
    size = torch.einsum("mng,mg,ng->mn", sums.abs(), q.steps.double(), scales.double())
    for name in NATIVE:
        runtime.native.use(name)
        within_two_oracles(int2_matmul(x, packed, bias), single, exact, size)


def test_threads_and_strides_do_not_change_a_bit(isa: str, threads: int) -> None:
    packed = pack(codes_of(640, 768), torch.rand(640, 12), 64)
    x = torch.randn(768, 24, 8, generator=seeded(0)).permute(1, 2, 0)[:, ::2]  # (24, 4, 768)
    y = int2_matmul(x, packed)
    torch.set_num_threads(1)
    assert torch.equal(y, int2_matmul(x.contiguous(), packed))


def test_zeros_tiny_and_non_finite_rows(isa: str) -> None:
    x = torch.ones(5, 32)
    x[0], x[1], x[2, 5], x[3, 31] = 0.0, 1e-40, float("nan"), float("inf")
    codes, scales = codes_of(70, 32), torch.ones(70, 1)
    y = int2_matmul(x, pack(codes, scales))
    assert torch.equal(y[0], torch.zeros(70))
    assert torch.equal(y[[1, 4]], reference(x, codes, scales)[[1, 4]])
    assert y[2:4].isnan().all()


@some
@given(n=st.integers(1, 140), k=st.integers(1, 200), seed=st.integers(0, 99))
def test_packing_is_undone(n: int, k: int, seed: int) -> None:
    codes, scales = codes_of(n, k, seed), torch.rand(n, 1)
    packed = pack(codes, scales)
    back, steps = unpack(packed)
    assert torch.equal(back, codes)
    assert torch.equal(steps, scales)
    assert packed.codes.nbytes == -(-n // 64) * 64 * -(-k // 16) * 4


def test_state_round_trip() -> None:
    packed = pack(codes_of(70, 48), torch.rand(70, 3), 16)
    tensors, meta = packed.state()
    again = load_packed({k: v.clone() for k, v in tensors.items()}, dict(meta))
    assert isinstance(again, PackedInt2)
    assert torch.equal(again.codes, packed.codes)
    assert again[2:] == packed[2:]
    with pytest.raises(InputError, match="version"):
        load_packed(tensors, {**meta, "version": 99})


def test_errors_at_the_door() -> None:
    codes = codes_of(8, 4096)
    with pytest.raises(InputError, match="group=48 does not divide in=4096; use 32, 64, 128"):
        pack(codes, torch.ones(8, 1), 48)
    with pytest.raises(InputError, match="group=8 "):
        pack(codes, torch.ones(8, 512), 8)
    with pytest.raises(InputError, match=r"leave \[-2, 1\]"):
        pack(codes + 1, torch.ones(8, 1))
    with pytest.raises(InputError, match="scales"):
        pack(codes, torch.ones(8, 2))
    with pytest.raises(InputError, match="non-empty"):
        pack(codes[:0], torch.ones(0, 1))
    packed = pack(codes, torch.ones(8, 1))
    with pytest.raises(InputError, match="float32"):
        int2_matmul(torch.ones(2, 4096, dtype=torch.float64), packed)
    with pytest.raises(InputError, match="must be 4096"):
        int2_matmul(torch.ones(2, 4095), packed)
    with pytest.raises(InputError, match="bias"):
        int2_matmul(torch.ones(2, 4096), packed, torch.ones(9))


def layer() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(96, 70)


def test_the_module_is_the_kernel() -> None:
    module, x = Int2Linear.from_dense(layer(), 32), torch.randn(2, 5, 96)
    y = module(x)
    torch.testing.assert_close(y, module.simulate(x), rtol=1e-5, atol=1e-5)
    assert torch.equal(torch.compile(module, fullgraph=True, backend="aot_eager")(x), y)
    assert torch.equal(torch.export.export(module, (x,)).module()(x), y)
    assert module.bytes_on_disk() == 128 * 96 // 4 + 128 * 3 * 4 + 70 * 4
    fresh = Int2Linear(codes_of(70, 96), torch.zeros(70, 3), 32, torch.ones(70))
    fresh.load_state_dict(module.state_dict())
    assert torch.equal(fresh(x), y)
    assert module(x[:0]).shape == (0, 5, 70)


def test_ternary_codes_are_the_nearest() -> None:
    dense = layer()
    codes, scales = unpack(Int2Linear.from_dense(dense, 32).packed)
    assert set(codes.unique().tolist()) == {-1, 0, 1}
    rounded = codes * scales.repeat_interleave(32, 1)
    assert ((dense.weight - rounded).abs() <= scales.repeat_interleave(32, 1) / 2 + 1e-6).all()


@pytest.mark.parametrize("needs_grad", [False, True])
def test_the_operation_passes_opcheck(needs_grad: bool) -> None:
    packed = pack(codes_of(70, 96), torch.rand(70, 3), 32)
    x, bias = (
        torch.randn(5, 96, requires_grad=needs_grad),
        torch.randn(70, requires_grad=needs_grad),
    )
    op = torch.ops.octavo.int2_matmul.default
    checks = torch.library.opcheck(op, (x, *packed[:2], bias, *packed[2:]))
    assert set(checks.values()) == {"SUCCESS"}


def test_gradients_go_straight_through() -> None:
    codes, scales = codes_of(70, 96), torch.rand(70, 3)
    x, bias = torch.randn(5, 96, requires_grad=True), torch.randn(70, requires_grad=True)
    y = int2_matmul(x, pack(codes, scales, 32), bias)
    upstream = torch.randn_like(y)
    ours = torch.autograd.grad(y, (x, bias), upstream)
    dense = x @ (codes * scales.repeat_interleave(32, 1)).T + bias
    theirs = torch.autograd.grad(dense, (x, bias), upstream)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
