"""Each kernel against torch's own path for the same work: one core, same process, in turn.

A row's bar is the least ratio (torch's milliseconds / ours, median over interleaved rounds) that
its first peer must show. Time is that of the thread, so that most of what a busy machine takes is
left out. Ratios hold on the machine that measured them and nowhere else.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from octavo.kernels import backend, csr_spmm, int4_matmul, int8_matmul, stripe_conv2d
from octavo.kernels.timing import Call, ratio

GROUP = 128
BAR = 1.0  # faster than torch's own path for the same thing
Row = dict[str, Any]


class Case(NamedTuple):
    """One measurement: our call, the peers' calls (the barred one first), its operations."""

    kernel: str
    shape: str
    operations: float  # on what is kept: 2 a multiply-add
    ours: Call
    peers: dict[str, Call]
    bar: float = BAR
    moved: float = 0.0  # bytes read and written, where memory is the limit


def measure(quick: bool) -> list[Row]:
    """Time every kernel and its peers on one thread; quick takes the small shapes only."""
    with _one_thread(), torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls its own sparse and quantized tensors beta
        return [_row(case, rounds=5 if quick else 9) for case in _cases(quick)]


def _row(case: Case, rounds: int) -> Row:
    """Measure one case against each peer in interleaved rounds."""
    timed = {
        name: ratio(case.ours, peer, rounds=rounds, clock=time.thread_time)
        for name, peer in case.peers.items()
    }
    first = next(iter(timed.values()))
    ours_ms = min(t.first_ms for t in timed.values())
    return {
        "kernel": case.kernel,
        "shape": case.shape,
        "backend": backend(),
        "ms": round(ours_ms, 5),
        "gops": round(case.operations / ours_ms / 1e6, 2),
        "gb_per_s": round(case.moved / ours_ms / 1e6, 2) if case.moved else None,
        "share_of_limit": None,
        "peers": {name: round(t.ratio, 3) for name, t in timed.items()},
        "bar": case.bar,
        "passed": first.ratio >= case.bar,
    }


def _cases(quick: bool) -> Iterator[Case]:
    """Every kernel on its shapes, made when asked for so that only one is held."""
    for size in (1024,) if quick else (1024, 4096):
        for rows in (1, 64) if quick else (1, 8, 64, 512):
            yield _int4(rows, size)
            yield _int8(rows, size)
        for density in (0.1, 0.05):
            for rows in (1, 64) if quick else (1, 8, 64):
                yield _csr(rows, size, density)
    for channels, side in ((64, 56),) if quick else ((64, 56), (128, 28), (256, 14)):
        yield _stripes(channels, side, 0.5)
    for home in sorted(Path(__file__).parent.glob("*/bars.py")):
        yield from import_module(f"octavo.kernels.{home.parent.name}.bars").cases(quick)


def _product(rows: int, size: int, note: str) -> tuple[str, float, Tensor]:
    """The shape's name, its dense operations, and an input (rows, size)."""
    shape = f"{rows}x{size}x{size} {note}"
    return shape, 2.0 * rows * size * size, torch.randn(rows, size, generator=_seeded())


def _int4(rows: int, size: int) -> Case:
    codes = torch.randint(-8, 8, (size, size), generator=_seeded(), dtype=torch.int8)
    scales = torch.full((size, size // GROUP), 0.01)
    shape, operations, x = _product(rows, size, f"g{GROUP}")
    packed = int4_matmul.pack(codes, scales, GROUP)
    dense = codes * scales.repeat_interleave(GROUP, 1)
    peers = {**_torch_int4(x, codes, scales), "linear float32": lambda: F.linear(x, dense)}
    return Case("int4_matmul", shape, operations, lambda: int4_matmul.int4_matmul(x, packed), peers)


def _torch_int4(x: Tensor, codes: Tensor, scales: Tensor) -> dict[str, Call]:
    """The 4-bit product of torch, in bfloat16, where this torch has it."""
    convert = getattr(torch.ops.aten, "_convert_weight_to_int4pack_for_cpu", None)
    multiply = getattr(torch.ops.aten, "_weight_int4pack_mm_for_cpu", None)
    if convert is None or multiply is None:
        return {}
    table = convert(codes.int() + 8, 1)
    zeros = torch.zeros_like(scales)
    steps = torch.stack((scales, zeros), -1).transpose(0, 1).contiguous().bfloat16()  # (G, N, 2)
    half = x.bfloat16()
    return {"int4pack bfloat16": lambda: multiply(half, table, GROUP, steps)}


def _int8(rows: int, size: int) -> Case:
    codes = torch.randint(-127, 128, (size, size), generator=_seeded(), dtype=torch.int8)
    scales = torch.full((size,), 0.01)
    shape, operations, x = _product(rows, size, "per row")
    packed = int8_matmul.pack(codes, scales)
    dense = codes * scales.unsqueeze(1)
    zeros = torch.zeros(size, dtype=torch.int64)
    whole = torch.quantize_per_channel(dense, scales.double(), zeros, 0, torch.qint8)
    table = torch.ops.quantized.linear_prepack(whole, None)
    peers: dict[str, Call] = {
        "quantized dynamic": lambda: torch.ops.quantized.linear_dynamic(x, table),
        "linear float32": lambda: F.linear(x, dense),
    }
    return Case("int8_matmul", shape, operations, lambda: int8_matmul.int8_matmul(x, packed), peers)


def _csr(rows: int, size: int, density: float) -> Case:
    weight = torch.randn(size, size, generator=_seeded())
    weight = weight * (torch.rand(size, size, generator=_seeded(1)) < density)
    shape, operations, x = _product(rows, size, f"{density:.0%} kept")
    packed = csr_spmm.pack(weight)
    sparse = weight.to_sparse_csr()
    peers: dict[str, Call] = {
        "sparse csr": lambda: sparse @ x.T,
        "linear float32": lambda: F.linear(x, weight),
    }
    kept = operations * packed.values.numel() / weight.numel()
    return Case("csr_spmm", shape, kept, lambda: csr_spmm.csr_spmm(x, packed), peers)


def _stripes(channels: int, side: int, density: float) -> Case:
    weight = torch.randn(channels, channels, 3, 3, generator=_seeded())
    keep = torch.rand(channels, 3, 3, generator=_seeded(1)) < density
    x = torch.randn(1, channels, side, side, generator=_seeded(2))
    packed = stripe_conv2d.pack(weight, keep)
    x_last, weight_last = (t.contiguous(memory_format=torch.channels_last) for t in (x, weight))
    peers: dict[str, Call] = {
        "conv2d float32": lambda: F.conv2d(x, weight, padding=1),
        "conv2d float32, channels last": lambda: F.conv2d(x_last, weight_last, padding=1),
    }
    kept = 2.0 * packed.values.numel() * side * side
    shape = f"{channels}x{side}x{side} 3x3 {density:.0%} kept"
    return Case(
        "stripe_conv2d",
        shape,
        kept,
        lambda: stripe_conv2d.stripe_conv2d(x, packed, padding=1),
        peers,
    )


def _seeded(seed: int = 0) -> torch.Generator:
    """A generator of its own for each tensor."""
    return torch.Generator().manual_seed(seed)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Run torch and the kernels on one thread, then give the others back."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
