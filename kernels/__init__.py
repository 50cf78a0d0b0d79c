"""Kernels for compressed layers: one folder an operation, one file an instruction set.

Each operation packs once and is called many times:

>>> import torch
>>> from octavo.kernels import csr_spmm
>>> packed = csr_spmm.pack(torch.eye(3) * 2)
>>> csr_spmm.csr_spmm(torch.ones(1, 3), packed).tolist()
[[2.0, 2.0, 2.0]]

`backend()` says which instruction set runs, `backends()` which could, `OCTAVO_BACKEND` forces one.
Tensors on a GPU go to Triton where a kernel has it: `gpu.backends()`, and `gpu.missing()` why not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from octavo.errors import InputError
from octavo.kernels import (
    adder_conv2d,
    binary_matmul,
    bit_pack,
    block_attention,
    cluster_attention,
    csr_spmm,
    fake_quant,
    hadamard,
    int2_matmul,
    int4_matmul,
    int8_2of4_matmul,
    int8_matmul,
    kmeans_assign,
    nm_spmm,
    pq_embedding,
    pq_matmul,
    stripe_conv2d,
)
from octavo.kernels.adder_conv2d import codes as adder_codes
from octavo.kernels.runtime import backend, backends, cpu_flags, gpu, missing

Packed = (
    binary_matmul.PackedBinary
    | int2_matmul.PackedInt2
    | int4_matmul.PackedInt4
    | int8_matmul.PackedInt8
    | int8_2of4_matmul.PackedInt8TwoOfFour
    | csr_spmm.PackedCsr
    | nm_spmm.PackedNm
    | stripe_conv2d.PackedStripes
    | pq_embedding.PackedPq
    | adder_codes.PackedAdder
    | pq_matmul.PackedPqWeight
    | block_attention.PackedBlocks
)
FORMATS: dict[str, Callable[[Mapping[str, Tensor], Mapping[str, Any]], Packed]] = {
    "binary": binary_matmul.load,
    "int2": int2_matmul.load,
    "int4": int4_matmul.load,
    "int8": int8_matmul.load,
    "int8-2of4": int8_2of4_matmul.load,
    "csr": csr_spmm.load,
    "nm": nm_spmm.load,
    "stripes": stripe_conv2d.load,
    "pq": pq_embedding.load,
    "adder": adder_codes.load,
    "pq-weight": pq_matmul.load,
    "blocks": block_attention.load,
}


def load_packed(tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> Packed:
    """A packed weight from what its `state()` gave.

    Raises:
        InputError: an unknown format, or a version that this Octavo does not read.
    """
    name = meta.get("format")
    if name not in FORMATS:
        raise InputError(f"packed format {name!r} is unknown; known are {', '.join(FORMATS)}")
    return FORMATS[name](tensors, meta)


__all__ = [
    "Packed",
    "adder_conv2d",
    "backend",
    "backends",
    "binary_matmul",
    "bit_pack",
    "block_attention",
    "cluster_attention",
    "cpu_flags",
    "csr_spmm",
    "fake_quant",
    "gpu",
    "hadamard",
    "int2_matmul",
    "int4_matmul",
    "int8_2of4_matmul",
    "int8_matmul",
    "kmeans_assign",
    "load_packed",
    "missing",
    "nm_spmm",
    "pq_embedding",
    "pq_matmul",
    "stripe_conv2d",
]
