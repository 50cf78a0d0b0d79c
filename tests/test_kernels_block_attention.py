"""block_attention on every instruction set: two oracles, lists of every kind, gradients, doors."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import EPSILON
from torch import Tensor

from octavo.errors import InputError
from octavo.kernels import block_attention as blocks
from octavo.kernels import load_packed, runtime
from octavo.kernels.block_attention import PackedBlocks, block_attention, from_mask, reference
from octavo.kernels.block_attention.gradient import gradient
from octavo.kernels.modules import BlockAttention

NATIVE = [name for name in runtime.backends() if name != runtime.REFERENCE]
some = settings(max_examples=40, deadline=None)

pytestmark = pytest.mark.skipif(not NATIVE, reason="native kernels are not built here")


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*sizes: int, seed: int = 0) -> Tensor:
    return torch.randn(sizes, generator=seeded(seed))


def three(b: int, h: int, n: int, m: int, d: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    return normal(b, h, n, d, seed=seed), normal(b, h, m, d, seed=seed + 1), normal(b, h, m, d)


def drawn(rows: int, columns: int, size: int, *lead: int, seed: int = 0) -> PackedBlocks:
    mask = torch.rand(*lead, rows, columns, generator=seeded(seed)) < 0.5
    return from_mask(mask, size)


@some
@given(
    sizes=st.tuples(st.integers(1, 2), st.integers(1, 3), st.integers(1, 200), st.integers(1, 200)),
    d=st.sampled_from([1, 3, 8, 16, 33, 64, 96]),
    size=st.sampled_from([16, 17, 24, 32, 64, 70, 100, 128]),
    lists=st.integers(0, 2),
    causal=st.booleans(),
    padded=st.booleans(),
    scale=st.sampled_from([None, 0.01, 1.0, 8.0]),
    seed=st.integers(0, 999),
)
def test_the_two_oracle_rule_holds(
    sizes: tuple[int, int, int, int], d: int, size: int, lists: int, causal: bool, padded: bool,
    scale: float | None, seed: int,
) -> None:  # fmt: skip
    b, h, n, m = sizes
    q, k, v = three(b, h, n, m, d, seed)
    packed = drawn(-(-n // size), -(-m // size), size, *(b, h)[2 - lists :], seed=seed)
    lengths = torch.randint(0, m + 1, (b,), generator=seeded(seed)).int() if padded else None
    keep = blocks.kept_pairs(packed, n, m, causal, lengths)
    factor = d**-0.5 if scale is None else scale
    single = reference(q, k, v, keep, factor)
    exact = reference(q.double(), k.double(), v.double(), keep, factor)
    largest = (q.double().norm(dim=-1).max() * k.double().norm(dim=-1).max() * factor).item()
    allowed = 2 * (single - exact).abs().max() + (8 + largest) * EPSILON * v.abs().max()
    for name in NATIVE:
        runtime.native.use(name)
        y = block_attention(q, k, v, packed, scale=scale, causal=causal, lengths=lengths)
        assert (y - exact).abs().max() <= allowed
        assert torch.equal(y[~keep.any(-1).expand(y.shape[:3])].abs().sum(), torch.tensor(0.0))


@pytest.mark.parametrize("causal", [False, True])
def test_all_blocks_are_dense_attention(isa: str, causal: bool) -> None:
    q, k, v = three(2, 2, 150, 150, 40)
    packed = from_mask(torch.ones(5, 5, dtype=torch.bool), 32)
    y = block_attention(q, k, v, packed, causal=causal)
    dense = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    torch.testing.assert_close(y, dense, rtol=1e-5, atol=2e-6)


def test_the_exponential_is_exact_to_two_places(isa: str) -> None:
    """One query, two keys: the weight of the second is e^x / (1 + e^x), read off the values."""
    x = torch.linspace(-87, 0, 4001)
    q, k = torch.ones(4001, 1, 1, 1), torch.stack((torch.zeros(4001), x), 1).view(4001, 1, 2, 1)
    v = torch.tensor([0.0, 1.0]).view(1, 1, 2, 1).expand(4001, 1, 2, 1)
    y = block_attention(q, k, v, from_mask(torch.ones(1, 1, dtype=torch.bool), 16), scale=1.0)
    exact = (x.double() - F.softplus(x.double())).exp()
    relative = (y.flatten() - exact).abs() / exact
    assert (relative <= EPSILON * (4 + x.abs())).all()  # x itself is rounded once: e^x moves by x


def test_large_scores_do_not_overflow(isa: str) -> None:
    q, k, v = three(1, 1, 64, 64, 16)
    packed = from_mask(torch.ones(2, 2, dtype=torch.bool), 32)
    y = block_attention(q * 1e4, k * 1e4, v, packed)
    torch.testing.assert_close(y, v[:, :, (q @ k.mT)[0, 0].argmax(-1)])
    assert torch.isnan(block_attention(q, k * torch.nan, v, packed)).all()


def test_bfloat16_is_float32_inside(isa: str) -> None:
    q, k, v = (x.bfloat16() for x in three(2, 2, 100, 90, 48))
    packed, lengths = drawn(4, 3, 32, 2), torch.tensor([90, 41], dtype=torch.int32)
    y = block_attention(q, k, v, packed, lengths=lengths)
    wide = block_attention(q.float(), k.float(), v.float(), packed, lengths=lengths)
    assert torch.equal(y, wide.bfloat16())


def test_threads_and_strides_do_not_change_a_bit(isa: str, threads: int) -> None:
    q, k, v = (x.transpose(1, 2) for x in three(2, 256, 4, 4, 64))  # (B, H, L, D), enough work
    packed = drawn(4, 4, 64, 2, 4)
    y = block_attention(q, k, v, packed)
    torch.set_num_threads(1)
    assert torch.equal(y, block_attention(q.contiguous(), k.contiguous(), v.contiguous(), packed))


@pytest.mark.parametrize("lead", [(), (2,), (2, 2)])
@pytest.mark.parametrize("causal", [False, True])
def test_gradients_are_those_of_the_reference(lead: tuple[int, ...], causal: bool) -> None:
    """In float64: the formulas against autograd through the dense masked softmax."""
    q, k, v = (x.double().requires_grad_() for x in three(2, 2, 40, 50, 5))
    packed, lengths = drawn(3, 4, 16, *lead, seed=3), torch.tensor([50, 20], dtype=torch.int32)
    keep = blocks.kept_pairs(packed, 40, 50, causal, lengths)
    y = reference(q, k, v, keep, 0.4)
    upstream = normal(*y.shape, seed=5).double()
    theirs = torch.autograd.grad(y, (q, k, v), upstream)
    plain = (x.detach() for x in (q, k, v))
    ours = gradient(upstream, *plain, packed.indptr, packed.indices, lengths, 16, 0.4, causal)
    torch.testing.assert_close(ours, theirs)


def test_the_operation_has_that_gradient(isa: str) -> None:
    q, k, v = (x.requires_grad_() for x in three(1, 2, 48, 48, 8))
    packed = drawn(3, 3, 16, 2)
    y = block_attention(q, k, v, packed, causal=True)
    dense = reference(q, k, v, blocks.kept_pairs(packed, 48, 48, True, None), 8**-0.5)
    upstream = normal(*y.shape, seed=5)
    ours = torch.autograd.grad(y, (q, k, v), upstream)
    theirs = torch.autograd.grad(dense, (q, k, v), upstream)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("needs_grad", [False, True])
def test_the_operation_passes_the_checks_of_torch(needs_grad: bool) -> None:
    q, k, v = (x.requires_grad_(needs_grad) for x in three(1, 2, 40, 40, 8))
    packed, lengths = drawn(3, 3, 16), torch.tensor([33], dtype=torch.int32)
    for counted in (None, lengths):
        arguments = (q, k, v, packed.indptr, packed.indices, counted, 16, 0.3, True)
        checks = torch.library.opcheck(torch.ops.octavo.block_attention.default, arguments)
        assert set(checks.values()) == {"SUCCESS"}


def test_the_module_compiles_exports_saves_and_simulates(tmp_path: Path) -> None:
    inputs = three(2, 2, 100, 100, 16)
    module = BlockAttention(drawn(4, 4, 32, 2), causal=True)
    y = module(*inputs)
    torch.testing.assert_close(y, module.simulate(*inputs), rtol=1e-5, atol=1e-6)
    assert torch.equal(torch.compile(module, fullgraph=True, backend="aot_eager")(*inputs), y)
    assert torch.equal(torch.export.export(module, inputs).module()(*inputs), y)
    torch.save(module.state_dict(), tmp_path / "state.pt")
    fresh = BlockAttention(PackedBlocks(*map(torch.zeros_like, module.packed[:2]), 32), None, True)
    fresh.load_state_dict(torch.load(tmp_path / "state.pt"))
    assert torch.equal(fresh(*inputs), y)
    assert module.bytes_on_disk() == 4 * (2 * 5 + len(module.indices))


def test_a_list_is_saved_and_loaded() -> None:
    packed = drawn(5, 7, 64, 2, 3)
    again = load_packed(*packed.state())
    assert isinstance(again, PackedBlocks)
    assert again.size == 64
    assert torch.equal(again.indptr, packed.indptr)
    assert torch.equal(again.indices, packed.indices)


@given(
    lead=st.sampled_from([(), (3,), (2, 3)]), rows=st.integers(1, 6), columns=st.integers(1, 6),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_a_mask_survives_the_list(
    lead: tuple[int, ...], rows: int, columns: int, seed: int
) -> None:
    mask = torch.rand(*lead, rows, columns, generator=seeded(seed)) < 0.4
    assert torch.equal(blocks.to_mask(from_mask(mask, 16), columns), mask)


@pytest.mark.parametrize(("count", "ends"), list(product((1, 2, 9, 16), (0, 1))))
def test_bigbird_keeps_what_it_says(count: int, ends: int) -> None:
    packed = blocks.bigbird_blocks(count, 32, generator=seeded(1), heads=3, ends=ends, random=2)
    mask = blocks.to_mask(packed, count)
    assert mask.shape == (3, count, count)
    assert mask.diagonal(dim1=-2, dim2=-1).all()
    assert not ends or (mask[:, :, 0].all() and mask[:, -1].all())
    assert (mask.sum(-1) >= min(count, 1 + 2)).all()
    again = blocks.bigbird_blocks(count, 32, generator=seeded(1), heads=3, ends=ends, random=2)
    assert torch.equal(again.indices, packed.indices)


def test_empty_batches_and_no_keys(isa: str) -> None:
    packed = drawn(1, 1, 16)
    assert block_attention(*three(0, 2, 9, 9, 4), packed).shape == (0, 2, 9, 4)
    nothing = from_mask(torch.zeros(1, 0, dtype=torch.bool), 16)
    y = block_attention(*three(1, 1, 9, 0, 4), nothing)
    assert torch.equal(y, torch.zeros(1, 1, 9, 4))


def test_errors_at_the_door() -> None:
    q, k, v = three(1, 2, 32, 32, 4)
    good = drawn(2, 2, 16)
    for wrong, message in (
        ((q.double(), k, v, good), "float32"),
        ((q, k.bfloat16(), v, good), "all torch.float32"),
        ((q, k[..., :3], v, good), "must be"),
        ((q, k, v, drawn(3, 2, 16)), "needs 2"),
        ((q, k, v, drawn(2, 2, 16, 3)), "needs 2"),
        ((q, k, v, drawn(2, 9, 16)), "past the last"),
    ):
        with pytest.raises(InputError, match=message):
            block_attention(*wrong)
    with pytest.raises(InputError, match="above zero"):
        block_attention(q, k, v, good, scale=-1.0)
    with pytest.raises(InputError, match="int32"):
        block_attention(q, k, v, good, lengths=torch.tensor([3]))


@pytest.mark.parametrize(
    ("indptr", "indices", "size", "message"),
    [
        ([0, 2], [0, 1], 8, "size must be"),
        ([0, 2], [1, 0], 16, "ascend"),
        ([0, 2], [1, 1], 16, "ascend"),
        ([0, 2], [-1, 1], 16, "ascend"),
        ([0, 1], [0, 1], 16, "end at the length"),
        ([0, 2, 1, 2], [0, 1], 16, "never fall"),
        ([1, 2], [0, 1], 16, "start at 0"),
    ],
)
def test_broken_lists_are_refused(
    indptr: list[int], indices: list[int], size: int, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        blocks.pack(torch.tensor(indptr), torch.tensor(indices), size)
