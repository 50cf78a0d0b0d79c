"""What a method decided, as data: an ordered list of steps over modules named by path.

    Mask     single weights are zero                        pruning
    Stripes  a 1x1 stripe of every filter is zero            stripe pruning
    Codes    weights are integers times scales              quantization
    Books    rows are put together from codebooks            product quantization
    Layers   blocks are left out                            depth pruning
    Narrow   slices of a tensor are taken out                structured pruning
    Weights  parameters and buffers have new values         training, correction of biases

A plan is independent of the model it came from: it is applied to any instance of the same class.
Steps act in their order. A pattern (Mask, Stripes) holds for all later steps, so pruning and then
quantizing keeps the zeros; later values replace earlier ones. A path means the module as the
earlier steps left it: after `Layers("blocks", (0, 3))` the fourth block is `blocks.1`.

>>> from torch import nn
>>> model = nn.Sequential(nn.Linear(2, 2, bias=False))
>>> _ = nn.init.ones_(model[0].weight)
>>> mask = Plan((Mask("0", torch.tensor([[True, False], [False, True]])),))
>>> codes = Plan((Codes("0", torch.tensor([[3, 1], [1, 3]], dtype=torch.int8),
...                     torch.tensor([[0.5], [2.0]]), None, 4),))
>>> (mask + codes).apply(model)[0].weight.tolist()
[[1.5, 0.0], [0.0, 6.0]]
>>> model[0].weight.tolist()
[[1.0, 1.0], [1.0, 1.0]]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from octavo.errors import InputError

if TYPE_CHECKING:
    from octavo.reference_impls.inputs import Input

Prefer = Literal["fastest", "native", "dense"]


@dataclass(frozen=True, eq=False)
class Mask:
    """Weights of the module at `path` that stay; `keep` is bool, shaped like its weight."""

    path: str
    keep: Tensor

    def __post_init__(self) -> None:
        _demand(
            self, self.keep.dtype == torch.bool, f"keep is {self.keep.dtype}; torch.bool needed"
        )


@dataclass(frozen=True, eq=False)
class Stripes:
    """Positions of each filter of a Conv2d that stay; `keep` is bool (N, Kh, Kw)."""

    path: str
    keep: Tensor

    def __post_init__(self) -> None:
        fits = self.keep.dtype == torch.bool and self.keep.ndim == 3
        found = f"keep is {self.keep.dtype} {tuple(self.keep.shape)}"
        _demand(self, fits, f"{found}; torch.bool (N, Kh, Kw) needed")


@dataclass(frozen=True, eq=False)
class Codes:
    """Weight = scale * code, symmetric: `codes` int8 like the weight, seen as (N, K).

    `scales` float32 (N, ceil(K / group)): one scale for each `group` neighbours of a row, or one
    for the whole row when `group` is None. Codes lie in [-2^(bits-1), 2^(bits-1) - 1].
    """

    path: str
    codes: Tensor
    scales: Tensor
    group: int | None
    bits: int

    def __post_init__(self) -> None:
        _demand(self, 1 <= self.bits <= 8, f"bits={self.bits}; 1 to 8 are allowed")
        _demand(self, self.codes.dtype == torch.int8, f"codes are {self.codes.dtype}; int8 needed")
        rows, width = self.codes.shape[0], self.codes[0].numel()
        groups = 1 if self.group is None else -(-width // self.group)
        shape = tuple(self.scales.shape)
        _demand(self, shape == (rows, groups), f"scales are {shape}; ({rows}, {groups}) needed")
        half = 1 << (self.bits - 1)
        low, high = int(self.codes.min()), int(self.codes.max())
        inside = -half <= low and high < half
        _demand(
            self, inside, f"codes span {low} to {high}; {-half} to {half - 1} fit {self.bits} bits"
        )

    def values(self) -> Tensor:
        """The weight these codes stand for, float32, shaped like `codes`.

        >>> codes = torch.tensor([[1, -2, 3]], dtype=torch.int8)
        >>> Codes("fc", codes, torch.tensor([[0.5, 2.0]]), 2, 4).values().tolist()
        [[0.5, -1.0, 6.0]]
        """
        flat = self.codes.reshape(len(self.codes), -1).float()  # (N, K)
        if self.group is None:
            return (flat * self.scales).view(self.codes.shape)
        wide = self.scales.repeat_interleave(self.group, dim=1)[:, : flat.shape[1]]  # (N, K)
        return (flat * wide).view(self.codes.shape)


@dataclass(frozen=True, eq=False)
class Books:
    """Rows of a weight, seen as (N, K), are put together from pieces of codebooks.

    `codes` uint8 (N, G) choose from `books` float32 (G, size, piece): size <= 256, G * piece = K.
    """

    path: str
    codes: Tensor
    books: Tensor

    def __post_init__(self) -> None:
        found = f"codes are {self.codes.dtype} {tuple(self.codes.shape)}"
        fits = self.codes.dtype == torch.uint8 and self.codes.ndim == 2 and self.codes.numel() > 0
        _demand(self, fits, f"{found}; torch.uint8 (N, G) needed")
        shape = tuple(self.books.shape)
        fits = self.books.dtype == torch.float32 and len(shape) == 3 and 1 <= shape[1] <= 256
        fits = fits and shape[0] == self.codes.shape[1] and shape[2] > 0
        needed = f"torch.float32 ({self.codes.shape[1]}, up to 256, piece) needed"
        _demand(self, fits, f"books are {self.books.dtype} {shape}; {needed}")
        high = int(self.codes.max())
        _demand(self, high < shape[1], f"code {high}; a book has {shape[1]} entries")

    def values(self) -> Tensor:
        """The weight these books stand for, float32 (N, K).

        >>> books = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])
        >>> Books("fc", torch.tensor([[1], [0]], dtype=torch.uint8), books).values().tolist()
        [[3.0, 4.0], [1.0, 2.0]]
        """
        return self.books[torch.arange(len(self.books)), self.codes.long()].flatten(1)


@dataclass(frozen=True, eq=False)
class Layers:
    """Children of the ModuleList or Sequential at `path` that stay, in this order."""

    path: str
    keep: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Weights:
    """New values for parameters and buffers below the module at `path` ("" is the model)."""

    path: str
    tensors: Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class Narrow:
    """Indices along `dim` of a parameter or buffer that stay, in this order, int64 (count,).

    The module's own sizes follow its tensors. All that belongs together is narrowed together: see
    `octavo.reference_impls.dependency`.
    """

    path: str
    name: str
    dim: int
    keep: Tensor

    def __post_init__(self) -> None:
        fits = self.keep.dtype == torch.int64 and self.keep.ndim == 1 and len(self.keep) > 0
        found = f"keep is {self.keep.dtype} {tuple(self.keep.shape)}"
        _demand(self, fits, f"{found}; torch.int64 (count,) with at least one index needed")


Step = Mask | Stripes | Codes | Books | Layers | Weights | Narrow


@dataclass(frozen=True, eq=False)
class Plan:
    """Steps in order, the method and configuration they came from, and notes for the reader."""

    steps: tuple[Step, ...]
    method: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __add__(self, later: Plan) -> Plan:
        """One plan: these steps and then those of `later`."""
        return Plan(
            self.steps + later.steps,
            "+".join(m for m in (self.method, later.method) if m),
            {**_by_method(self), **_by_method(later)},
            self.notes + later.notes,
        )

    def apply(self, model: nn.Module) -> nn.Module:
        """A deep copy of `model` with all steps done in plain torch: same layers, new values.

        Parameters that two modules share stay shared, so a step on one is seen by the other.

        Raises:
            InputError: a path, name or shape of a step does not fit the model; it is named.
        """
        from octavo.reference_impls.settle import settle

        return settle(model, self).model

    def materialise(
        self, model: nn.Module, example: Input = None, *, prefer: Prefer = "fastest"
    ) -> nn.Module:
        """The real thing: modules that run the plan natively, checked on the reader's `example`.

        See `octavo.reference_impls.materialise`. `.report` on the result says what was chosen.
        """
        from octavo.reference_impls.materialise import materialise

        return materialise(model, self, example, prefer=prefer)

    def save(self, folder: str | Path) -> None:
        """Write the plan as `plan.json` and a safetensors file, all or nothing."""
        from octavo.reference_impls.storage import save

        save(Path(folder), self)

    @staticmethod
    def load(folder: str | Path) -> Plan:
        """Read what `save` wrote. Nothing is ever unpickled."""
        from octavo.reference_impls.storage import load

        stored = load(Path(folder))
        if stored.facts["with_state"]:
            raise InputError(f"{folder}: a whole compressed model; use octavo.load(model, folder)")
        return stored.plan


def _by_method(plan: Plan) -> dict[str, Any]:
    """The configuration under the method's name; a composed plan has it so already."""
    if "+" in plan.method or not plan.method:
        return dict(plan.config)
    return {plan.method: dict(plan.config)}


def _demand(step: Step, holds: bool, message: str) -> None:
    if not holds:
        raise InputError(f"{type(step).__name__} for {step.path!r}: {message}")
