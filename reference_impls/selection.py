"""Which scores survive: exact counts, one tie rule, and the schedules of iterative pruning.

Every pruning method ends in the same two questions: how many weights stay at this step, and which.
Both answers live here, so that two methods compared at one density keep the same number of weights.

>>> scores = {"a": torch.tensor([3.0, 1.0]), "b": torch.tensor([[2.0, 2.0]])}
>>> keep = global_top(scores, 2)
>>> keep["a"].tolist(), keep["b"].tolist()
([True, False], [[True, False]])
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from octavo.errors import InputError
from octavo.reference_impls.settings import share

Scores = Mapping[str, Tensor]


def keep_count(density: float, total: int) -> int:
    """How many of `total` things a density keeps: the nearest whole number, never none.

    >>> keep_count(0.1, 1234), keep_count(1e-9, 1234)
    (123, 1)
    """
    share("density", density)
    return min(total, max(1, math.floor(density * total + 0.5)))


def exponential(density: float, step: int, steps: int) -> float:
    """The density after `step` of `steps` equal ratios: density ** (step / steps).

    The last step gives the final density itself, free of rounding.

    >>> [round(exponential(0.01, k, 4), 4) for k in range(5)]
    [1.0, 0.3162, 0.1, 0.0316, 0.01]
    """
    return density if step == steps else float(density ** (step / steps))


def global_top(
    scores: Scores, count: int, alive: Mapping[str, Tensor] | None = None
) -> dict[str, Tensor]:
    """Keep exactly `count` entries, the largest over all tensors together.

    Args:
        scores: a tensor of scores by path; larger stays.
        count: how many entries stay in all.
        alive: what may stay (bool, same shapes); what is not alive never returns.

    Returns:
        A bool tensor by path. Of equal scores the earlier stays: first in the order of the
        mapping, then in row-major order.

    Raises:
        InputError: a score is not finite (the path is named), or fewer than `count` are alive.
    """
    live = {path: None if alive is None else _places(alive[path]) for path in scores}
    values = [_finite(path, _taken(s, live[path])) for path, s in scores.items()]
    if count > (total := sum(v.numel() for v in values)):
        raise InputError(f"{count} of {total} live weights cannot stay; ask for fewer")
    parts = torch.split(top(torch.cat(values), count), [v.numel() for v in values])
    kept = zip(scores.items(), live.values(), parts, strict=True)
    return {path: _spread(part, at, s.shape) for (path, s), at, part in kept}


def layer_top(scores: Scores, density: float) -> dict[str, Tensor]:
    """Keep the same share of every tensor, its largest scores: never collapses a layer."""
    return {
        path: top(_finite(path, s.cpu()).reshape(-1), keep_count(density, s.numel())).view(s.shape)
        for path, s in scores.items()
    }


def top(scores: Tensor, count: int) -> Tensor:
    """The `count` largest of a vector as a bool mask; the earlier of two equals stays."""
    if count >= scores.numel():
        return torch.ones_like(scores, dtype=torch.bool)
    if count <= 0:
        return torch.zeros_like(scores, dtype=torch.bool)
    least = torch.kthvalue(scores, scores.numel() - count + 1).values  # smallest that may stay
    above = scores > least
    ties = (scores == least).nonzero()[:, 0]
    above[ties[: count - int(above.sum())]] = True
    return above


def _places(alive: Tensor) -> Tensor:
    """Where one tensor has what may stay: rising flat indices."""
    return alive.detach().cpu().reshape(-1).nonzero()[:, 0]


def _taken(scores: Tensor, live: Tensor | None) -> Tensor:
    """The scores at these places, flat; None is everywhere."""
    flat = scores.detach().cpu().reshape(-1)
    return flat if live is None else flat[live]


def _spread(kept: Tensor, live: Tensor | None, shape: torch.Size) -> Tensor:
    """What is kept of the live places, as a bool tensor of its own and of the given shape."""
    if live is None:
        return kept.view(shape).clone()
    return torch.zeros(shape.numel(), dtype=torch.bool).index_fill_(0, live[kept], True).view(shape)


def _finite(path: str, scores: Tensor) -> Tensor:
    """The scores of what is live, or an error that names whose they are."""
    if not bool(torch.isfinite(scores).all()):
        bad = int((~torch.isfinite(scores)).sum())
        raise InputError(
            f"{path}: {bad} of {scores.numel()} scores are not finite; "
            "look for inf or NaN in this layer's weights, or for an overflow before it"
        )
    return scores.detach()
