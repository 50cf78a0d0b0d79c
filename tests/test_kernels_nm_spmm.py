"""nm_spmm on every instruction set: patterns checked and found, two oracles, its place in torch."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import within_two_oracles
from torch import Tensor, nn

from octavo.errors import InputError
from octavo.kernels import load_packed, runtime
from octavo.kernels.modules import NmConv2d, NmLinear
from octavo.kernels.nm_spmm import PackedNm, layout, nm_spmm, pack, reference, unpack
from octavo.kernels.nm_spmm.convolution import nm_conv2d
from octavo.kernels.nm_spmm.layout import Pattern
from octavo.kernels.runtime import geometry

NATIVE = [name for name in runtime.backends() if name != runtime.REFERENCE]
some = settings(max_examples=30, deadline=None)
PATTERNS = [
    Pattern(2, 4, 1), Pattern(1, 4, 1), Pattern(3, 8, 1), Pattern(5, 16, 1), Pattern(4, 4, 1),
    Pattern(2, 4, 16), Pattern(5, 16, 16), Pattern(None, None, 16),
]  # fmt: skip

pytestmark = pytest.mark.skipif(not NATIVE, reason="native kernels are not built here")


def random(*sizes: int, seed: int = 0) -> Tensor:
    return torch.randn(sizes, generator=torch.Generator().manual_seed(seed))


def pruned(n: int, k: int, pattern: Pattern, seed: int = 0) -> Tensor:
    """A random weight (n, k) of this pattern; a free one keeps a quarter."""
    weight = random(n, k, seed=seed)
    kept, group, vector = pattern
    rows = -(-n // vector)
    if kept is None or group is None:
        keep = random(rows, k, seed=seed + 1) > 0.67
    else:
        groups = -(-k // group)
        order = random(rows, groups, group, seed=seed + 1).argsort(-1)
        keep = (order < kept).flatten(1)[:, :k]
    return weight * keep.repeat_interleave(vector, 0)[:n]


@some
@given(
    m=st.integers(1, 80), n=st.integers(1, 70), k=st.integers(1, 300),
    pattern=st.sampled_from(PATTERNS), seed=st.integers(0, 999),
)  # fmt: skip
def test_the_two_oracle_rule_holds(m: int, n: int, k: int, pattern: Pattern, seed: int) -> None:
    weight, x, bias = pruned(n, k, pattern, seed), random(m, k, seed=seed + 2), random(n)
    packed = pack(weight, *pattern)
    assert torch.equal(unpack(packed), weight)
    single, exact = reference(x, weight) + bias, reference(x.double(), weight.double()) + bias
    size = reference(x.abs(), weight.abs()) + bias.abs()
    for name in NATIVE:
        runtime.native.use(name)
        within_two_oracles(nm_spmm(x, packed, bias), single, exact, size)


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("m", [1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 17, 33, 64, 65, 130])
def test_every_number_of_rows_over_several_blocks(isa: str, pattern: Pattern, m: int) -> None:
    weight, x = pruned(40, 2100, pattern), random(m, 2100)
    single, exact = reference(x, weight), reference(x.double(), weight.double())
    size = reference(x.abs(), weight.abs())
    within_two_oracles(nm_spmm(x, pack(weight, *pattern)), single, exact, size)


@some
@given(
    channels=st.integers(1, 20), n=st.integers(1, 40), side=st.integers(3, 14),
    kernel=st.sampled_from([(1, 1), (3, 3), (2, 3)]), stride=st.integers(1, 2),
    padding=st.integers(0, 2), dilation=st.integers(1, 2), pattern=st.sampled_from(PATTERNS),
)  # fmt: skip
def test_convolutions_are_those_of_torch(
    channels: int, n: int, side: int, kernel: tuple[int, int], stride: int, padding: int,
    dilation: int, pattern: Pattern,
) -> None:  # fmt: skip
    tall, wide = kernel
    flat = pruned(n, channels * tall * wide, pattern)
    weight = flat.view(n, tall, wide, channels).permute(0, 3, 1, 2)
    x, bias = random(2, channels, side + 3, side + 4), random(n)
    packed, place = pack(flat, *pattern), (stride, padding, dilation)
    single = F.conv2d(x, weight, bias, *place)
    exact = F.conv2d(x.double(), weight.double(), bias.double(), *place)
    size = F.conv2d(x.abs(), weight.abs(), bias.abs(), *place)
    for name in NATIVE:
        runtime.native.use(name)
        within_two_oracles(nm_conv2d(x, packed, kernel, bias, *place), single, exact, size)


@pytest.mark.parametrize("pattern", [PATTERNS[0], PATTERNS[5]])
def test_threads_and_strides_do_not_change_a_bit(isa: str, threads: int, pattern: Pattern) -> None:
    packed = pack(pruned(300, 512, pattern), *pattern)
    wide, narrow = random(150, 2, 512)[:, 0], random(8, 512)
    y, z = nm_spmm(wide, packed), nm_spmm(narrow, packed)
    image = random(1, 128, 26, 26)
    c = nm_conv2d(image, packed, 2)
    torch.set_num_threads(1)
    assert torch.equal(y, nm_spmm(wide.contiguous(), packed))
    assert torch.equal(z, nm_spmm(narrow, packed))
    assert torch.equal(c, nm_conv2d(image, packed, 2))


def test_a_row_that_breaks_its_pattern_is_named() -> None:
    weight = pruned(20, 32, Pattern(2, 4, 1))
    weight[7, 8:12] = 1.0
    with pytest.raises(InputError, match="row 7, inputs 8 to 11: 4 are not zero; 2:4 allows 2"):
        pack(weight, 2, 4)
    shared = pruned(32, 32, Pattern(2, 8, 16))
    shared[17, 24:27] = 1.0
    with pytest.raises(InputError, match="rows 16 to 31, inputs 24 to 31"):
        pack(shared, 2, 8, 16)


@pytest.mark.parametrize("pattern", [p for p in PATTERNS if p.n != p.m or p.n is None])
def test_a_mask_tells_its_pattern(pattern: Pattern) -> None:
    keep = pruned(32, 64, pattern) != 0
    found = layout.patterns(keep)
    expected = pattern if pattern.vector == 1 else Pattern(None, None, 16)
    assert expected in found
    keep[3, :16] = True
    assert layout.patterns(keep) == []


def test_an_unstructured_mask_has_no_pattern() -> None:
    assert layout.patterns(random(64, 64) > 0) == []
    assert layout.patterns(torch.ones(16, 16, dtype=torch.bool)) == []
    assert layout.patterns(torch.zeros(16, 16, dtype=torch.bool)) != [Pattern(0, 4, 1)]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_packed_weights_are_saved_and_loaded(pattern: Pattern) -> None:
    packed = pack(pruned(20, 40, pattern), *pattern)
    tensors, meta = packed.state()
    again = load_packed(tensors, meta)
    assert isinstance(again, PackedNm)
    assert torch.equal(unpack(again), unpack(packed))
    with pytest.raises(InputError, match="version 2"):
        load_packed(tensors, {**meta, "version": 2})


def test_half_the_weights_take_little_more_than_half_the_bytes() -> None:
    module = NmLinear(pruned(64, 256, Pattern(2, 4, 1)))
    assert module.bytes_on_disk() == 64 * 256 * 2 + 64 * 128 // 4


@pytest.mark.parametrize(
    ("n", "m", "vector"),
    [(None, None, 1), (2, None, 16), (0, 4, 1), (5, 4, 1), (2, 5, 1), (2, 4, 2)],
)
def test_patterns_that_do_not_exist_are_refused(n: int, m: int, vector: int) -> None:
    with pytest.raises(InputError, match="nm_spmm"):
        pack(torch.zeros(4, 8), n, m, vector)


def test_the_door_refuses_what_does_not_fit() -> None:
    packed = pack(pruned(20, 8, Pattern(2, 4, 1)), 2, 4)
    with pytest.raises(InputError, match="float32"):
        nm_spmm(torch.zeros(2, 8, dtype=torch.float64), packed)
    with pytest.raises(InputError, match="must be 8"):
        nm_spmm(torch.zeros(2, 9), packed)
    with pytest.raises(InputError, match="bias"):
        nm_spmm(torch.zeros(2, 8), packed, torch.zeros(3))
    with pytest.raises(InputError, match="non-empty"):
        pack(torch.zeros(0, 4), 2, 4)
    with pytest.raises(InputError, match="does not divide"):
        nm_conv2d(torch.zeros(1, 1, 4, 4), packed, 3)
    with pytest.raises(ValueError, match="fit"):
        runtime.native.nm_spmm(random(2, 12), *packed[:3], None, random(2, 20), 2, 4, 1)


def modules() -> dict[str, tuple[nn.Module, Tensor]]:
    own, shared = Pattern(2, 4, 1), Pattern(None, None, 16)
    flat = pruned(20, 9 * 12, own).view(20, 3, 3, 12).permute(0, 3, 1, 2)
    block = pruned(32, 9 * 12, shared).view(32, 3, 3, 12).permute(0, 3, 1, 2)
    return {
        "own": (NmLinear(pruned(20, 40, own), own, random(20)), random(5, 40)),
        "shared": (NmLinear(pruned(32, 40, shared), shared, random(32)), random(2, 9, 40)),
        "own conv": (NmConv2d(flat, own, random(20), 2, 1), random(2, 12, 9, 11)),
        "shared conv": (NmConv2d(block, shared, None, 1, 1), random(2, 12, 9, 11)),
    }


@pytest.fixture(params=modules())
def case(request: pytest.FixtureRequest) -> tuple[nn.Module, Tensor]:
    return modules()[request.param]


def test_simulated_equals_executed(isa: str, case: tuple[nn.Module, Tensor]) -> None:
    module, x = case
    torch.testing.assert_close(module(x), module.simulate(x), rtol=1e-5, atol=1e-5)
    assert module(x[:0]).shape == (0, *module(x).shape[1:])


def test_compile_and_export_pass_through(case: tuple[nn.Module, Tensor]) -> None:
    module, x = case
    y = module(x)
    assert torch.equal(torch.compile(module, fullgraph=True, backend="aot_eager")(x), y)
    assert torch.equal(torch.export.export(module, (x,)).module()(x), y)


def test_state_moves_to_a_fresh_module(case: tuple[nn.Module, Tensor], tmp_path: Path) -> None:
    module, x = case
    torch.save(module.state_dict(), tmp_path / "state.pt")
    y = module(x)
    for buffer in module.buffers():
        buffer.zero_()
    module.load_state_dict(torch.load(tmp_path / "state.pt"))
    assert torch.equal(module(x), y)


def test_operations_pass_the_checks_of_torch_and_have_gradients(
    case: tuple[nn.Module, Tensor],
) -> None:
    module, x = case
    x, bias = x.requires_grad_(), random(module.packed.n).requires_grad_()
    tables, facts = module.packed[:3], module.packed[3:]
    op, rest = torch.ops.octavo.nm_spmm.default, facts
    if isinstance(module, NmConv2d):
        sizes = geometry.sizes("conv", module.kernel, *module.place)
        op, rest = torch.ops.octavo.nm_conv2d.default, (facts[0], *facts[2:], sizes)
    checks = torch.library.opcheck(op, (x, *tables, bias, *rest))
    assert set(checks.values()) == {"SUCCESS"}
    y = op(x, *tables, bias, *rest)
    upstream = random(*y.shape, seed=3)
    module.bias = None
    along = bias[:, None, None] if isinstance(module, NmConv2d) else bias
    ours = torch.autograd.grad(y, (x, bias), upstream)
    theirs = torch.autograd.grad(module.simulate(x) + along, (x, bias), upstream)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
