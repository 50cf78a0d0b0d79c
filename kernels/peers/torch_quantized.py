"""torch's own 8- and 4-bit products: FBGEMM, oneDNN, and the 4-bit weight in bfloat16."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from octavo.kernels.timing import Call


def int8(x: Tensor, weight: Tensor, scales: Tensor) -> dict[str, Call]:
    """Dynamically quantized products x (M, K) by weight (N, K) float32, scales (N,) of its rows."""
    zeros = torch.zeros(len(scales), dtype=torch.int64)
    whole = torch.quantize_per_channel(weight, scales.double(), zeros, 0, torch.qint8)
    found: dict[str, Call] = {}
    before = torch.backends.quantized.engine
    for engine in ("fbgemm", "onednn"):
        if engine in torch.backends.quantized.supported_engines:
            torch.backends.quantized.engine = engine
            table = torch.ops.quantized.linear_prepack(whole, None)
            found[f"quantized {engine}"] = partial(torch.ops.quantized.linear_dynamic, x, table)
    torch.backends.quantized.engine = before
    return found


def int4(x: Tensor, codes: Tensor, scales: Tensor, group: int) -> dict[str, Call]:
    """Rows x (M, K) by codes (N, K) with scales (N, K / group), where this torch has it."""
    convert = getattr(torch.ops.aten, "_convert_weight_to_int4pack_for_cpu", None)
    multiply = getattr(torch.ops.aten, "_weight_int4pack_mm_for_cpu", None)
    if convert is None or multiply is None:
        return {}
    table = convert(codes.int() + 8, 1)
    zeros = torch.zeros_like(scales)
    steps = torch.stack((scales, zeros), -1).transpose(0, 1).contiguous().bfloat16()  # (G, N, 2)
    return {"int4pack bfloat16": partial(multiply, x.bfloat16(), table, group, steps)}
