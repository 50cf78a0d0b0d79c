"""Kernels that bind themselves: nothing is read or written past a buffer, or refused in silence."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from octavo.kernels import runtime

ROOT = Path(__file__).parent.parent
NATIVE = [name for name in runtime.backends() if name != runtime.REFERENCE]

pytestmark = pytest.mark.skipif(not NATIVE, reason="native kernels are not built here")

GUARDED = """
import ctypes, mmap, torch
from octavo.kernels import block_attention, pq_matmul, runtime
from octavo.kernels.adder_conv2d import codes as adder
libc = ctypes.CDLL(None, use_errno=True)
kept = []
def guarded(t):
    size, page = t.nbytes, mmap.PAGESIZE
    room = -(-max(size, 1) // page) * page
    area = mmap.mmap(-1, room + page)
    start = ctypes.addressof(ctypes.c_char.from_buffer(area))
    assert libc.mprotect(ctypes.c_void_p(start + room), page, 0) == 0
    kept.append(area)
    copy = torch.frombuffer(area, dtype=t.dtype, count=t.numel(), offset=room - size)
    return copy.view(t.shape).copy_(t)
def normal(*sizes):
    return guarded(torch.randn(sizes))
n = runtime.native
for isa in n.backends():
    n.use(isa)
    for size in (1, 7, 16, 33, 64, 131, 4099):
        x, y, grad = normal(3, size), normal(3, size), normal(3, size)
        for scale, inner in ((torch.ones(1), size), (torch.ones(3), size), (torch.ones(size), 1)):
            scale, to_scale = guarded(scale), guarded(scale)
            assert n.fake_quant(x, scale, y, inner, -8, 7, 1)
            assert n.fake_quant_backward(grad, x, scale, y, to_scale, inner, -8, 7, 1)
        for k in (1, 5, 16, 100, 256, 300):
            codes = guarded(torch.zeros(size, dtype=torch.uint8 if k <= 256 else torch.int32))
            assert n.kmeans_assign(normal(size), guarded(torch.arange(k).float()), codes, 1)
            assert n.kmeans_assign(normal(size, 3), normal(k, 3), codes, 1)
        for bits in (1, 2, 4):
            codes = guarded(torch.ones(3, size, dtype=torch.uint8))
            packed = guarded(torch.zeros(3, -(-size * bits // 8), dtype=torch.uint8))
            assert n.bit_pack(codes, packed, bits, False, 1)
            n.bit_unpack(packed, codes, bits, False, 1)
    for log in range(13):
        n.hadamard(normal(2, 1 << log), normal(2, 1 << log), 1.0, 1)
    for piece in (1, 2, 3, 4, 8, 16, 32):
        codes = guarded(torch.full((9, 5), 6, dtype=torch.uint8))
        books, out = normal(5, 7, piece), normal(9, 5 * piece)
        assert n.pq_embedding(guarded(torch.arange(9)), codes, books, out, 1)
    for c, out, side, stride in ((3, 5, 7, 1), (13, 9, 9, 2), (4, 6, 20, 1)):
        after = (side - 1) // stride + 1
        x, w, y = normal(2, c, side, side), normal(out, c, 3, 3), normal(2, out, after, after)
        sizes = [3, 3, stride, stride, 1, 1, 1, 1]
        n.adder_conv2d(x, w, normal(out), y, sizes, 1)
        n.adder_conv2d_to_x(y, x, w, normal(2, c, side, side), sizes, 1)
        x, y = (guarded(t.permute(0, 2, 3, 1).contiguous()) for t in (x.byte(), y.int()))
        w = adder.pack(torch.ones(out, c, 3, 3, dtype=torch.uint8)).codes
        n.adder_conv2d_u8(x, guarded(w), y, 3, sizes, 1)
    for out, groups, size, m in ((1, 1, 16, 1), (65, 9, 16, 5), (130, 17, 256, 3), (3, 8, 40, 9)):
        y, entries = normal(m, out), torch.full((out, groups), 15, dtype=torch.uint8)
        w = pq_matmul.pack(entries, normal(groups, size, 3))
        n.pq_matmul(normal(m, groups * 3), guarded(w.codes), guarded(w.books), normal(out), y, 1)
    for length, keys, d, size in ((33, 70, 5, 16), (130, 65, 64, 100), (64, 64, 16, 64)):
        q, k, v = normal(1, 2, length, d), normal(1, 2, keys, d), normal(1, 2, keys, d)
        every = torch.ones(-(-length // size), -(-keys // size)) > 0
        list_ = block_attention.from_mask(every, size)
        rows = guarded(list_.indptr), guarded(list_.indices)
        for half in (False, True):
            given = [guarded(t.bfloat16().view(torch.int16)) if half else t for t in (q, k, v, q)]
            counted = guarded(torch.tensor([keys - 3], dtype=torch.int32))
            assert n.block_attention(
                *given[:3], *rows, counted, given[3], size, 1.0, half, half, 1
            )
        member = guarded(torch.zeros(1, 2, length, dtype=torch.int32))
        n.hamming_kmeans(guarded(torch.arange(2 * length).view(1, 2, length)), member, 7, 3, 1)
        top = guarded(torch.arange(14 * 30, dtype=torch.int32).view(1, 2, 7, 30) % keys)
        n.cluster_attention(
            q, k, v, member, top, normal(1, 2, 7), normal(1, 2, 7, d), guarded(q), 1.0, 1
        )
print("whole")
"""


def test_nothing_is_read_or_written_past_a_buffer() -> None:
    """Every tensor ends where a page without access begins; a step too far kills the process."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", GUARDED]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "whole", (done.returncode, done.stderr)


def test_native_refuses_what_does_not_fit() -> None:
    native, x = runtime.native, torch.ones(2, 4)
    with pytest.raises(ValueError, match="scale does not fit"):
        native.fake_quant(x, torch.ones(3), x.clone(), 1, -8, 7, 1)
    with pytest.raises(ValueError, match="differ in size"):
        native.hadamard(x, torch.ones(2, 8), 1.0, 1)
    with pytest.raises(ValueError, match="power of two"):
        native.hadamard(torch.ones(2, 3), torch.ones(2, 3), 1.0, 1)
    with pytest.raises(ValueError, match="dtype"):
        native.kmeans_assign(torch.ones(4), torch.ones(2), torch.zeros(4, dtype=torch.int32), 1)
    codes, packed = torch.zeros(9, dtype=torch.uint8), torch.zeros(3, dtype=torch.uint8)
    with pytest.raises(ValueError, match="bytes do not fit"):
        native.bit_pack(codes, packed, 4, False, 1)
    with pytest.raises(ValueError, match="codes do not fit"):
        native.pq_matmul(x, codes.view(3, 3, 1), torch.ones(2, 2, 16), None, x.clone(), 1)
    image, sizes = torch.ones(1, 2, 4, 4), [3, 3, 1, 1, 1, 1, 1, 1]
    with pytest.raises(ValueError, match="weight does not fit"):
        native.adder_conv2d(image, torch.ones(3, 2, 2, 2), None, torch.ones(1, 3, 4, 4), sizes, 1)
