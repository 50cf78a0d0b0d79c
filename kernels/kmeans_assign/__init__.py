"""Find the nearest centroid of each number or short vector: the assignment step of k-means.

    numbers:  code[i] = how many of the midpoints (c[k] + c[k + 1]) / 2 lie below x[i]
    vectors:  code[i] = argmin over k of  |c[k]|^2 / 2 - x[i] . c[k]

    symbol  in code     shape, type
    x       x           (...) or (..., D) float32
    c       centroids   (K,) ascending, or (K, D), float32
    code                (...), uint8 for K up to 256, int32 above

A number on a midpoint goes to the lower centroid; a vector as near to two goes to the lower too, as
far as float32 tells them apart: the error of a distance is about D roundings of |x||c|. A NaN goes
to the last centroid among numbers, to the first among vectors. There is no gradient.
Numbers descend a tree of midpoints held in registers: log2(K) steps, nothing is gathered.
`kmeans_sums` is the other half of a step, weighted.
Source: Lloyd, Least squares quantization in PCM (1982).
"""

from __future__ import annotations

from typing import NamedTuple, NoReturn

import torch
from torch import Tensor

from octavo.errors import InputError
from octavo.kernels import runtime
from octavo.kernels.runtime import door
from octavo.kernels.runtime.operation import define

MOST = 1 << 24  # centroids: more would not be told apart by a float32


def reference(x: Tensor, centroids: Tensor) -> Tensor:
    """The oracle, in torch: (...) or (..., D) -> (...)."""
    if centroids.dim() == 1:
        code = torch.bucketize(x, (centroids[1:] + centroids[:-1]) * 0.5)
    else:
        code = (centroids.square().sum(1) / 2 - x @ centroids.T).argmin(-1)  # (..., K) -> (...)
    return code.to(_code_type(centroids))


def kmeans_assign(x: Tensor, centroids: Tensor) -> Tensor:
    """The code of the nearest centroid of each number (...) or vector (..., D) of x.

    Raises:
        InputError: wrong dtype, device or shape, no centroids, or numbers that do not ascend.

    >>> kmeans_assign(torch.tensor([0.4, 0.5, 0.6, 9.0]), torch.tensor([0.0, 1.0, 2.0])).tolist()
    [0, 0, 1, 2]
    >>> kmeans_assign(torch.tensor([[1.0, 0.2]]), torch.eye(2)).tolist()
    [0]
    """
    if centroids.dtype != torch.float32 or centroids.dim() not in (1, 2) or not centroids.numel():
        raise InputError(
            f"kmeans_assign: centroids are {centroids.dtype} {tuple(centroids.shape)}; "
            "they must be float32 (K,) for numbers or (K, D) for vectors, K and D at least 1"
        )
    if len(centroids) > MOST:
        raise InputError(f"kmeans_assign: {len(centroids)} centroids; at most {MOST}")
    if centroids.dim() == 2:
        door.check_input("kmeans_assign", x, None, inner=centroids.shape[1], axis=-1, n=0)
    elif x.dtype != torch.float32 or x.device.type not in ("cpu", "meta"):
        raise InputError(
            f"kmeans_assign: x is {x.dtype} on {x.device}; it must be float32 on the CPU: "
            "use x.float().cpu()"
        )
    x, centroids = x.detach(), centroids.detach()
    if door.takes_short_way(x, None):
        return _run(x, centroids)
    op: Tensor = torch.ops.octavo.kmeans_assign(x, centroids)
    return op


def _code_type(centroids: Tensor) -> torch.dtype:
    """The type of a code: a byte where it holds one."""
    return torch.uint8 if len(centroids) <= 256 else torch.int32


def _run(x: Tensor, centroids: Tensor) -> Tensor:
    """One eager call on the backend in use."""
    if runtime.is_native():
        codes = _fake(x, centroids)
        ascending = runtime.native.kmeans_assign(
            x.contiguous(), centroids.contiguous(), codes, runtime.threads()
        )
    else:
        numbers = centroids if centroids.dim() == 1 else centroids[:0, 0]
        ascending, codes = bool((numbers[1:] >= numbers[:-1]).all()), reference(x, centroids)
    if not ascending:
        raise InputError("kmeans_assign: centroids (K,) must ascend: pass centroids.sort().values")
    return codes


