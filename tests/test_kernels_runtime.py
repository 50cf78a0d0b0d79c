"""What is under the kernels: choice of backend, threads and forks, memory."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from octavo.kernels import (
    csr_spmm,
    int2_matmul,
    int4_matmul,
    int8_2of4_matmul,
    int8_matmul,
    measured,
    runtime,
)
from octavo.kernels.bars import bar_of

ROOT = Path(__file__).parent.parent
NATIVE = [name for name in runtime.backends() if name != runtime.REFERENCE]
needs_native = pytest.mark.skipif(not NATIVE, reason="native kernels are not built here")


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh Python with the repository on its path."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment}
    return subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=120
    )


def test_required_native_is_here() -> None:
    if os.environ.get("OCTAVO_REQUIRE_NATIVE") != "1":
        pytest.skip("OCTAVO_REQUIRE_NATIVE is not set")
    assert NATIVE, runtime.missing()


def test_backends_end_with_the_reference() -> None:
    assert runtime.backends()[-1] == runtime.REFERENCE
    assert runtime.backend() in runtime.backends()
    assert (runtime.missing() is None) == bool(NATIVE)


ONE_OF_EACH = """
import torch
from octavo.kernels import backend, csr_spmm, int4_matmul, int8_matmul, stripe_conv2d
codes = torch.arange(-8, 8, dtype=torch.int8).repeat(5, 4)
x = (torch.arange(192) % 17 - 8).float().view(3, 64)
x[:, 0] = 127
four = int4_matmul.int4_matmul(x, int4_matmul.pack(codes, torch.ones(5, 1)))
eight = int8_matmul.int8_matmul(x, int8_matmul.pack(codes, torch.ones(5)))
sparse = csr_spmm.csr_spmm(x, csr_spmm.pack(codes.float()))
image = x.view(1, 3, 8, 8)
keep = torch.ones(2, 2, 2, dtype=torch.bool)
y = stripe_conv2d.stripe_conv2d(image, stripe_conv2d.pack(torch.ones(2, 3, 2, 2), keep))
print(backend(), four.sum().item(), eight.sum().item(), sparse.sum().item(), y.sum().item())
"""


def test_each_backend_can_be_forced() -> None:
    """All give the same sums: the inputs are integers, so even floats are exact."""
    sums = set()
    for name in runtime.backends():
        done = python(ONE_OF_EACH, OCTAVO_BACKEND=name)
        assert done.returncode == 0, done.stderr
        used, *rest = done.stdout.split()
        assert used == name
        assert rest[0] == rest[1] == rest[2]
        sums.add(tuple(rest))
    assert len(sums) == 1


def test_an_unknown_backend_is_an_error_with_the_list() -> None:
    done = python("import octavo.kernels", OCTAVO_BACKEND="sse9")
    assert done.returncode == 1
    assert done.stderr.strip().endswith(
        f"OCTAVO_BACKEND=sse9 cannot run here; use one of {', '.join(runtime.backends())}, "
        "or unset it"
    )


def test_missing_native_is_said_or_refused() -> None:
    """Without the module calls run in torch; where it is required the import fails."""
    code = "import sys; sys.modules['octavo.kernels._native'] = None; import octavo.kernels as k; "
    code += "print(k.backends(), k.missing())"
    done = python(code, OCTAVO_REQUIRE_NATIVE="", OCTAVO_BACKEND="")
    assert done.stdout.startswith("['reference'] native kernels are not built")
    assert python(code, OCTAVO_REQUIRE_NATIVE="1", OCTAVO_BACKEND="").returncode == 1


@needs_native
def test_a_forked_child_computes_too() -> None:
    code = """
