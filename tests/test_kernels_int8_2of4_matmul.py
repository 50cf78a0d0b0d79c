"""int8_2of4_matmul on every instruction set: integers exactly, patterns checked, in torch."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import within_two_oracles
from torch import Tensor, nn

from octavo.errors import InputError
from octavo.kernels import load_packed, runtime
from octavo.kernels.int8_2of4_matmul import (
    PackedInt8TwoOfFour,
    int8_2of4_matmul,
    pack,
    reference,
    unpack,
)
from octavo.kernels.int8_matmul import int8_matmul
from octavo.kernels.int8_matmul import pack as pack_dense
from octavo.kernels.modules import Int8TwoOfFourLinear
from octavo.kernels.runtime.activations import quantize_rows

NATIVE = [name for name in runtime.backends() if name != runtime.REFERENCE]
some = settings(max_examples=40, deadline=None)

pytestmark = pytest.mark.skipif(not NATIVE, reason="native kernels are not built here")


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def codes_of(n: int, k: int, seed: int = 0) -> Tensor:
    """Random codes of which two of each four inputs are kept."""
    codes = torch.randint(-128, 128, (n, k), generator=seeded(seed), dtype=torch.int8)
    order = torch.rand(n, -(-k // 4), 4, generator=seeded(seed + 1)).argsort(-1)
    return codes * (order < 2).flatten(1)[:, :k]


@some
@given(m=st.integers(0, 90), k=st.integers(1, 700), n=st.integers(1, 140), seed=st.integers(0, 999))
def test_the_two_oracle_rule_holds(m: int, k: int, n: int, seed: int) -> None:
    x, codes = torch.randn(m, k, generator=seeded(seed)), codes_of(n, k, seed)
    scales, bias = torch.rand(n), torch.randn(n)
    packed, q = pack(codes, scales), quantize_rows(x, k)
    assert torch.equal(unpack(packed)[0], codes)
    assert torch.equal(unpack(packed)[1], scales)
    single = reference(x, codes, scales) + bias
    exact = (q.codes[:, 0].double() @ codes.double().T) * (q.steps.double() * scales) + bias
    dense = pack_dense(codes, scales)
    for name in NATIVE:
        runtime.native.use(name)
        y = int8_2of4_matmul(x, packed, bias)
        within_two_oracles(y, single, exact)
        assert torch.equal(y, int8_matmul(x, dense, bias))  # the zeros are not missed


@pytest.mark.parametrize("m", [*range(1, 27), 48, 49, 72, 73, 145])
def test_every_number_of_rows(isa: str, m: int) -> None:
    """One scale and a largest activation of 127: the answers are the integer sums."""
    x, codes = torch.randint(-127, 128, (m, 530), generator=seeded(1)).float(), codes_of(70, 530)
    x[:, 3] = 127.0
    packed = pack(codes, torch.ones(70))
    assert torch.equal(int8_2of4_matmul(x, packed), (x.double() @ codes.double().T).float())


@pytest.mark.parametrize("low", [-128, 127])
@pytest.mark.parametrize("m", [1, 30])
def test_extreme_codes_do_not_saturate(isa: str, m: int, low: int) -> None:
    x = torch.full((m, 4096), 127.0)
    x[::2] = -127.0
    codes = torch.full((70, 4096), low, dtype=torch.int8)
    codes.view(70, -1, 4)[..., 1:3] = 0
    expected = (x.double() @ codes.double().T).float()
    assert torch.equal(int8_2of4_matmul(x, pack(codes, torch.ones(70))), expected)


def test_zeros_tiny_and_non_finite_rows(isa: str) -> None:
    x = torch.ones(5, 33)
    x[0], x[1], x[2, 5], x[3, 32] = 0.0, 1e-40, float("nan"), float("inf")
    codes, scales = codes_of(70, 33), torch.ones(70)
    y = int8_2of4_matmul(x, pack(codes, scales))
    assert torch.equal(y[[0, 1, 4]], reference(x, codes, scales)[[0, 1, 4]])
    assert y[2:4].isnan().all()


def test_threads_and_strides_do_not_change_a_bit(isa: str, threads: int) -> None:
    packed = pack(codes_of(640, 768), torch.rand(640))
    wide = torch.randn(96, 2, 768, generator=seeded(0))[:, 0]
    y = int8_2of4_matmul(wide, packed)
    torch.set_num_threads(1)
    assert torch.equal(y, int8_2of4_matmul(wide.contiguous(), packed))


def test_packed_weights_are_saved_and_loaded() -> None:
    packed = pack(codes_of(70, 49), torch.rand(70))
    tensors, meta = packed.state()
    again = load_packed({name: t.clone() for name, t in tensors.items()}, dict(meta))
    assert isinstance(again, PackedInt8TwoOfFour)
    assert torch.equal(unpack(again)[0], unpack(packed)[0])
    with pytest.raises(InputError, match="version 2"):
        load_packed(tensors, {**meta, "version": 2})


def test_a_kept_weight_takes_ten_bits() -> None:
    module = Int8TwoOfFourLinear(codes_of(64, 256), torch.ones(64))
    assert module.bytes_on_disk() == 64 * 128 * 10 // 8 + 64 * (4 + 4)


def test_the_door_refuses_what_does_not_fit() -> None:
    codes = codes_of(8, 12)
    codes[5, 4:8] = 1
    with pytest.raises(InputError, match="int8_2of4_matmul: row 5, inputs 4 to 7: 4 are not zero"):
        pack(codes, torch.ones(8))
    with pytest.raises(InputError, match=r"float32 \(8,\)"):
        pack(codes_of(8, 12), torch.ones(9))
    with pytest.raises(InputError, match=r"non-empty torch\.int8"):
        pack(torch.zeros(8, 12), torch.ones(8))
    with pytest.raises(InputError, match="at most 65536"):
        pack(torch.zeros(1, 65540, dtype=torch.int8), torch.ones(1))
    packed = pack(codes_of(8, 12), torch.ones(8))
    with pytest.raises(InputError, match="float32"):
        int8_2of4_matmul(torch.ones(2, 12).double(), packed)
    with pytest.raises(InputError, match="must be 12"):
        int8_2of4_matmul(torch.ones(2, 13), packed)
    with pytest.raises(InputError, match="bias"):
        int8_2of4_matmul(torch.ones(2, 12), packed, torch.ones(9))
    with pytest.raises(ValueError, match="fit"):
        runtime.native.int8_2of4_matmul(
            torch.ones(2, 40), *packed[:2], None, torch.ones(2, 8), 1
        )  # fmt: skip


@pytest.fixture
def module() -> Int8TwoOfFourLinear:
    torch.manual_seed(0)
    keep = codes_of(70, 96) != 0
    return Int8TwoOfFourLinear.from_dense(nn.Linear(96, 70), keep)


def test_simulated_equals_executed(isa: str, module: Int8TwoOfFourLinear) -> None:
    x = torch.randn(2, 5, 96)
    torch.testing.assert_close(module(x), module.simulate(x), rtol=1e-5, atol=1e-5)
    assert module(x[:0]).shape == (0, 5, 70)


def test_compile_and_export_pass_through(module: Int8TwoOfFourLinear) -> None:
    x = torch.randn(5, 96)
    y = module(x)
    assert torch.equal(torch.compile(module, fullgraph=True, backend="aot_eager")(x), y)
    assert torch.equal(torch.export.export(module, (x,)).module()(x), y)


def test_state_moves_to_a_fresh_module(module: Int8TwoOfFourLinear, tmp_path: Path) -> None:
    x = torch.randn(5, 96)
    torch.save(module.state_dict(), tmp_path / "state.pt")
    fresh = Int8TwoOfFourLinear(torch.zeros(70, 96, dtype=torch.int8), torch.ones(70), x[0, :70])
    fresh.load_state_dict(torch.load(tmp_path / "state.pt"))
    assert torch.equal(fresh(x), module(x))


def test_the_operation_passes_the_checks_of_torch_and_has_a_gradient(
    module: Int8TwoOfFourLinear,
) -> None:
    x, bias = torch.randn(5, 96, requires_grad=True), torch.randn(70, requires_grad=True)
    packed = module.packed
    op, values = torch.ops.octavo.int8_2of4_matmul.default, (x, *packed[:2], bias, *packed[2:])
    assert set(torch.library.opcheck(op, values).values()) == {"SUCCESS"}
    codes, scales = unpack(packed)
    to_x, to_bias = torch.autograd.grad(op(*values).sum(), (x, bias))
    torch.testing.assert_close(to_x, (codes * scales.unsqueeze(1)).sum(0).expand_as(to_x))
    assert torch.equal(to_bias, torch.full((70,), 5.0))
