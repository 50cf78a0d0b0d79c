"""Attention by clusters of queries: each cluster attends once, each query then to its nearest keys.

    a[c, :] = softmax over all keys j of  s q[c] . k[j],      q[c] = mean of the cluster's queries
    o[i]    = sum over j not in T(c) of  a[c, j] v[j]  +  m[c] * sum over j in T(c) of  p[i, j] v[j]
    p[i, :] = softmax over j in T(c) of  s q[i] . k[j],       m[c] = sum over j in T(c) of  a[c, j]

    symbol  in code    shape, type
    q       q          (B, H, L, D) float32
    k, v    k, v       (B, H, M, D) float32
    s       scale      a number; 1 / sqrt(D) where not given
    c       member     (B, H, L) int32: the cluster of each query i
    T(c)    top        (B, H, C, T) int32: the keys that weigh most for the cluster, T up to 128
    m       mass       (B, H, C) float32
            base       (B, H, C, D) float32: the first sum

Queries are hashed, a bit for each hyperplane of `planes` (bits, D + 1), and clustered by k-means in
Hamming distance: exact in integers, the same on every instruction set. L C D + L T D products in
place of L M D. With as many clusters as queries it is full attention; T = 0 is the plain method.
The softmax is that of block_attention. The gradient goes through all but the clusters.
Source: Fast Transformers with Clustered Attention (arXiv 2007.04825), sections 3.2 and 3.3.
Differs: the first centres are queries spaced evenly; a cluster without members keeps its centre.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from octavo.errors import InputError
from octavo.kernels import runtime
from octavo.kernels.bit_pack import bit_pack
from octavo.kernels.cluster_attention.gradient import gradient
from octavo.kernels.runtime import door
from octavo.kernels.runtime.operation import define

BITS, MOST = 63, 128  # of a code; keys of a cluster

Kmeans = Callable[[Tensor, int, int], Tensor]


def reference(
    q: Tensor, k: Tensor, v: Tensor, member: Tensor, top: Tensor, mass: Tensor, base: Tensor,
    scale: float,
) -> Tensor:  # fmt: skip
    """The oracle, in torch, once clusters and their keys are chosen: (B, H, L, D)."""
    own = member.long().unsqueeze(-1)  # (B, H, L, 1)
    keys = top.long().gather(2, own.expand(*member.shape, top.shape[-1]))  # (B, H, L, T)
    batch, head = torch.arange(len(q))[:, None, None, None], torch.arange(q.shape[1])[:, None, None]
    near, values = k[batch, head, keys], v[batch, head, keys]  # (B, H, L, T, D)
    p = ((q.unsqueeze(-2) @ near.mT).squeeze(-2) * scale).softmax(-1)  # (B, H, L, T)
    answer = (p.unsqueeze(-2) @ values).squeeze(-2)  # (B, H, L, D)
    return base.gather(2, own.expand_as(q)) + mass.unsqueeze(-1).gather(2, own) * answer


def reference_kmeans(codes: Tensor, clusters: int, iterations: int) -> Tensor:
    """The oracle of the clusters: codes (..., L) int64 -> (..., L) int32."""
    bits = (codes.unsqueeze(-1) >> torch.arange(BITS) & 1).float()  # (..., L, bits)
    centres = bits[..., torch.arange(clusters) * codes.shape[-1] // clusters, :]
    member = _nearest(bits, centres)
    for _ in range(iterations):
        own = F.one_hot(member, clusters).float()  # (..., L, C)
        sizes, counts = own.sum(-2).unsqueeze(-1), own.mT @ bits
        centres = torch.where(sizes > 0, (2 * counts > sizes).float(), centres)
        member = _nearest(bits, centres)
    return member.int()


def _nearest(bits: Tensor, centres: Tensor) -> Tensor:
    """The centre (..., C, bits) with the fewest other bits, the lower of two as near: (..., L)."""
    apart = bits @ (1 - centres).mT + (1 - bits) @ centres.mT  # (..., L, C)
    return (apart * centres.shape[-2] + torch.arange(centres.shape[-2])).argmin(-1)


def random_planes(bits: int, d: int, generator: torch.Generator) -> Tensor:
    """Hyperplanes to hash queries of d numbers: (bits, d + 1), the last column an offset."""
    return torch.randn(bits, d + 1, generator=generator)


def hash_queries(q: Tensor, planes: Tensor) -> Tensor:
    """A code for each query, a bit a hyperplane that it lies above: (..., D) -> (...) int64."""
    whole = F.pad(planes, (0, 0, 0, 64 - len(planes)))  # a zero plane gives a bit that is not set
    above = F.linear(q, whole[:, :-1], whole[:, -1]) > 0  # (..., 64)
    codes: Tensor = bit_pack(above.view(torch.uint8), 1).view(torch.int64)  # (..., 1)
    return codes.squeeze(-1)


def hamming_kmeans(codes: Tensor, clusters: int, iterations: int = 10) -> Tensor:
    """The cluster of each code (..., L) int64 among its row: (..., L) int32.

    Raises:
        InputError: wrong dtype, or more clusters than codes in a row.

    >>> hamming_kmeans(torch.tensor([0b0000, 0b0001, 0b1111, 0b1110]), clusters=2).tolist()
    [0, 0, 1, 1]
    """
    if codes.dtype != torch.int64 or not codes.dim() or codes.device.type not in ("cpu", "meta"):
        raise InputError(
            f"hamming_kmeans: codes are {codes.dtype} {tuple(codes.shape)} on {codes.device}; "
            "they must be int64 (..., L) on the CPU"
        )
    if not 1 <= clusters <= codes.shape[-1] or iterations < 0:
        raise InputError(
            f"hamming_kmeans: {clusters} clusters, {iterations} iterations; for "
            f"{codes.shape[-1]} codes there must be 1 to {codes.shape[-1]}, and 0 or more"
        )
    call = _run_kmeans if door.takes_short_way(codes, None) else torch.ops.octavo.hamming_kmeans
    member: Tensor = call(codes, clusters, iterations)
    return member


def cluster_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    planes: Tensor,
    *,
    clusters: int,
    top: int = 32,
    iterations: int = 10,
    scale: float | None = None,
) -> Tensor:
    """Attention of q (B, H, L, D) to k and v (B, H, M, D) through clusters: (B, H, L, D).

    planes: (bits, D + 1) float32, up to 63 bits; see `random_planes`. Keys are all taken as real:
    cut padding off. Not causal.

    Raises:
        InputError: wrong dtype, device or shape, or a number out of its range.

    >>> q, v = torch.zeros(1, 1, 4, 2), torch.arange(8.0).view(1, 1, 4, 2)
    >>> planes = random_planes(31, 2, torch.Generator().manual_seed(0))
    >>> cluster_attention(q, q, v, planes, clusters=2, top=1)[0, 0, 0].tolist()
    [3.0, 4.0]
    """
    check(q, k, v, planes, clusters, top)
    factor = q.shape[-1] ** -0.5 if scale is None else float(scale)
    return compose(q, k, v, planes, clusters, top, iterations, factor, hamming_kmeans, _attend)


def check(q: Tensor, k: Tensor, v: Tensor, planes: Tensor, clusters: int, top: int) -> None:
    """What a call is given fits together.

    Raises:
        InputError: it does not.
    """
    op = "cluster_attention"
    door.check_attention(op, q, k, v, (torch.float32,))
    d, length, keys = q.shape[-1], q.shape[2], k.shape[2]
    if planes.dtype != torch.float32 or planes.dim() != 2 or planes.shape[1] != d + 1:
        raise InputError(
            f"{op}: planes is {planes.dtype} {tuple(planes.shape)}; it must be float32 "
            f"(bits, {d + 1})"
        )
    if not 1 <= len(planes) <= BITS:
        raise InputError(f"{op}: {len(planes)} hyperplanes; 1 to {BITS}")
    if not 1 <= clusters <= length or not 0 <= top <= min(MOST, keys):
        raise InputError(
            f"{op}: {clusters} clusters of {top} keys; for {length} queries and {keys} keys there "
            f"must be 1 to {length} clusters, of 0 to {min(MOST, keys)} keys"
        )


def compose(
    q: Tensor, k: Tensor, v: Tensor, planes: Tensor, clusters: int, top: int, iterations: int,
    scale: float, kmeans: Kmeans, attend: Callable[..., Tensor],
) -> Tensor:  # fmt: skip
    """The method around its two native parts, kmeans and attend."""
    member = kmeans(hash_queries(q.detach(), planes), clusters, iterations)
    own = member.long().unsqueeze(-1).expand_as(q)  # (B, H, L, D)
    sums = q.new_zeros(*q.shape[:2], clusters, q.shape[-1]).scatter_add(2, own, q)
    sizes = q.new_zeros(*q.shape[:2], clusters).scatter_add(
        2, own[..., 0], torch.ones_like(q[..., 0])
    )
    centres = sums / sizes.clamp(min=1).unsqueeze(-1)  # (B, H, C, D)
    weights = (centres * scale @ k.mT).softmax(-1)  # (B, H, C, M)
    if not top:
        return (weights @ v).gather(2, own)
    most = weights.topk(top, sorted=False)
    base = weights.scatter(-1, most.indices, 0.0) @ v  # (B, H, C, D)
    return attend(q, k, v, member, most.indices.int(), most.values.sum(-1), base, scale)


def _attend(
    q: Tensor, k: Tensor, v: Tensor, member: Tensor, top: Tensor, mass: Tensor, base: Tensor,
    scale: float,
) -> Tensor:  # fmt: skip
    """The answers, by the short way where it is open."""
    short = all(door.takes_short_way(x, None) for x in (q, k, v, mass))
    call = _run if short else torch.ops.octavo.cluster_attention
    y: Tensor = call(q, k, v, member, top, mass, base, scale)
    return y


def _run(
    q: Tensor, k: Tensor, v: Tensor, member: Tensor, top: Tensor, mass: Tensor, base: Tensor,
    scale: float,
) -> Tensor:  # fmt: skip
    """One eager call on the backend in use."""
    if not runtime.is_native():
        return reference(q, k, v, member, top, mass, base, scale)
    out = _fake(q)
    given = (x.detach().contiguous() for x in (q, k, v, member, top, mass, base))
    runtime.native.cluster_attention(*given, out, scale, runtime.threads())
    return out


def _run_kmeans(codes: Tensor, clusters: int, iterations: int) -> Tensor:
    """One eager call on the backend in use."""
    if not runtime.is_native():
        return reference_kmeans(codes, clusters, iterations)
    member = _fake_kmeans(codes)
    runtime.native.hamming_kmeans(
        codes.contiguous(), member, clusters, iterations, runtime.threads()
    )
    return member


def _fake_kmeans(codes: Tensor, *others: Any) -> Tensor:
    """The shape of the clusters, for tracing."""
    return codes.new_empty(codes.shape, dtype=torch.int32)


def _fake(q: Tensor, *others: Any) -> Tensor:
    """The shape of the answer, for tracing."""
    return q.new_empty(q.shape)


def _fake_gradient(grad: Tensor, q: Tensor, k: Tensor, v: Tensor, member: Tensor, top: Tensor,
                   mass: Tensor, base: Tensor, scale: float) -> Any:  # fmt: skip
    """The shapes of the gradients, for tracing."""
    return tuple(x.new_empty(x.shape) for x in (q, k, v, mass, base))


def _backward(grad: Tensor, needs: Any, *inputs: Any) -> tuple[Tensor | None, ...]:
    """To q, k, v, mass and base."""
    q, k, v, mass, base = torch.ops.octavo.cluster_attention_backward(grad, *inputs)
    return q, k, v, None, None, mass, base, None


_GIVEN = (
    "Tensor q, Tensor k, Tensor v, Tensor member, Tensor top, Tensor mass, Tensor base, float scale"
)
define(
    "hamming_kmeans(Tensor codes, int clusters, int iterations) -> Tensor",
    _run_kmeans,
    _fake_kmeans,
)
define(f"cluster_attention({_GIVEN}) -> Tensor", _run, _fake, _backward)
define(
    f"cluster_attention_backward(Tensor grad, {_GIVEN}) "
    "-> (Tensor, Tensor, Tensor, Tensor, Tensor)",
    gradient,
    _fake_gradient,
)
