"""torch's own 8- and 4-bit products: FBGEMM, oneDNN, and the 4-bit weight in bfloat16."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from octavo.kernels.timing import Call


def int8(x: Tensor, weight: Tensor, scales: Tensor) -> dict[str, Call]:
    """Dynamically quantized products x (M, K) by weight (N, K) float32, scales (N,) of its rows."""
    found: dict[str, Call] = {}
    for engine in ("fbgemm", "onednn"):
        if (table := _packed(engine, weight, scales)) is not None:
            found[f"quantized {engine}"] = partial(torch.ops.quantized.linear_dynamic, x, table)
    return found


def int8_static(x: Tensor, weight: Tensor, scales: Tensor, step: float) -> dict[str, Call]:
    """The same by a step of the activations that is known: float32 in, float32 out."""
    table = _packed("fbgemm", weight, scales)
    if table is None:
        return {}
    multiply = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32
    return {"quantized static fbgemm": partial(multiply, x, step, 128, table)}


def _packed(engine: str, weight: Tensor, scales: Tensor) -> object | None:
    """A weight (N, K) float32 with scales (N,) as an engine takes it; None without the engine."""
    before = torch.backends.quantized.engine
    if engine not in torch.backends.quantized.supported_engines:
        return None
    zeros = torch.zeros(len(scales), dtype=torch.int64)
    whole = torch.quantize_per_channel(weight, scales.double(), zeros, 0, torch.qint8)
    torch.backends.quantized.engine = engine
    try:
        table: object = torch.ops.quantized.linear_prepack(whole, None)
    finally:
        torch.backends.quantized.engine = before
    return table


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
