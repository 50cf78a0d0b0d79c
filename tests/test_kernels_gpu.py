"""Kernels for GPUs: interpreted against their oracles, compiled for an H100, run where one is.

Each way takes a process of its own: Triton asks how it is to run when it is imported.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from octavo.errors import InputError
from octavo.kernels import csr_spmm, gpu, int4_matmul, int8_matmul, on_gpu
from octavo.kernels.bars import Case
from octavo.kernels.int4_matmul.module import Int4Linear
from octavo.kernels.runtime import door

HERE = Path(__file__).parent
INTERPRETED = {"TRITON_INTERPRET": "1"}
with_triton = pytest.mark.skipif(find_spec("triton") is None, reason="triton is not installed")
with_gpu = pytest.mark.skipif(gpu.missing() is not None, reason=str(gpu.missing()))


def ask(script: str, *arguments: str, **environment: str) -> Any:
    """What a script of this folder prints, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(HERE / script), *arguments],
        capture_output=True, text=True, env={**os.environ, **environment}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def misses(errors: dict[str, list[float]]) -> dict[str, list[float]]:
    return {name: pair for name, pair in errors.items() if not pair[0] <= pair[1]}


@with_triton
def test_interpreted_kernels_answer_as_their_oracles() -> None:
    errors = ask("gpu_cases.py", "cpu", **INTERPRETED)
    assert len(errors) >= 36
    assert not misses(errors)


@with_gpu
def test_kernels_on_the_gpu_answer_as_their_oracles() -> None:
    assert not misses(ask("gpu_cases.py", "cuda"))


@pytest.fixture(scope="module")
def compiled() -> dict[str, list[dict[str, Any]]]:
    """The kernels of every call, compiled for an H100."""
    if find_spec("triton") is None:
        pytest.skip("triton is not installed")
    kernels: dict[str, list[dict[str, Any]]] = ask("ahead_of_time.py")
    return kernels


def test_compiled_kernels_keep_everything_in_registers(compiled: Any) -> None:
    local = {name: k["local"] for name, kernels in compiled.items() for k in kernels}
    assert not any(local.values()), local


def test_products_of_many_rows_use_the_matrix_instruction_of_hopper(compiled: Any) -> None:
    for name, kernels in compiled.items():
        if name.startswith(("int4", "int8", "attention")):
            product = kernels[-1]
            assert product["tensor_cores"], name
            assert product["wgmma"] or name.endswith("m=1"), name


def test_tiles_fit_the_shared_memory_of_a_processor(compiled: Any) -> None:
    assert all(k["shared"] <= 227 * 1024 for kernels in compiled.values() for k in kernels)


def test_importing_the_kernels_does_not_import_triton() -> None:
    code = "import sys, octavo.kernels; print('triton' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(
    "op",
    ["int4_matmul", "int8_matmul", "hadamard", "pq_embedding", "fake_quant", "fake_quant_backward",
     "block_attention", "block_attention_backward",
     "adder_conv2d", "adder_conv2d_to_x"],
)  # fmt: skip
def test_operations_are_there_for_tensors_on_a_gpu(op: str) -> None:
    assert gpu.has(op)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_without_a_gpu_the_reason_is_said_in_one_line() -> None:
    assert gpu.backends() == []
    with pytest.raises(InputError, match="hadamard: no GPU that this torch can use"):
        gpu.lazily("octavo.kernels.hadamard.gpu", "hadamard")(torch.zeros(2, 4), 1.0)


@pytest.mark.parametrize("dtype", gpu.DTYPES)
def test_tracing_keeps_type_and_device(dtype: torch.dtype) -> None:
    with FakeTensorMode():
        x = torch.empty(2, 3, 64, dtype=dtype, device="cuda")
        codes = torch.empty(2, 8, 64, 4, dtype=torch.uint8, device="cuda")
        packed = int4_matmul.PackedInt4(codes, torch.empty(2, 2, 64, device="cuda"), 70, 64, 32)
        y = int4_matmul.int4_matmul(x, packed)
    assert (y.shape, y.dtype, y.device.type) == ((2, 3, 70), dtype, "cuda")


def test_kernels_without_a_version_for_gpus_say_so() -> None:
    with FakeTensorMode(), pytest.raises(InputError, match="runs on the CPU"):
        door.check_home("csr_spmm", "x", torch.empty(2, 3, device="cuda"))


def test_half_precision_on_the_processor_is_refused() -> None:
    with pytest.raises(InputError, match="must be float32"):
        csr_spmm.csr_spmm(torch.ones(1, 3).half(), csr_spmm.pack(torch.eye(3)))


@with_triton
def test_bench_cases_and_their_peers_give_as_many_numbers() -> None:
    counts = ask("gpu_cases.py", "bars", **INTERPRETED)
    assert counts.keys() == set(on_gpu.homes())
    assert all(len(set(numbers)) == 1 for numbers in counts.values()), counts


def test_shares_are_of_the_nearest_limit() -> None:
    probes = {on_gpu.COPY: 4000.0, on_gpu.PRODUCT: 800_000.0}
    limits = ("copy bandwidth", "bf16 dense")
    case = Case("k", "", 4e8, lambda: None, {}, moved=2e9, limit=limits)
    assert on_gpu.share(case, 1.0, probes) == (0.5, on_gpu.COPY)
    assert on_gpu.share(case._replace(limit=()), 1.0, probes) == (None, None)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_without_a_gpu_nothing_is_measured_there() -> None:
    assert on_gpu.measure(True, ["hadamard"]) == ({}, [])


@with_gpu
def test_a_case_is_measured_on_the_gpu() -> None:
    from octavo.kernels.hadamard import gpu_bars

    row = on_gpu._row(gpu_bars.case("cuda", 1024, 128), on_gpu.limits(), rounds=2)
    assert row["ms"] > 0
    assert row["backend"] == "triton"


@with_gpu
def test_a_module_moves_to_the_gpu_as_it_is() -> None:
    dense = torch.nn.Linear(256, 96)
    ours = Int4Linear.from_dense(dense, group=64)
    x = torch.randn(5, 256, generator=torch.Generator().manual_seed(0))
    expected = ours(x)
    y = ours.cuda()(x.cuda())  # here activations stay whole; there they have 8 bits
    assert (y.cpu() - expected).norm() <= 0.02 * expected.norm()


@with_gpu
def test_eight_bits_give_the_same_bits_on_both() -> None:
    codes = torch.randint(-128, 128, (96, 200), generator=torch.Generator().manual_seed(0)).char()
    packed = int8_matmul.pack(codes, torch.rand(96))
    x = torch.randn(33, 200, generator=torch.Generator().manual_seed(1))
    there = int8_matmul.PackedInt8(packed.codes.cuda(), packed.scales.cuda(), packed.n, packed.k)
    assert torch.equal(int8_matmul.int8_matmul(x.cuda(), there).cpu(),
                       int8_matmul.int8_matmul(x, packed))  # fmt: skip


@with_gpu
def test_tensors_on_two_devices_are_refused() -> None:
    packed = int8_matmul.pack(torch.ones(8, 8, dtype=torch.int8), torch.ones(8))
    with pytest.raises(InputError, match="move all to one device"):
        int8_matmul.int8_matmul(torch.ones(1, 8, device="cuda"), packed)