def _fake(x: Tensor, centroids: Tensor) -> Tensor:
    """The shape of the answer, for tracing."""
    shape = x.shape if centroids.dim() == 1 else x.shape[:-1]
    return x.new_empty(shape, dtype=_code_type(centroids))


define("kmeans_assign(Tensor x, Tensor centroids) -> Tensor", _run, _fake)


class Sums(NamedTuple):
    """What the points of each centroid add up to: `of_points / weights` is the new centroid."""

    of_points: Tensor  # (K,) or (K, D) float64
    weights: Tensor  # (K,) float64


def reference_sums(x: Tensor, codes: Tensor, k: int, weights: Tensor | None = None) -> Sums:
    """The oracle of `kmeans_sums`, in torch."""
    flat = codes.flatten().long()
    w = (torch.ones_like(flat) if weights is None else weights.flatten()).double()  # (points,)
    points = x.double().reshape(len(flat), 1 if x.dim() == codes.dim() else x.shape[-1])
    parts = points * w.unsqueeze(1)  # (points, D)
    of_points = w.new_zeros(k, parts.shape[1]).index_add_(0, flat, parts)
    shaped = of_points.squeeze(1) if x.dim() == codes.dim() else of_points
    return Sums(shaped, w.new_zeros(k).index_add_(0, flat, w))


def kmeans_sums(x: Tensor, codes: Tensor, k: int, weights: Tensor | None = None) -> Sums:
    """Weighted sums of the points of each of k centroids: the other half of a k-means step.

    x is (...) or (..., D) float32, codes (...) as `kmeans_assign` gives them, weights (...)
    float32, ones where not given: the importance of a point, as its share of the Hessian. Sums run
    in float64 in one order: the same bits for every number of threads.

    Raises:
        InputError: wrong dtype, device or shape, or a code that is none of the k.

    >>> x, codes = torch.tensor([1.0, 2.0, 9.0]), torch.tensor([0, 0, 1], dtype=torch.uint8)
    >>> sums = kmeans_sums(x, codes, 2, torch.tensor([3.0, 1.0, 1.0]))
    >>> (sums.of_points / sums.weights).tolist()
    [1.25, 9.0]
    """
    _check_sums(x, codes, k, weights)
    if not runtime.is_native():
        inside = not codes.numel() or bool((codes.min() >= 0) & (codes.max() < k))
        return reference_sums(x, codes, k, weights) if inside else _refuse_code(k)
    d = 1 if x.dim() == codes.dim() else x.shape[-1]
    sums = torch.zeros(k, d + 1, dtype=torch.float64)
    given = None if weights is None else weights.detach().contiguous()
    inside = runtime.native.kmeans_sums(
        x.detach().contiguous(), codes.contiguous(), given, sums, codes.dtype == torch.uint8,
        runtime.threads(),
    )  # fmt: skip
    if not inside:
        _refuse_code(k)
    return Sums(sums[:, 0] if x.dim() == codes.dim() else sums[:, :-1], sums[:, -1])


def _check_sums(x: Tensor, codes: Tensor, k: int, weights: Tensor | None) -> None:
    """Check dtypes and shapes."""
    if codes.dtype not in (torch.uint8, torch.int32) or x.dtype != torch.float32 or k < 1:
        raise InputError(
            f"kmeans_sums: x is {x.dtype}, codes are {codes.dtype} of {k}; they must be float32, "
            "and uint8 or int32 of at least 1"
        )
    longer = x.dim() == codes.dim() + 1 and x.shape[-1] > 0
    fits = codes.shape == (x.shape[:-1] if longer else x.shape)
    if not fits or {x.device.type, codes.device.type} != {"cpu"}:
        raise InputError(
            f"kmeans_sums: x {tuple(x.shape)} on {x.device} and codes {tuple(codes.shape)} on "
            f"{codes.device}; x must be like codes, or a dimension more, on the CPU"
        )
    if weights is not None and (weights.shape != codes.shape or weights.dtype != torch.float32):
        raise InputError(
            f"kmeans_sums: weights are {weights.dtype} {tuple(weights.shape)}; they must be "
            f"float32 {tuple(codes.shape)}, one a point"
        )


def _refuse_code(k: int) -> NoReturn:
    raise InputError(f"kmeans_sums: a code is none of the {k}; codes go from 0 to {k - 1}")