import os, torch
from octavo.kernels import int8_matmul
torch.set_num_threads(2)
packed = int8_matmul.pack(torch.ones(1024, 1024, dtype=torch.int8), torch.ones(1024))
x = torch.ones(256, 1024)
run = lambda: int8_matmul.int8_matmul(x, packed).numpy().tobytes()  # torch's own pool would hang
before = run()
child = os.fork()
if child == 0:
    os._exit(0 if run() == before else 7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert run() == before
"""
    done = python(code)
    assert done.returncode == 0, done.stderr


@needs_native
def test_python_threads_share_the_pool() -> None:
    packed, x = csr_spmm.pack(torch.randn(512, 512)), torch.randn(128, 512)
    expected = csr_spmm.csr_spmm(x, packed)

    def work(_: int) -> bool:
        torch.set_num_threads(3)
        return all(torch.equal(csr_spmm.csr_spmm(x, packed), expected) for _ in range(20))

    before = torch.get_num_threads()
    with ThreadPoolExecutor(4) as workers:
        right = list(workers.map(work, range(4)))
    torch.set_num_threads(before)
    assert all(right)


@needs_native
def test_native_refuses_what_does_not_fit() -> None:
    packed = csr_spmm.pack(torch.randn(7, 9))
    with pytest.raises(ValueError, match="differ in rows"):
        runtime.native.csr_spmm(torch.ones(2, 9), *packed[:3], None, torch.ones(3, 7), 128, 1)
    with pytest.raises(ValueError, match="dtype"):
        runtime.native.csr_spmm(
            torch.ones(2, 9).double(), *packed[:3], None, torch.ones(2, 7), 128, 1
        )
    with pytest.raises(ValueError, match="contiguous"):
        runtime.native.csr_spmm(torch.ones(9, 2).T, *packed[:3], None, torch.ones(2, 7), 128, 1)


@needs_native
def test_weights_live_in_aligned_memory_that_is_given_back() -> None:
    homes = [runtime.place(torch.full((size,), 3.0)) for size in (1, 1000, 600_000)]
    assert all(home.data_ptr() % 64 == 0 and bool((home == 3).all()) for home in homes)
    assert homes[2].data_ptr() % (2 << 20) == 0
    del homes
    many = [runtime.place(torch.ones(600_000)) for _ in range(20)]
    assert len({home.data_ptr() for home in many}) == 20


@pytest.mark.filterwarnings("ignore")
def test_every_kernel_has_bars_and_its_cases_run() -> None:
    folders = {path.parent.name for path in (ROOT / "kernels").glob("*/generic.cpp")}
    folders.discard("roofline")  # measures the machine
    seen = set()
    with torch.inference_mode():
        for case in measured.cases(quick=True):
            seen.add(case.kernel)
            assert bar_of(case).kernel == case.kernel
            assert case.peers
            case.ours()
    assert seen == folders


@pytest.mark.skipif(not NATIVE or sys.platform != "linux", reason="asks Linux for large pages")
def test_weights_get_fresh_pages_whatever_was_freed_before() -> None:
    """Memory that malloc hands out again has small pages; what is fresh holds zeros."""
    freed = [torch.ones(30 << 18), *(torch.ones(1 << 22) for _ in range(4))]
    del freed
    for _ in range(3):
        piece = runtime.native.arena(16 << 20)
        assert piece.data_ptr() % (2 << 20) == 0
        assert not piece.any()
        piece.fill_(1)


class Own(Tensor):
    """A subclass, which torch's dispatcher must see."""


class Watching(TorchDispatchMode):
    """A mode, which must see every operation."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


def packed_of_each() -> dict[str, Any]:
    """(operation, packed weight 5 x 64) of those with a short way."""
    codes = torch.arange(320).remainder(4).sub(2).to(torch.int8).view(5, 64)
    kept = codes * torch.tensor([1, 0, 0, 1], dtype=torch.int8).repeat(16)
    return {
        "csr_spmm": csr_spmm.pack(codes.float()),
        "int2_matmul": int2_matmul.pack(codes, torch.ones(5, 1)),
        "int4_matmul": int4_matmul.pack(codes, torch.ones(5, 1)),
        "int8_matmul": int8_matmul.pack(codes, torch.ones(5)),
        "int8_2of4_matmul": int8_2of4_matmul.pack(kept, torch.ones(5)),
    }


PRODUCTS = ["csr_spmm", "int2_matmul", "int4_matmul", "int8_2of4_matmul", "int8_matmul"]


@needs_native
@pytest.mark.parametrize("op", PRODUCTS)
def test_the_short_way_is_for_plain_calls_and_gives_the_same(op: str) -> None:
    packed, short = packed_of_each()[op], runtime.eager(op)
    tables = [part for part in packed if isinstance(part, Tensor)]
    sizes = [part for part in packed if not isinstance(part, Tensor)]
    x, bias = torch.randn(2, 3, 64), torch.randn(5)
    for b in (None, bias, torch.nn.Parameter(bias, requires_grad=False)):
        expected = getattr(torch.ops.octavo, op)(x, *tables, b, *sizes)
        y = short(x, b, packed)
        assert y is not None
        assert type(y) is Tensor
        assert torch.equal(y, expected)
    wants = x.clone().requires_grad_()
    strided = x.transpose(0, 1)
    for unusual in (wants, x.double(), x[..., :32], strided, x.to("meta"), x.as_subclass(Own)):
        assert short(unusual, None, packed) is None
    for unusual in (bias[:4], bias.double(), bias.clone().requires_grad_()):
        assert short(x, unusual, packed) is None
    with torch.no_grad():
        assert short(wants, None, packed) is not None
    with Watching():
        assert short(x, None, packed) is None


@needs_native
@pytest.mark.parametrize("op", PRODUCTS)
def test_registered_products_take_what_torch_gives_them(op: str) -> None:
    packed = packed_of_each()[op]
    tables = [part for part in packed if isinstance(part, Tensor)]
    sizes = [part for part in packed if not isinstance(part, Tensor)]
    call, x, bias = getattr(torch.ops.octavo, op), torch.randn(2, 3, 64), torch.randn(5)
    y = call(x, *tables, bias, *sizes)
    for way in (torch.enable_grad, torch.no_grad, torch.inference_mode):
        with way():
            assert torch.equal(call(x, *tables, bias, *sizes), y)
            strided = x.transpose(0, 1).contiguous().transpose(0, 1)
            assert torch.equal(call(strided, *tables, bias, *sizes), y)
            assert call(x[:0], *tables, None, *sizes).shape == (0, 3, 5)
            for wrong in ((x.double(), *tables), (x[..., :32], *tables), (x, *tables[::-1])):
                with pytest.raises((ValueError, RuntimeError)):
                    call(*wrong, bias, *sizes)
    assert torch.equal(torch.func.vmap(lambda row: call(row, *tables, bias, *sizes))(x), y)
    wants = x.clone().requires_grad_()
    call(wants, *tables, bias, *sizes).sum().backward()
    assert wants.grad is not None
    with torch.no_grad():
        assert not call(wants, *tables, bias, *sizes).requires_grad
