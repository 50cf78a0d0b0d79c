"""Plans that need no method: every large layer of a model in one compressed form.

    int8, int4           nearest codes, a scale for a row, or for each group of it
    2:4                  of each four inputs the two largest weights
    16x1 and a share     inputs that sixteen outputs drop together, by the sum of magnitudes
    csr and a share      the smallest weights, anywhere in the layer

They answer what a form costs and how far it moves a model's output; a method decides better ones.

>>> model = nn.Sequential(nn.Linear(32, 16), nn.Linear(16, 4))
>>> [type(step).__name__ for step in plan(model, "int4").steps]  # the second is too small
['Codes']
>>> plan(model, "csr 90 %").steps[0].keep.float().mean().item()
0.099609375
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor, nn

from octavo.errors import InputError
from octavo.reference_impls import quantizer
from octavo.reference_impls.plan import Codes, Mask, Plan, Step

SMALLEST = 16  # layers with fewer inputs or outputs stay dense, as papers leave them
GROUPS = (128, 64, 32)
SHARED = 16


def plan(model: nn.Module, form: str) -> Plan:
    """The plan that gives every large Linear and Conv2d of `model` one form.

    Raises:
        InputError: no such form.
    """
    if form not in FORMS:
        raise InputError(f"form {form!r}: unknown; known are {', '.join(FORMS)}")
    steps = (FORMS[form](path, weight.detach()) for path, weight in _large(model))
    return Plan(tuple(steps), form)


def _large(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Weights (N, C, ...) of layers that are worth compressing, by path."""
    for path, module in model.named_modules():
        if isinstance(module, nn.Linear | nn.Conv2d) and min(module.weight.shape[:2]) >= SMALLEST:
            yield path, module.weight


def _codes(path: str, weight: Tensor, bits: int, grouped: bool) -> Step:
    width = weight[0].numel()
    group = next((size for size in GROUPS if grouped and width % size == 0), None)
    scales = quantizer.absmax_scale(weight, bits, group)
    return Codes(path, quantizer.nearest(weight, scales, bits, group), scales, group, bits)


def _two_of_four(path: str, weight: Tensor) -> Step:
    last = weight.abs().movedim(1, -1)  # (N, Kh, Kw, C), or (N, K)
    spare = -last.shape[-1] % 4
    padded = nn.functional.pad(last, (0, spare), value=-1.0)
    groups = padded.view(*last.shape[:-1], -1, 4)
    keep = torch.zeros_like(groups, dtype=torch.bool)
    keep.scatter_(-1, groups.topk(2, -1).indices, True)
    return Mask(path, keep.flatten(-2)[..., : last.shape[-1]].movedim(-1, 1).contiguous())


def _shared(path: str, weight: Tensor, zeros: float) -> Step:
    flat = weight.abs().flatten(1)  # (N, K)
    panels = nn.functional.pad(flat, (0, 0, 0, -len(flat) % SHARED))
    sums = panels.view(-1, SHARED, flat.shape[1]).sum(1)  # (panels, K)
    kept = sums.topk(round(flat.shape[1] * (1 - zeros)), 1).indices
    keep = torch.zeros_like(sums, dtype=torch.bool).scatter_(1, kept, True)
    return Mask(path, keep.repeat_interleave(SHARED, 0)[: len(flat)].view(weight.shape))


def _anywhere(path: str, weight: Tensor, zeros: float) -> Step:
    flat = weight.abs().flatten()
    keep = torch.zeros_like(flat, dtype=torch.bool)
    keep[flat.topk(round(flat.numel() * (1 - zeros))).indices] = True
    return Mask(path, keep.view(weight.shape))


FORMS: dict[str, Callable[[str, Tensor], Step]] = {
    "int8": partial(_codes, bits=8, grouped=False),
    "int4": partial(_codes, bits=4, grouped=True),
    "2:4": _two_of_four,
    "16x1 50 %": partial(_shared, zeros=0.5),
    "16x1 90 %": partial(_shared, zeros=0.9),
    "csr 90 %": partial(_anywhere, zeros=0.9),
}
