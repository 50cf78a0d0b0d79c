"""What runs underneath the kernels: the native module, the backend in use, where weights live.

The choice is made once, at import: the best instruction set that this CPU has, or the one that
`OCTAVO_BACKEND` names. A name that cannot run here is an error with the list, never a silent
second best. `reference` is plain torch and runs everywhere.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from octavo.errors import InputError

REFERENCE = "reference"


def _load() -> tuple[Any, str | None]:
    """Import the native module: (module, None), or (None, why it is absent)."""
    try:
        return importlib.import_module("octavo.kernels._native"), None
    except ImportError as error:
        if os.environ.get("OCTAVO_REQUIRE_NATIVE") == "1":
            raise
        return None, f"native kernels are not built ({error}); install g++ and reinstall octavo"


native, _missing = _load()


def backends() -> list[str]:
    """Backends that run on this machine, best first; the last is always `reference`."""
    return [*(native.backends() if native is not None else []), REFERENCE]


def missing() -> str | None:
    """One line saying why the native kernels are absent; None when they are here."""
    return _missing


def cpu_flags() -> list[str]:
    """Instruction sets of this CPU that a kernel may use."""
    return list(native.cpu_flags()) if native is not None else []


def _choose(asked: str | None) -> str:
    """The backend to use: the best, or the one asked for.

    Raises:
        InputError: the one asked for cannot run here.
    """
    names = backends()
    if not asked:
        return names[0]
    if asked not in names:
        raise InputError(
            f"OCTAVO_BACKEND={asked} cannot run here; use one of {', '.join(names)}, or unset it"
        )
    return asked


_backend = _choose(os.environ.get("OCTAVO_BACKEND"))
if native is not None and _backend != REFERENCE:
    native.use(_backend)


def backend() -> str:
    """The backend in use."""
    return _backend


def is_native() -> bool:
    """Whether calls run in the native module."""
    return _backend != REFERENCE


def eager(op: str) -> Callable[..., Tensor | None]:
    """The short way of an operation: (x, bias, packed) -> the answer.

    None where torch's dispatcher, or the door, has a say: then take the long way.
    """
    if not is_native():
        return lambda *_: None
    call: Callable[..., Tensor | None] = getattr(native, f"{op}_eager")
    return call


def give_to_torch(op: str) -> bool:
    """Let torch's dispatcher call the native kernel of octavo::<op> on the CPU without Python.

    False where this torch has no stable interface for it, or the operation has no such kernel.
    """
    return is_native() and bool(native.give_to_torch(op))


def place(tensor: Tensor) -> Tensor:
    """Copy a packed tensor to where weights live: pages of 2 MiB where the system gives them."""
    tensor = tensor.detach().contiguous()
    if native is None or tensor.numel() == 0:
        return tensor
    home: Tensor = native.arena(tensor.nbytes).view(tensor.dtype).view(tensor.shape)
    return home.copy_(tensor)


def threads() -> int:
    """Threads a call may use: torch's own setting."""
    return torch.get_num_threads()
