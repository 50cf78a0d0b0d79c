"""Every kernel on every instruction set: integers exactly, floats by the two-oracle rule."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import within_two_oracles
from torch import Tensor

from octavo.errors import InputError
from octavo.kernels import (
    csr_spmm,
    int4_matmul,
    int8_matmul,
    load_packed,
    runtime,
    stripe_conv2d,
)
from octavo.kernels.csr_spmm.convolution import csr_conv2d
from octavo.kernels.int4_matmul.convolution import int4_conv2d
from octavo.kernels.int8_matmul.convolution import int8_conv2d

NATIVE = [name for name in runtime.backends() if name != runtime.REFERENCE]
some = settings(max_examples=40, deadline=None)

pytestmark = pytest.mark.skipif(not NATIVE, reason="native kernels are not built here")


def each_isa() -> Iterator[str]:
    """Each instruction set in turn."""
    for name in NATIVE:
        runtime.native.use(name)
        yield name


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def codes_of(n: int, k: int, low: int, high: int, seed: int = 0) -> Tensor:
    return torch.randint(low, high + 1, (n, k), generator=seeded(seed), dtype=torch.int8)


def whole_numbers(m: int, k: int, group: int) -> Tensor:
    """Activations that quantize to themselves: integers with a 127 in each group."""
    x = torch.randint(-127, 128, (m, k), generator=seeded(7)).float()
    x[:, ::group] = 127.0
    return x


SHAPES = [(1, 8, 1), (2, 24, 63), (3, 128, 64), (5, 264, 65), (7, 96, 130), (12, 64, 16)]
SHAPES += [(13, 512, 70), (17, 40, 128), (31, 72, 33), (37, 1024, 192), (65, 136, 100)]


@pytest.mark.parametrize(("m", "k", "n"), SHAPES)
@pytest.mark.parametrize("group", [8, None])
def test_int4_sums_are_exact(isa: str, m: int, k: int, n: int, group: int | None) -> None:
    codes, x = codes_of(n, k, -8, 7), whole_numbers(m, k, group or k)
    packed = int4_matmul.pack(codes, torch.ones(n, k // (group or k)), group)
    assert torch.equal(int4_matmul.int4_matmul(x, packed), x @ codes.float().T)


@pytest.mark.parametrize(("m", "k", "n"), [*SHAPES, (4, 1, 3), (2, 7, 65), (6, 99, 64)])
def test_int8_sums_are_exact(isa: str, m: int, k: int, n: int) -> None:
    codes, x = codes_of(n, k, -128, 127), whole_numbers(m, k, k)
    packed = int8_matmul.pack(codes, torch.ones(n))
    expected = (x.double() @ codes.double().T).float()
    assert torch.equal(int8_matmul.int8_matmul(x, packed), expected)


def test_extreme_codes_do_not_saturate(isa: str) -> None:
    x = torch.full((3, 4096), 127.0) * torch.tensor([[1.0], [-1.0], [1.0]])
    for low in (-8, 7):
        codes = torch.full((70, 4096), low, dtype=torch.int8)
        packed = int4_matmul.pack(codes, torch.ones(70, 1))
        assert torch.equal(int4_matmul.int4_matmul(x, packed), x @ codes.float().T)
    for low in (-128, 127):
        codes = torch.full((70, 4096), low, dtype=torch.int8)
        packed = int8_matmul.pack(codes, torch.ones(70))
        expected = (x.double() @ codes.double().T).float()
        assert torch.equal(int8_matmul.int8_matmul(x, packed), expected)


@pytest.mark.parametrize("kernel", ["int4", "int8", "csr", "stripes"])
def test_threads_do_not_change_a_bit(isa: str, threads: int, kernel: str) -> None:
    """The work is above the serial threshold, so the pool takes part."""
    x, weight = torch.randn(96, 768, generator=seeded(0)), torch.randn(640, 768)
    if kernel == "int4":
        packed = int4_matmul.pack(codes_of(640, 768, -8, 7), torch.rand(640, 12), 64)
        run = lambda: int4_matmul.int4_matmul(x, packed)  # noqa: E731
    elif kernel == "int8":
        eight = int8_matmul.pack(codes_of(640, 768, -128, 127), torch.rand(640))
        run = lambda: int8_matmul.int8_matmul(x, eight)  # noqa: E731
    elif kernel == "csr":
        sparse = csr_spmm.pack(weight * (torch.rand(640, 768) < 0.2))
        run = lambda: csr_spmm.csr_spmm(x, sparse)  # noqa: E731
    else:
        image = torch.randn(1, 32, 40, 40, generator=seeded(0))
        stripes = stripe_conv2d.pack(torch.randn(48, 32, 3, 3), torch.rand(48, 3, 3) < 0.5)
        run = lambda: stripe_conv2d.stripe_conv2d(image, stripes, padding=1)  # noqa: E731
    y = run()
    torch.set_num_threads(1)
    assert torch.equal(y, run())


@some
@given(
    m=st.integers(0, 40),
    groups=st.integers(1, 5),
    group=st.sampled_from([8, 16, 24, 32, 40, 64, 128]),
    n=st.integers(1, 140),
    seed=st.integers(0, 999),
)
def test_int4_keeps_the_two_oracle_rule(m: int, groups: int, group: int, n: int, seed: int) -> None:
    k = groups * group
    x, scales = torch.randn(m, k, generator=seeded(seed)), torch.rand(n, groups)
    codes, bias = codes_of(n, k, -8, 7, seed), torch.randn(n)
    packed = int4_matmul.pack(codes, scales, group)
    single = int4_matmul.reference(x, codes, scales, group) + bias
    q = runtime.activations.quantize_rows(x, group)
    parts = codes.view(n, groups, group).double()
    sums = torch.einsum("mgk,ngk->mng", q.codes.double(), parts)
    exact = torch.einsum("mng,mg,ng->mn", sums, q.steps.double(), scales.double()) + bias
    size = torch.einsum("mng,mg,ng->mn", sums.abs(), q.steps.double(), scales.double())
    for _ in each_isa():
        y = int4_matmul.int4_matmul(x, packed, bias)
        within_two_oracles(y, single, exact, size)


@some
@given(
    m=st.integers(0, 70),
    k=st.integers(1, 300),
    n=st.integers(1, 140),
    density=st.sampled_from([0.0, 0.02, 0.1, 0.5, 1.0]),
    seed=st.integers(0, 999),
)
def test_csr_keeps_the_two_oracle_rule(m: int, k: int, n: int, density: float, seed: int) -> None:
    weight = torch.randn(n, k, generator=seeded(seed))
    weight = weight * (torch.rand(n, k, generator=seeded(seed + 1)) < density)
    x, bias = torch.randn(m, k, generator=seeded(seed + 2)), torch.randn(n)
    packed = csr_spmm.pack(weight)
    assert torch.equal(csr_spmm.unpack(packed), weight)
    single, exact = F.linear(x, weight, bias), F.linear(x.double(), weight.double(), bias.double())
    size = F.linear(x.abs(), weight.abs(), bias.abs())
    for _ in each_isa():
        within_two_oracles(csr_spmm.csr_spmm(x, packed, bias), single, exact, size)


@some
@given(
    batch=st.integers(0, 2),
    c=st.integers(1, 70),
    n=st.integers(1, 20),
    size=st.tuples(st.integers(5, 19), st.integers(5, 19)),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.integers(1, 3),
    padding=st.integers(0, 2),
    dilation=st.integers(1, 2),
    density=st.sampled_from([0.0, 0.3, 0.7, 1.0]),
)
def test_stripes_keep_the_two_oracle_rule(
    batch: int,
    c: int,
    n: int,
    size: tuple[int, int],
    kernel: tuple[int, int],
    stride: int,
    padding: int,
    dilation: int,
    density: float,
) -> None:
    weight, bias = torch.randn(n, c, *kernel, generator=seeded(c)), torch.randn(n)
    keep = torch.rand(n, *kernel, generator=seeded(n)) < density
    x = torch.randn(batch, c, *size, generator=seeded(batch))
    packed = stripe_conv2d.pack(weight, keep)
    kept, mask = stripe_conv2d.unpack(packed)
    assert torch.equal(kept, weight * keep.unsqueeze(1))
    assert torch.equal(mask, keep)
    single = F.conv2d(x, kept, bias, stride, padding, dilation)
    exact = F.conv2d(x.double(), kept.double(), bias.double(), stride, padding, dilation)
    size = F.conv2d(x.abs(), kept.abs(), bias.abs(), stride, padding, dilation)
    sparse = csr_spmm.pack(kept.flatten(1))
    for _ in each_isa():
        y = stripe_conv2d.stripe_conv2d(x, packed, bias, stride, padding, dilation)
        z = csr_conv2d(x, sparse, kernel, bias, stride, padding, dilation)
        within_two_oracles(y, single, exact, size)
        within_two_oracles(z, single, exact, size)


@some
@given(
    batch=st.integers(0, 3),
    c=st.integers(1, 20),
    n=st.integers(1, 70),
    size=st.tuples(st.integers(5, 12), st.integers(5, 12)),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.integers(1, 3),
    padding=st.integers(0, 2),
    dilation=st.integers(1, 2),
)
def test_integer_convolution_is_the_product_over_patches(
    batch: int,
    c: int,
    n: int,
    size: tuple[int, int],
    kernel: tuple[int, int],
    stride: int,
    padding: int,
    dilation: int,
) -> None:
    """Scales are one, so the product over unfolded patches is met to the last bit."""
    k = c * kernel[0] * kernel[1]
    group = 8 if k % 8 == 0 else None
    packed = int4_matmul.pack(codes_of(n, k, -8, 7), torch.ones(n, k // (group or k)), group)
    x, bias = torch.randn(batch, c, *size, generator=seeded(c)), torch.randn(n)
    patches = F.unfold(x, kernel, dilation, padding, stride).transpose(1, 2)
    for _ in each_isa():
        y = int4_conv2d(x, packed, kernel, bias, stride, padding, dilation)
        product = int4_matmul.int4_matmul(patches, packed, bias)
        assert torch.equal(y.flatten(2).transpose(1, 2), product)
    wide = int8_matmul.pack(codes_of(n, k, -127, 127), torch.ones(n))
    for _ in each_isa():
        y = int8_conv2d(x, wide, kernel, bias, stride, padding, dilation)
        product = int8_matmul.int8_matmul(patches, wide, bias)
        assert torch.equal(y.flatten(2).transpose(1, 2), product)


def test_quantized_codes_are_those_of_the_reference(isa: str) -> None:
    """Identity weights return the codes times the step, so each code is seen."""
    x = torch.randn(9, 64, generator=seeded(3)) * torch.logspace(-20, 20, 9).unsqueeze(1)
    packed = int8_matmul.pack(torch.eye(64, dtype=torch.int8), torch.ones(64))
    q = runtime.activations.quantize_rows(x, 64)
    assert torch.equal(int8_matmul.int8_matmul(x, packed), (q.codes * q.steps[..., None])[:, 0])


def test_zeros_tiny_and_non_finite_rows(isa: str) -> None:
    x = torch.ones(5, 32)
    x[0], x[1], x[2, 5], x[3, 31] = 0.0, 1e-40, float("nan"), float("inf")
    codes, scales = codes_of(70, 32, -8, 7), torch.ones(70, 1)
    y = int4_matmul.int4_matmul(x, int4_matmul.pack(codes, scales))
    assert torch.equal(y[0], torch.zeros(70))
    assert torch.equal(y[[1, 4]], int4_matmul.reference(x, codes, scales)[[1, 4]])
    assert y[2:4].isnan().all()


def test_a_pruned_weight_never_touches_x(isa: str) -> None:
    weight = torch.zeros(70, 32)
    weight[:, 0] = 1.0
    x = torch.full((9, 32), float("nan"))
    x[:, 0] = 2.0
    assert torch.equal(csr_spmm.csr_spmm(x, csr_spmm.pack(weight)), torch.full((9, 70), 2.0))


def test_strides_and_leading_dimensions(isa: str) -> None:
    codes, scales = codes_of(33, 48, -8, 7), torch.rand(33, 3)
    packed = int4_matmul.pack(codes.T.contiguous().T, scales, 16)
    wide = torch.randn(96, 5, 4)
    x = wide.permute(1, 2, 0)[..., ::2]  # (5, 4, 48), no dimension contiguous
    y = int4_matmul.int4_matmul(x, packed)
    assert y.shape == (5, 4, 33)
    assert torch.equal(y, int4_matmul.int4_matmul(x.contiguous(), packed))
    assert torch.equal(y[2, 3], int4_matmul.int4_matmul(x[2, 3], packed))
    image = torch.randn(2, 9, 9, 6).permute(0, 3, 1, 2)
    stripes = stripe_conv2d.pack(torch.randn(4, 6, 3, 3), torch.rand(4, 3, 3) < 0.5)
    one, two = (stripe_conv2d.stripe_conv2d(i, stripes) for i in (image, image.contiguous()))
    assert torch.equal(one, two)


def packed_examples() -> list[object]:
    keep = torch.rand(7, 3, 2, generator=seeded(1)) < 0.5
    return [
        int4_matmul.pack(codes_of(70, 48, -8, 7), torch.rand(70, 3), 16),
        int8_matmul.pack(codes_of(70, 49, -128, 127), torch.rand(70)),
        csr_spmm.pack(torch.randn(70, 300) * (torch.rand(70, 300) < 0.1)),
        stripe_conv2d.pack(torch.randn(7, 5, 3, 2), keep),
    ]


@pytest.mark.parametrize("packed", packed_examples(), ids=lambda p: type(p).__name__)
def test_state_round_trip(packed: int4_matmul.PackedInt4) -> None:
    tensors, meta = packed.state()
    again = load_packed({k: v.clone() for k, v in tensors.items()}, dict(meta))
    assert type(again) is type(packed)
    assert again.state()[1] == meta
    assert all(
        torch.equal(a, b) for a, b in zip(again.state()[0].values(), tensors.values(), strict=True)
    )
    with pytest.raises(InputError, match="version"):
        load_packed(tensors, {**meta, "version": 99})
    with pytest.raises(InputError, match="known are"):
        load_packed(tensors, {**meta, "format": "int3"})


def test_errors_at_the_door() -> None:
    codes = codes_of(8, 4096, -8, 7)
    with pytest.raises(InputError, match="group=48 does not divide in=4096; use 32, 64, 128"):
        int4_matmul.pack(codes, torch.ones(8, 1), 48)
    with pytest.raises(InputError, match=r"leave \[-8, 7\]"):
        int4_matmul.pack(codes + 1, torch.ones(8, 1))
    packed = int4_matmul.pack(codes, torch.ones(8, 1))
    with pytest.raises(InputError, match="float32"):
        int4_matmul.int4_matmul(torch.ones(2, 4096, dtype=torch.float64), packed)
    with pytest.raises(InputError, match="must be 4096"):
        int4_matmul.int4_matmul(torch.ones(2, 4095), packed)
    with pytest.raises(InputError, match="bias"):
        int4_matmul.int4_matmul(torch.ones(2, 4096), packed, torch.ones(9))
    with pytest.raises(InputError, match="scales"):
        int8_matmul.pack(codes, torch.ones(9))
    with pytest.raises(InputError, match="2 dimensions"):
        csr_spmm.pack(torch.ones(3))
    with pytest.raises(InputError, match="keep"):
        stripe_conv2d.pack(torch.ones(2, 2, 3, 3), torch.ones(2, 3, 3))
    stripes = stripe_conv2d.pack(torch.ones(2, 2, 3, 3), torch.ones(2, 3, 3, dtype=torch.bool))
    with pytest.raises(InputError, match="smaller"):
        stripe_conv2d.stripe_conv2d(torch.ones(1, 2, 2, 2), stripes)
