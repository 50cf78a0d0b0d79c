"""Calls to the kernels for GPUs: with their oracles on small shapes, and to be compiled only.

`python gpu_cases.py bars` counts the numbers of each bench case, ours and the peers', in tiny.
`python gpu_cases.py cpu` (with TRITON_INTERPRET=1) or `python gpu_cases.py cuda` runs the small
ones and prints for each its error and the error that is allowed, as JSON.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import NamedTuple

import torch
from oracles import allowed
from torch import Tensor

from octavo.kernels import (
    adder_conv2d,
    block_attention,
    fake_quant,
    hadamard,
    int4_matmul,
    int8_matmul,
    on_gpu,
)
from octavo.kernels import pq_embedding as pq
from octavo.kernels.adder_conv2d import gpu as adder_gpu
from octavo.kernels.block_attention import gpu as attention_gpu
from octavo.kernels.fake_quant import gpu as fake_quant_gpu
from octavo.kernels.hadamard import gpu as hadamard_gpu
from octavo.kernels.int4_matmul import gpu as int4_gpu
from octavo.kernels.int8_matmul import gpu as int8_gpu
from octavo.kernels.pq_embedding import gpu as pq_gpu
from octavo.kernels.runtime import geometry

Call = Callable[[], object]


class Case(NamedTuple):
    """Our answer, that of the same maths in torch, and the exact one (None: to the last bit)."""

    name: str
    ours: Tensor
    theirs: Tensor
    exact: Tensor | None = None

    def judge(self) -> tuple[float, float]:
        """The error, and what the two-oracle rule allows: twice that of the same maths."""
        ours, theirs = self.ours.cpu(), self.theirs.cpu()
        assert ours.shape == theirs.shape, f"{self.name}: {ours.shape} and {theirs.shape}"
        if self.exact is None:
            same = torch.equal(ours.nan_to_num(7e30), theirs.nan_to_num(7e30))
            return float(not same), 0.0
        exact = self.exact.cpu().double()
        return float((ours - exact).abs().max()), float(allowed(theirs, exact))


def normal(*sizes: int, seed: int = 0) -> Tensor:
    return torch.randn(sizes, generator=torch.Generator().manual_seed(seed))


def integers(low: int, high: int, *sizes: int) -> Tensor:
    return torch.randint(low, high, sizes, generator=torch.Generator().manual_seed(3))


def tensor_float(x: Tensor) -> Tensor:
    """Float32 with the 10 bits of mantissa that tensor cores take."""
    return ((x.view(torch.int32) + 0x1000) & ~0x1FFF).view(torch.float32)


def int4_case(device: str, m: int, n: int, k: int, group: int, dtype: torch.dtype) -> Case:
    codes, scales = integers(-8, 8, n, k).char(), normal(n, k // group).abs()
    x, bias = normal(m, k, seed=1).to(dtype), normal(n, seed=2).to(dtype)
    packed = int4_matmul.pack(codes, scales, group)
    ours = int4_gpu.int4_matmul(
        x.to(device),
        packed.codes.to(device),
        packed.scales.to(device),
        bias.to(device),
        *packed[2:],
    )
    weight = codes * scales.repeat_interleave(group, 1)
    narrow = tensor_float if dtype == torch.float32 else lambda t: t.to(dtype).float()
    theirs = (narrow(x) @ narrow(weight).T + bias).to(dtype)
    name = f"int4 {m}x{n}x{k} g{group} {dtype}"
    return Case(name, ours, theirs, x.double() @ weight.double().T + bias)


def int8_case(device: str, m: int, n: int, k: int, x: Tensor) -> Case:
    codes, scales, bias = integers(-128, 128, n, k).char(), normal(n).abs(), normal(n, seed=2)
    packed = int8_matmul.pack(codes, scales)
    ours = int8_gpu.int8_matmul(
        x.to(device), packed.codes.to(device), packed.scales.to(device), bias.to(device), n, k
    )
    return Case(f"int8 {m}x{n}x{k}", ours, int8_matmul.reference(x, codes, scales) + bias)


def int8_static_case(device: str, x: Tensor) -> Case:
    n, k, step = 70, x.shape[1], torch.tensor([0.01])
    codes, scales = integers(-128, 128, n, k).char(), normal(n).abs()
    packed = int8_matmul.pack(codes, scales)
    here = [t.to(device) for t in (x, *packed[:2])]
    ours = int8_gpu.int8_matmul(*here, None, n, k, step.to(device))
    return Case("int8 static", ours, int8_matmul.reference(x, codes, scales, step))


def hadamard_case(device: str, *shape: int) -> Case:
    x = normal(*shape)
    return Case(f"hadamard {shape}", hadamard_gpu.hadamard(x.to(device), 0.3),
                hadamard.reference(x, 0.3))  # fmt: skip


def pq_case(device: str, groups: int, size: int, piece: int) -> Case:
    codes, books = integers(0, size, 30, groups).byte(), normal(groups, size, piece)
    ids = integers(0, 30, 3, 7)
    ours = pq_gpu.pq_embedding(*(t.to(device) for t in (ids, codes, books)))
    return Case(f"pq {groups}x{size}x{piece}", ours, pq.reference(ids, codes, books))


def fake_quant_cases(device: str, axis: int | None, *shape: int) -> Iterator[Case]:
    x, grad = normal(*shape), normal(*shape, seed=1)
    scale = torch.tensor(0.02) if axis is None else normal(shape[axis]).abs() * 0.02 + 0.01
    here = [t.to(device) for t in (grad, x, scale)]
    ours = fake_quant_gpu.fake_quant(here[1], here[2], -20, 1, axis)
    name = f"fake_quant {shape} axis {axis}"
    yield Case(name, ours, fake_quant.reference(x, scale, -20, 1, axis=axis))
    to_x, to_scale = fake_quant_gpu.fake_quant_backward(*here, -20, 1, axis)
    single, exact = (gradients(t, axis, x, scale, grad) for t in (torch.float32, torch.float64))
    yield Case(f"{name}, to x", to_x, single[0])
    yield Case(f"{name}, to scale", to_scale, single[1], exact[1])


def gradients(dtype: torch.dtype, axis: int | None, x: Tensor, scale: Tensor, grad: Tensor):  # type: ignore[no-untyped-def]
    leaves = [t.to(dtype).requires_grad_() for t in (x, scale)]
    y = fake_quant.reference(leaves[0], leaves[1], -20, 1, axis=axis)
    return torch.autograd.grad(y, leaves, grad.to(dtype))


def adder_cases(device: str, x: Tensor, weight: Tensor, *place: object) -> Iterator[Case]:
    sizes = geometry.sizes("adder", tuple(weight.shape[2:]), *place)  # type: ignore[arg-type]
    bias, name = normal(len(weight), seed=4), f"adder {tuple(x.shape)} {tuple(weight.shape)}"
    single, exact = (
        adder_conv2d.reference(x.to(t), weight.to(t), sizes) + bias[:, None, None]
        for t in (torch.float32, torch.float64)
    )
    here = [t.to(device) for t in (x, weight, bias)]
    yield Case(name, adder_gpu.adder_conv2d(*here, sizes), single, exact)
    grad = normal(*single.shape, seed=5)
    ours = adder_gpu.adder_conv2d_to_x(grad.to(device), *here[:2], sizes)
    single, exact = (
        adder_conv2d.reference_to_x(grad.to(t), x.to(t), weight.to(t), sizes)
        for t in (torch.float32, torch.float64)
    )
    yield Case(f"{name}, to x", ours, single, exact)


def attention_case(device: str, q: Tensor, k: Tensor, size: int, *heads: int) -> Case:
    """Causal where it has a list for all heads, with padding where each head has its own."""
    v, causal = k.flip(-1) * 2, not heads
    shape = (*heads, -(-q.shape[2] // size), -(-k.shape[2] // size))
    packed = block_attention.from_mask(normal(*shape, seed=6) > 0, size)
    lengths = None if causal else torch.full((len(q),), k.shape[2] - 3, dtype=torch.int32)
    here = [t.to(device) for t in (q, k, v, packed.indptr, packed.indices)]
    ours = attention_gpu.block_attention(
        *here, None if lengths is None else lengths.to(device), size, 0.3, causal
    )
    keep = block_attention.kept_pairs(packed, q.shape[2], k.shape[2], causal, lengths)
    exact = block_attention.reference(q.double(), k.double(), v.double(), keep, 0.3)
    narrow = [tensor_float(t) if t.dtype == torch.float32 else t for t in (q, k, v)]
    theirs = block_attention.reference(*narrow, keep, 0.3)
    return Case(f"attention {tuple(q.shape)} {size} {heads} {q.dtype}", ours, theirs, exact)


def cases(device: str) -> Iterator[Case]:
    """Every kernel on small shapes, with tails on every side."""
    for dtype in (torch.float32, torch.float16):
        yield int4_case(device, 5, 70, 104, 104, dtype)  # the whole row is a group
        yield int4_case(device, 20, 130, 200, 40, dtype)  # groups and blocks do not align
        yield int4_case(device, 3, 32, 1024, 128, dtype)  # few columns: K in parts
        yield int4_case(device, 64, 128, 256, 32, dtype)
    if device == "cuda":  # the interpreter multiplies bfloat16 as if it were integers
        yield int4_case(device, 70, 130, 256, 64, torch.bfloat16)
    yield attention_case(device, normal(2, 2, 60, 24), normal(2, 2, 60, 24, seed=1), 24)
    yield attention_case(device, normal(2, 2, 70, 16), normal(2, 2, 50, 16, seed=1), 16, 2)
    half = [normal(2, 2, 64, 32, seed=s).half() for s in (0, 1)]
    yield attention_case(device, half[0], half[1], 64, 2, 2)
    odd = normal(5, 102)
    odd[1], odd[2, 7], odd[3, 9] = 0.0, torch.inf, torch.nan
    yield int8_case(device, 5, 70, 102, odd)
    yield int8_case(device, 65, 130, 200, normal(65, 200))
    yield int8_static_case(device, odd)
    for shape in ((3, 1), (5, 2), (7, 128), (2, 3, 1024), (1, 16384)):
        yield hadamard_case(device, *shape)
    for groups, size, piece in ((48, 256, 8), (5, 10, 3), (3, 7, 300)):
        yield pq_case(device, groups, size, piece)
    for axis, shape in ((None, (1000,)), (1, (7, 33)), (0, (7, 33)), (1, (2, 3, 2100))):
        yield from fake_quant_cases(device, axis, *shape)
    yield from adder_cases(device, normal(2, 3, 6, 7), normal(5, 3, 3, 3), 1, 1, 1)
    yield from adder_cases(device, normal(1, 4, 9, 8), normal(20, 4, 3, 2), (2, 1), (0, 1), (2, 1))
    yield from adder_cases(device, normal(1, 70, 3, 3), normal(66, 70, 1, 1), 1, 0, 1)


def _int4_launch(m: int, dtype: torch.dtype, group: int) -> Call:
    n = k = 512
    packed = int4_matmul.pack(integers(-8, 8, n, k).char(), normal(n, k // group), group)
    return lambda: int4_gpu.int4_matmul(
        torch.zeros(m, k, dtype=dtype), *packed[:2], None, *packed[2:]
    )


def _int8_launch(m: int) -> Call:
    packed = int8_matmul.pack(integers(-128, 128, 256, 256).char(), normal(256))
    return lambda: int8_gpu.int8_matmul(normal(m, 256), *packed[:2], None, *packed[2:])


def _attention_launch(dtype: torch.dtype, size: int) -> Call:
    packed = block_attention.from_mask(torch.ones(4, 4, dtype=torch.bool), size)
    q = torch.zeros(1, 2, 4 * size, 128, dtype=dtype)
    return lambda: attention_gpu.block_attention(
        q, q, q, packed.indptr, packed.indices, None, size, 0.1, False
    )


PLACE = geometry.sizes("adder", 3, 1, 1, 1)
LAUNCHES: dict[str, Call] = {
    "int4 m=1": _int4_launch(1, torch.float16, 128),
    "int4 m=64": _int4_launch(64, torch.bfloat16, 32),
    "int4 m=512": _int4_launch(512, torch.float16, 128),
    "int4 m=512 float32": _int4_launch(512, torch.float32, 128),
    "int8 m=1": _int8_launch(1),
    "int8 m=64": _int8_launch(64),
    "int8 m=512": _int8_launch(512),
    "attention bfloat16": _attention_launch(torch.bfloat16, 64),
    "attention float32": _attention_launch(torch.float32, 128),
    "hadamard 128": lambda: hadamard_gpu.hadamard(normal(32, 128), 1.0),
    "hadamard 4096": lambda: hadamard_gpu.hadamard(normal(1, 4096), 1.0),
    "pq_embedding": lambda: pq_gpu.pq_embedding(
        integers(0, 9, 16), integers(0, 256, 9, 48).byte(), normal(48, 256, 8)
    ),
    "fake_quant": lambda: fake_quant_gpu.fake_quant(normal(4096), torch.ones(1), -8, 7, None),
    "fake_quant gradients": lambda: fake_quant_gpu.fake_quant_backward(
        normal(64, 128), normal(64, 128), torch.ones(64), -8, 7, 0
    ),
    "adder_conv2d": lambda: adder_gpu.adder_conv2d(
        normal(1, 64, 8, 8), normal(64, 64, 3, 3), None, PLACE
    ),
    "adder_conv2d to x": lambda: adder_gpu.adder_conv2d_to_x(
        normal(1, 64, 8, 8), normal(1, 64, 8, 8), normal(64, 64, 3, 3), PLACE
    ),
}


def tiny() -> dict[str, list[int]]:
    """Numbers that each kernel's bench case and its peers give, at a tiny shape."""
    counts: dict[str, list[int]] = {}
    for name in on_gpu.homes():
        home = import_module(f"octavo.kernels.{name}.gpu_bars")
        case = home.case("cpu", *home.TINY)
        counts[name] = [call().numel() for call in (case.ours, *case.peers.values())]
    return counts


if __name__ == "__main__":
    if sys.argv[1] == "bars":
        print(json.dumps(tiny()))
        sys.exit()
    print(json.dumps({case.name: case.judge() for case in cases(sys.argv[1])}))
