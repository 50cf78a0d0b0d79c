"""kmeans_assign on every instruction set: numbers exactly, vectors as near as float32 can tell."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import EPSILON
from torch import Tensor

from octavo.errors import InputError
from octavo.kernels import runtime
from octavo.kernels.kmeans_assign import kmeans_assign, kmeans_sums, reference, reference_sums

NATIVE = [name for name in runtime.backends() if name != runtime.REFERENCE]
some = settings(max_examples=40, deadline=None)

pytestmark = pytest.mark.skipif(not NATIVE, reason="native kernels are not built here")


def normal(*sizes: int, seed: int = 0) -> Tensor:
    return torch.randn(sizes, generator=torch.Generator().manual_seed(seed))


@some
@given(n=st.integers(0, 130), k=st.integers(1, 600), seed=st.integers(0, 999))
def test_numbers_get_the_codes_of_the_reference(n: int, k: int, seed: int) -> None:
    centroids = (normal(k, seed=seed) * 4).round(decimals=seed % 3).sort().values  # with doubles
    middles = (centroids[1:] + centroids[:-1]) / 2
    x = torch.cat((normal(n, seed=seed + 1) * 4, middles))  # ties too
    expected = reference(x, centroids)
    for name in NATIVE:
        runtime.native.use(name)
        codes = kmeans_assign(x, centroids)
        assert codes.dtype == (torch.uint8 if k <= 256 else torch.int32)
        assert torch.equal(codes, expected)


@pytest.mark.parametrize("k", [1, 2, 3, 7, 8, 9, 16, 17, 32, 33, 64, 100, 128, 200, 255, 256, 257])
def test_every_depth_of_the_tree(isa: str, k: int) -> None:
    centroids = torch.arange(k).float()
    x = torch.cat((torch.arange(-2, k + 2).float() + 0.25, torch.tensor([torch.inf, -torch.inf])))
    assert torch.equal(kmeans_assign(x, centroids).long(), x.round().clamp(0, k - 1).long())


def test_a_nan_goes_to_the_last(isa: str) -> None:
    x, centroids = torch.full((37,), torch.nan), torch.arange(5).float()
    assert torch.equal(kmeans_assign(x, centroids), torch.full((37,), 4, dtype=torch.uint8))
    assert torch.equal(reference(x, centroids), kmeans_assign(x, centroids))


@some
@given(n=st.integers(0, 150), d=st.integers(1, 20), k=st.integers(1, 300), seed=st.integers(0, 999))
def test_vectors_get_a_nearest_centroid(n: int, d: int, k: int, seed: int) -> None:
    x, centroids = normal(n, d, seed=seed), normal(k, d, seed=seed + 1)
    distances = torch.cdist(x.double(), centroids.double()).square()  # (n, k)
    sizes = x.double().square().sum(1) + centroids.double().square().sum(1).max()
    for name in NATIVE:
        runtime.native.use(name)
        codes = kmeans_assign(x, centroids).long()
        assert codes.shape == (n,)
        chosen = distances.gather(1, codes.unsqueeze(1)).squeeze(1)
        assert (chosen <= distances.min(1).values + (d + 2) * EPSILON * sizes).all()


def test_whole_vectors_are_exact_and_ties_go_to_the_lower(isa: str) -> None:
    centroids = torch.randint(-9, 10, (70, 5), generator=torch.Generator().manual_seed(0)).float()
    x = torch.randint(-9, 10, (333, 5), generator=torch.Generator().manual_seed(1)).float()
    centroids[40:] = centroids[:30]
    assert torch.equal(kmeans_assign(x, centroids), reference(x, centroids))


@pytest.mark.parametrize("d", [0, 3])
def test_threads_and_strides_do_not_change_a_code(isa: str, threads: int, d: int) -> None:
    x = normal(2, 90_000, seed=3)[:, ::2] if d == 0 else normal(3, 9000, 7).permute(2, 1, 0)
    centroids = normal(64).sort().values if d == 0 else normal(700, d)
    codes = kmeans_assign(x, centroids)
    assert codes.shape == (x.shape if d == 0 else x.shape[:-1])
    torch.set_num_threads(1)
    assert torch.equal(codes, kmeans_assign(x.contiguous(), centroids))


@some
@given(
    n=st.integers(0, 300), k=st.integers(1, 300), d=st.integers(0, 9), seed=st.integers(0, 999),
    weighted=st.booleans(),
)  # fmt: skip
def test_sums_are_those_of_float64(n: int, k: int, d: int, seed: int, weighted: bool) -> None:
    x = normal(n, d, seed=seed) if d else normal(n, seed=seed)
    kind = torch.uint8 if k <= 256 else torch.int32
    codes = torch.randint(0, k, (n,), generator=torch.Generator().manual_seed(seed)).to(kind)
    weights = normal(n, seed=seed + 1).abs() if weighted else None
    ours, theirs = kmeans_sums(x, codes, k, weights), reference_sums(x, codes, k, weights)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_threads_do_not_change_a_sum(threads: int) -> None:
    x, weights = normal(200_000, 3), normal(200_000, seed=1).abs()
    codes = torch.arange(200_000).remainder(77).to(torch.uint8)
    sums = kmeans_sums(x, codes, 77, weights)
    torch.set_num_threads(1)
    again = kmeans_sums(x, codes, 77, weights)
    assert all(torch.equal(a, b) for a, b in zip(sums, again, strict=True))


def test_weighted_steps_lessen_the_weighted_error(isa: str) -> None:
    x, weights = normal(4000), normal(4000, seed=1).abs() ** 4
    centroids = torch.linspace(-3, 3, 9)
    errors = []
    for _ in range(8):
        codes = kmeans_assign(x, centroids)
        errors.append(float(((x - centroids[codes.long()]) ** 2 * weights).sum()))
        sums = kmeans_sums(x, codes, 9, weights)
        centroids = (sums.of_points / sums.weights).float()
    assert all(after <= before * (1 + 1e-6) for before, after in itertools.pairwise(errors))
    assert errors[-1] < errors[0]


def test_errors_at_the_door_of_sums() -> None:
    x, codes = torch.ones(3), torch.zeros(3, dtype=torch.uint8)
    for bad in (
        (x.double(), codes, 2), (x, codes.long(), 2), (x[:2], codes, 2), (x, codes, 0),
        (x, codes, 2, x[:2]), (x, codes + 2, 2), (x, codes.int() - 1, 2),
        (x[:, None, None], codes, 2), (x[:, None][:, :0], codes, 2),
    ):  # fmt: skip
        with pytest.raises(InputError, match="kmeans_sums"):
            kmeans_sums(*bad)


def test_the_operation_passes_the_checks_of_torch() -> None:
    torch.library.opcheck(
        torch.ops.octavo.kmeans_assign.default, (normal(6, 2), normal(300, 2)),
        test_utils=("test_schema", "test_faketensor"),
    )  # fmt: skip


def test_errors_at_the_door() -> None:
    with pytest.raises(InputError, match="must ascend"):
        kmeans_assign(torch.ones(3), torch.tensor([1.0, 0.0]))
    with pytest.raises(InputError, match="must ascend"):
        kmeans_assign(torch.ones(3), torch.tensor([1.0, torch.nan]))
    with pytest.raises(InputError, match="must be 2"):
        kmeans_assign(torch.ones(3, 3), torch.ones(4, 2))
    with pytest.raises(InputError, match="at least 1"):
        kmeans_assign(torch.ones(3), torch.ones(0))
    with pytest.raises(InputError, match="float32"):
        kmeans_assign(torch.ones(3).double(), torch.ones(2))
