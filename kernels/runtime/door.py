"""Checks at the door: past them, native code trusts what it is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from octavo.errors import InputError
from octavo.kernels.runtime import gpu


def check_input(op: str, x: Tensor, bias: Tensor | None, *, inner: int, axis: int, n: int) -> None:
    """Check one call's x (size `inner` along `axis`) and its bias (n,).

    Raises:
        InputError: wrong dtype, device or shape.
    """
    check_home(op, "x", x)
    if x.dim() < -axis or x.shape[axis] != inner:
        raise InputError(
            f"{op}: x has shape {tuple(x.shape)}; dimension {axis} must be {inner}, "
            "as in the packed weight"
        )
    if bias is not None and (bias.shape != (n,) or bias.dtype not in (torch.float32, x.dtype)):
        raise InputError(
            f"{op}: bias is {bias.dtype} {tuple(bias.shape)}; it must be float32 ({n},)"
        )


def check_step(op: str, step: Tensor, x: Tensor) -> None:
    """Check that a step of the activations is one float32 where x is.

    Its value is read only where it costs nothing: of a plain tensor of the CPU, outside a trace.

    Raises:
        InputError: it is not, or asks for a gradient, or is not positive.
    """
    if step.dtype != torch.float32 or step.numel() != 1 or step.device != x.device:
        raise InputError(
            f"{op}: step is {step.dtype} {tuple(step.shape)} on {step.device}; it must be one "
            f"float32 on {x.device}: largest magnitude / 127, or None to find one a row"
        )
    if step.requires_grad:
        raise InputError(f"{op}: step asks for a gradient and gets none; pass step.detach()")
    if type(step) is Tensor and step.device.type == "cpu" and not torch.compiler.is_compiling():
        check_step_value(op, step)


def check_step_value(op: str, step: Tensor | None) -> None:
    """Check the value of a step of the activations.

    Raises:
        InputError: not a positive number, or too small to divide by.
    """
    least = torch.finfo(torch.float32).tiny
    if step is not None and not least <= float(step) < float("inf"):
        raise InputError(
            f"{op}: step is {float(step):g}; it must be a number from {least:.2g} on: "
            "largest magnitude / 127"
        )


def check_home(op: str, name: str, x: Tensor) -> None:
    """Check that x lies where the operation runs, in a type that it takes there.

    Raises:
        InputError: another device; on the CPU another type than float32, on a GPU no float.
    """
    on_gpu = x.device.type == "cuda"
    if x.dtype != torch.float32 and not (on_gpu and x.dtype in gpu.DTYPES):
        raise InputError(
            f"{op}: {name} is {x.dtype}; it must be float32: convert it with {name}.float()"
        )
    if x.device.type not in ("cpu", "meta") and not (on_gpu and gpu.has(op)):
        raise InputError(
            f"{op}: {name} is on {x.device}; this kernel runs on the CPU: use {name}.cpu()"
        )


def check_weight(op: str, name: str, tensor: Tensor, dtype: torch.dtype, dims: int) -> None:
    """Check dtype and number of dimensions of something to be packed.

    Raises:
        InputError: another dtype, another number of dimensions, or nothing in it.
    """
    if tensor.dtype != dtype or tensor.dim() != dims or tensor.numel() == 0:
        raise InputError(
            f"{op}: {name} is {tensor.dtype} {tuple(tensor.shape)}; "
            f"it must be a non-empty {dtype} tensor of {dims} dimensions"
        )


def check_attention(
    op: str, q: Tensor, k: Tensor, v: Tensor, dtypes: Sequence[torch.dtype]
) -> None:
    """Check that q (B, H, L, D), k and v (B, H, M, D) fit, in one of these dtypes.

    Raises:
        InputError: they do not.
    """
    for name, x in (("q", q), ("k", k), ("v", v)):
        if x.dtype not in dtypes or x.dtype != q.dtype or x.dim() != 4:
            allowed = " or ".join(f"all {dtype}" for dtype in dtypes)
            raise InputError(
                f"{op}: {name} is {x.dtype} {tuple(x.shape)}; q, k and v must be (B, H, L, D), "
                f"{allowed}"
            )
        on_gpu = x.device.type == "cuda" and gpu.has(op)
        if x.device.type not in ("cpu", "meta") and not on_gpu:
            raise InputError(f"{op}: {name} is on {x.device}; this kernel runs on the CPU")
    b, h, _, d = q.shape
    if k.shape != v.shape or k.shape[:2] != q.shape[:2] or k.shape[3] != d or not d:
        raise InputError(
            f"{op}: k is {tuple(k.shape)}, v is {tuple(v.shape)}; for q {tuple(q.shape)} both must "
            f"be ({b}, {h}, M, {d}), with D at least 1"
        )


def check_state(op: str, meta: Mapping[str, object], version: int, keys: Sequence[str]) -> None:
    """Check that a saved packed weight is one that this version reads.

    Raises:
        InputError: another format version, or a key is missing.
    """
    if meta.get("version") != version:
        raise InputError(
            f"{op}: packed format version {meta.get('version')}; this Octavo reads {version}: "
            "pack the weight again"
        )
    if lost := [key for key in keys if key not in meta]:
        raise InputError(f"{op}: packed state lacks {', '.join(lost)}; pack the weight again")


def takes_short_way(x: Tensor, bias: Tensor | None) -> bool:
    """Whether an eager call may go straight to native code, past torch's dispatcher.

    Not while torch traces or compiles, under a dispatch mode, for a tensor subclass, or when x or
    the bias asks for a gradient.
    """
    if type(x) is not Tensor or torch.compiler.is_compiling():
        return False
    asks = x.requires_grad or (bias is not None and bias.requires_grad)
    return (
        not (asks and torch.is_grad_enabled())
        and not torch._C._len_torch_dispatch_stack()
        and x.device.type == "cpu"
    )
