"""How much memory a call needs at its worst moment: tensors that are alive, by their storages."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from octavo.reference_impls.inputs import Input, call, evaluating


def peak_bytes(model: nn.Module, example: Input) -> int:
    """Most bytes of tensors alive at once in a call, beside the model itself and its input.

    Room that an operation takes and gives back inside is not seen.

    >>> import torch
    >>> peak_bytes(nn.Sequential(nn.Linear(4, 100), nn.Linear(100, 1)), torch.ones(2, 4))
    808
    """
    kept = [*model.parameters(), *model.buffers(), *tree_leaves(example)]
    watch = _Watch(t for t in kept if isinstance(t, Tensor))
    with evaluating(model), watch:
        call(model, example)
    return watch.peak


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follows every tensor that an operation makes until it is gone."""

    def __init__(self, kept: Iterable[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.peak = 0
        self.users: dict[int, int] = {t.untyped_storage().data_ptr(): 1 for t in kept}

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self._see(tensor)
        return result

    def _see(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        place, size = storage.data_ptr(), storage.nbytes()
        if place not in self.users:
            self.now += size
            self.peak = max(self.peak, self.now)
        self.users[place] = self.users.get(place, 0) + 1
        weakref.finalize(tensor, self._gone, place, size)

    def _gone(self, place: int, size: int) -> None:
        self.users[place] -= 1
        if not self.users[place]:
            del self.users[place]
            self.now -= size
