"""Compile for a GPU that is not here: what calls would launch, and what the compiler made of it.

A stand-in for the driver claims to be an H100: each launch is compiled as it would be there, with
the same constants and alignments, and nothing runs. `python ahead_of_time.py` prints the kernels of
each call of `gpu_cases.LAUNCHES` as JSON.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import triton
from gpu_cases import LAUNCHES
from triton.backends.compiler import GPUTarget
from triton.runtime import driver
from triton.runtime.jit import JITFunction

BIN = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"


class H100:
    """The driver's answers that compiling needs."""

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", 90, 32)

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0


def launches(call: Callable[[], object]) -> list[dict[str, Any]]:
    """What `call` would launch on an H100. For a process that launches nothing else."""
    seen: list[Any] = []
    run = JITFunction.run

    def compile_only(self: Any, *args: Any, grid: Any, warmup: bool, **options: Any) -> Any:
        seen.append(run(self, *args, grid=grid, warmup=True, **options))
        return seen[-1]

    driver.set_active(H100())
    JITFunction.run = compile_only
    call()
    JITFunction.run = run
    return [_examine(kernel) for kernel in seen]


def _examine(kernel: Any) -> dict[str, Any]:
    """Registers, bytes of local and shared memory, whether Hopper's matrix instruction is there."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(kernel.asm["cubin"])
        file.flush()
        command = [str(BIN / "cuobjdump"), "--dump-resource-usage", file.name]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    used = {name: int(value) for name, value in re.findall(r"(REG|STACK|LOCAL):(\d+)", text)}
    return {
        "kernel": kernel.metadata.name,
        "wgmma": "wgmma" in kernel.asm["ptx"],
        "tensor_cores": "mma" in kernel.asm["ptx"],
        "registers": used["REG"],
        "local": used["STACK"] + used["LOCAL"],
        "shared": kernel.metadata.shared,
    }


if __name__ == "__main__":
    print(json.dumps({name: launches(call) for name, call in LAUNCHES.items()}))
