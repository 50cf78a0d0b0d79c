"""XNNPACK, by way of ExecuTorch: a dynamically quantized product as a program of one layer.

Rows of activations are quantized to 8 bits in the call, weights have 4 bits in groups or 8 by row.
One thread.
"""

from __future__ import annotations

import logging
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from octavo.kernels.bars import in_turn
from octavo.kernels.timing import Call


def installed() -> bool:
    """Whether it can be measured: ExecuTorch, and torchao to quantize for it."""
    return all(find_spec(name) is not None for name in ("executorch", "torchao"))


def product(
    x: Tensor, out: int, bits: int, group: int | None = None, copies: int = 1
) -> dict[str, Call]:
    """Rows x (M, K) by a weight of `out` rows; of several copies each call takes the next."""
    if not installed():
        return {}
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with torch.inference_mode(False), torch.no_grad():
            program = _program(x.clone(), out, bits, group)
            return {"xnnpack": in_turn([_method(program, x.clone()) for _ in range(copies)])}
    finally:
        logging.disable(before)


def _program(x: Tensor, out: int, bits: int, group: int | None) -> bytes:
    """The layer, exported and lowered for this number of rows."""
    ao = import_module("torchao.quantization")
    sizes = import_module("torchao.quantization.granularity")
    exir = import_module("executorch.exir")
    backend = "executorch.backends.xnnpack.partition.xnnpack_partitioner"
    layer = torch.nn.Sequential(torch.nn.Linear(x.shape[1], out, bias=False)).eval()
    config = ao.Int8DynamicActivationIntxWeightConfig(
        weight_dtype=getattr(torch, f"int{bits}"),
        weight_granularity=sizes.PerAxis(0) if group is None else sizes.PerGroup(group),
    )
    ao.quantize_(layer, config)
    whole = torch.export.export(layer, (x,))
    partitioner = import_module(backend).XnnpackPartitioner()
    lowered = exir.to_edge_transform_and_lower(whole, partitioner=[partitioner])
    buffer: bytes = lowered.to_executorch().buffer
    return buffer


def _method(program: bytes, x: Tensor) -> Call:
    """A loaded program, ready to be called; each has packed its weights for itself."""
    bindings: Any = import_module("executorch.extension.pybindings.portable_lib")
    bindings._unsafe_reset_threadpool(1)
    runtime = import_module("executorch.runtime").Runtime.get()
    loaded = runtime.load_program(program)
    method = loaded.load_method("forward")

    def call(held: object = (program, loaded)) -> object:  # a method reads what these own
        return method.execute([x])

    return call
