"""The way to kernels on a GPU. Triton is imported when a tensor on a GPU asks for it, not before.

A packed weight moves to a GPU as it is: `packed.codes.cuda()` holds the bytes that the processor
reads, and the kernels there read the same panels.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from octavo.errors import InputError

NAME = "triton"
DTYPES = (torch.float32, torch.float16, torch.bfloat16)


def missing() -> str | None:
    """One line saying why no kernel runs on a GPU here; None when they do."""
    if not torch.cuda.is_available():
        return "no GPU that this torch can use"
    if find_spec(NAME) is None:
        return "triton is not installed: pip install 'octavo[gpu]'"
    return None


def backends() -> list[str]:
    """Backends for tensors on a GPU: `triton`, or none."""
    return [NAME] if missing() is None else []


def has(op: str) -> bool:
    """Whether octavo::<op> has a kernel for GPUs."""
    return torch._C._dispatch_has_kernel_for_dispatch_key(f"octavo::{op}", "CUDA")


def lazily(home: str, op: str) -> Callable[..., Any]:
    """A call to `op` of the module `home`, which is imported at the first one.

    Raises:
        InputError: when called where Triton is missing, or with tensors on several devices.
    """

    def run(*args: Any) -> Any:
        if reason := missing():
            raise InputError(f"{op}: {reason}")
        places = {str(a.device): a.device for a in args if isinstance(a, Tensor)}
        if len(places) > 1:
            raise InputError(f"{op}: tensors on {' and '.join(places)}; move all to one device")
        with torch.cuda.device(*places.values()):
            return getattr(import_module(home), op)(*args)

    return run
