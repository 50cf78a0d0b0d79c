"""cluster_attention on every instruction set: clusters exactly, answers by two oracles."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import EPSILON
from torch import Tensor

from octavo.errors import InputError
from octavo.kernels import cluster_attention as method
from octavo.kernels import runtime
from octavo.kernels.cluster_attention import (
    cluster_attention,
    hamming_kmeans,
    hash_queries,
    random_planes,
    reference,
    reference_kmeans,
)
from octavo.kernels.cluster_attention.gradient import gradient
from octavo.kernels.modules import ClusterAttention

NATIVE = [name for name in runtime.backends() if name != runtime.REFERENCE]
some = settings(max_examples=40, deadline=None)

pytestmark = pytest.mark.skipif(not NATIVE, reason="native kernels are not built here")


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*sizes: int, seed: int = 0) -> Tensor:
    return torch.randn(sizes, generator=seeded(seed))


def three(b: int, h: int, n: int, m: int, d: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    return normal(b, h, n, d, seed=seed), normal(b, h, m, d, seed=seed + 1), normal(b, h, m, d)


def codes_of(*sizes: int, bits: int = 63, seed: int = 0) -> Tensor:
    return torch.randint(0, 2**bits - 1, sizes, generator=seeded(seed))


Chosen = tuple[Tensor, Tensor, Tensor, Tensor]


def chosen(b: int, h: int, n: int, m: int, d: int, c: int, t: int, seed: int = 0) -> Chosen:
    """Clusters, keys, mass and base as they may come."""
    member = torch.randint(0, c, (b, h, n), generator=seeded(seed), dtype=torch.int32)
    top = torch.rand(b, h, c, m, generator=seeded(seed)).topk(t).indices.int()
    return member, top, torch.rand(b, h, c, generator=seeded(seed)), normal(b, h, c, d, seed=seed)


@some
@given(
    rows=st.integers(0, 3), n=st.integers(1, 150), bits=st.sampled_from([1, 3, 16, 33, 63]),
    share=st.floats(0, 1), iterations=st.integers(0, 6), seed=st.integers(0, 999),
)  # fmt: skip
def test_clusters_are_those_of_the_reference(
    rows: int, n: int, bits: int, share: float, iterations: int, seed: int
) -> None:
    codes, clusters = codes_of(rows, n, bits=bits, seed=seed), max(1, int(share * n))
    expected = reference_kmeans(codes, clusters, iterations)
    for name in NATIVE:
        runtime.native.use(name)
        assert torch.equal(hamming_kmeans(codes, clusters, iterations), expected)


def test_codes_are_the_signs_of_the_products(isa: str) -> None:
    q, planes = normal(2, 3, 50, 8), random_planes(37, 8, seeded(1))
    above = torch.cat((q, torch.ones(2, 3, 50, 1)), -1) @ planes.T > 0
    expected = (above.long() << torch.arange(37)).sum(-1)
    assert (hash_queries(q, planes) == expected).float().mean() > 0.99  # but for rounding at zero


@some
@given(
    sizes=st.tuples(st.integers(1, 2), st.integers(1, 2), st.integers(1, 200), st.integers(1, 150)),
    d=st.sampled_from([1, 5, 16, 40, 64]), c=st.integers(1, 9), t=st.integers(1, 128),
    scale=st.sampled_from([0.1, 1.0, 4.0]), seed=st.integers(0, 999),
)  # fmt: skip
def test_the_two_oracle_rule_holds(
    sizes: tuple[int, int, int, int], d: int, c: int, t: int, scale: float, seed: int
) -> None:
    q, k, v = three(*sizes, d, seed)
    member, top, mass, base = chosen(*sizes, d, c, min(t, sizes[3]), seed)
    single = reference(q, k, v, member, top, mass, base, scale)
    double = (x.double() for x in (q, k, v))
    exact = reference(*double, member, top, mass.double(), base.double(), scale)
    largest = (q.double().norm(dim=-1).max() * k.double().norm(dim=-1).max() * scale).item()
    allowed = 2 * (single - exact).abs().max() + (8 + largest) * EPSILON * (
        v.abs().max() + base.abs().max()
    )
    for name in NATIVE:
        runtime.native.use(name)
        y = torch.ops.octavo.cluster_attention(q, k, v, member, top, mass, base, scale)
        assert (y - exact).abs().max() <= allowed


def test_as_many_clusters_as_queries_are_full_attention(isa: str) -> None:
    q, k, v = three(1, 2, 48, 60, 16)
    for top in (0, 1, 20, 60):
        y = cluster_attention(q, k, v, random_planes(63, 16, seeded(0)), clusters=48, top=top)
        torch.testing.assert_close(y, F.scaled_dot_product_attention(q, k, v))


def test_more_keys_come_nearer_to_full_attention(isa: str) -> None:
    """Section 3.3: the improved rows are never further from the true ones, in the L1 norm.

    Values that are the unit vectors show the rows themselves.
    """
    q, k = normal(1, 2, 96, 8), normal(1, 2, 64, 8, seed=1) * 2
    v, planes = torch.eye(64).expand(1, 2, 64, 64), random_planes(31, 8, seeded(0))
    q, k = (F.pad(x, (0, 56)) for x in (q, k))
    planes = torch.cat((planes[:, :8], torch.zeros(31, 56), planes[:, 8:]), 1)
    full = F.scaled_dot_product_attention(q, k, v, scale=1.0)
    apart = [
        (cluster_attention(q, k, v, planes, clusters=7, top=top, scale=1.0) - full).abs().sum(-1)
        for top in (0, 4, 16, 64)
    ]
    for improved in apart[1:]:
        assert (improved <= apart[0] + 1e-5).all()
    assert apart[3].max() < 1e-4


def test_threads_and_strides_do_not_change_a_bit(isa: str, threads: int) -> None:
    q, k, v = (x.transpose(1, 2) for x in three(2, 512, 4, 4, 32))  # (B, H, L, D), enough work
    planes = random_planes(63, 32, seeded(0))
    member = hamming_kmeans(hash_queries(q, planes), 40)
    chose = chosen(2, 4, 512, 512, 32, 40, 32)[1:]
    y = torch.ops.octavo.cluster_attention(q, k, v, member, *chose, 0.2)
    torch.set_num_threads(1)
    assert torch.equal(member, hamming_kmeans(hash_queries(q, planes), 40))
    q, k, v = (x.contiguous() for x in (q, k, v))
    assert torch.equal(y, torch.ops.octavo.cluster_attention(q, k, v, member, *chose, 0.2))


def test_gradients_are_those_of_the_reference() -> None:
    """In float64: the formulas against autograd through the oracle."""
    q, k, v = (x.double().requires_grad_() for x in three(2, 2, 30, 25, 5))
    member, top, mass, base = chosen(2, 2, 30, 25, 5, 4, 6)
    mass, base = (x.double().requires_grad_() for x in (mass, base))
    y = reference(q, k, v, member, top, mass, base, 0.4)
    upstream = normal(*y.shape, seed=5).double()
    theirs = torch.autograd.grad(y, (q, k, v, mass, base), upstream)
    plain = [x.detach() for x in (q, k, v, mass, base)]
    ours = gradient(upstream, *plain[:3], member, top, *plain[3:], 0.4)
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("top", [0, 6])
def test_the_method_trains(isa: str, top: int) -> None:
    module = ClusterAttention(8, 5, generator=seeded(0), top=top)
    inputs = [x.requires_grad_() for x in three(1, 2, 40, 30, 8)]
    ours = torch.autograd.grad(module(*inputs).square().sum(), inputs)
    theirs = torch.autograd.grad(module.simulate(*inputs).square().sum(), inputs)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("needs_grad", [False, True])
def test_the_operations_pass_the_checks_of_torch(needs_grad: bool) -> None:
    q, k, v = (x.requires_grad_(needs_grad) for x in three(1, 2, 20, 12, 8))
    arguments = (q, k, v, *chosen(1, 2, 20, 12, 8, 3, 4), 0.3)
    checks = torch.library.opcheck(torch.ops.octavo.cluster_attention.default, arguments)
    checks |= torch.library.opcheck(torch.ops.octavo.hamming_kmeans.default, (codes_of(2, 9), 3, 4))
    assert set(checks.values()) == {"SUCCESS"}


def test_the_module_compiles_exports_saves_and_simulates() -> None:
    inputs = three(1, 2, 100, 90, 16)
    module = ClusterAttention(16, 7, generator=seeded(0), top=10)
    y = module(*inputs)
    torch.testing.assert_close(y, module.simulate(*inputs), rtol=1e-5, atol=1e-6)
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")(*inputs)
    torch.testing.assert_close(compiled, y)
    assert torch.equal(torch.export.export(module, inputs).module()(*inputs), y)
    fresh = ClusterAttention(16, 7, generator=seeded(1), top=10)
    fresh.load_state_dict(module.state_dict())
    assert torch.equal(fresh(*inputs), y)
    assert module.bytes_on_disk() == 63 * 17 * 4


def test_empty_batches(isa: str) -> None:
    planes = random_planes(9, 4, seeded(0))
    assert cluster_attention(*three(0, 2, 9, 9, 4), planes, clusters=3, top=2).shape == (0, 2, 9, 4)


def test_errors_at_the_door() -> None:
    q, k, v = three(1, 2, 32, 30, 4)
    planes = random_planes(31, 4, seeded(0))
    for wrong, options, message in (
        ((q.double(), k, v, planes), {"clusters": 3}, "float32"),
        ((q, k, v[:, :, :3], planes), {"clusters": 3}, "both must"),
        ((q, k, v, planes[:, :4]), {"clusters": 3}, r"\(bits, 5\)"),
        ((q, k, v, planes.repeat(3, 1)), {"clusters": 3}, "hyperplanes; 1 to 63"),
        ((q, k, v, planes), {"clusters": 33}, "1 to 32 clusters"),
        ((q, k, v, planes), {"clusters": 3, "top": 31}, "of 0 to 30 keys"),
    ):
        with pytest.raises(InputError, match=message):
            cluster_attention(*wrong, **options)
    with pytest.raises(InputError, match="int64"):
        hamming_kmeans(torch.zeros(3, dtype=torch.int32), 2)
    with pytest.raises(InputError, match="1 to 3"):
        hamming_kmeans(codes_of(3), 4)
    assert method.BITS == 63
