"""ONNX Runtime: a product whose weight has 2, 4 or 8 bits, as a model of one node, one thread."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
from torch import Tensor

from octavo.kernels.bars import in_turn
from octavo.kernels.timing import Call


def installed() -> bool:
    """Whether it can be measured: the runtime, and onnx to write a model."""
    return all(find_spec(name) is not None for name in ("onnxruntime", "onnx"))


def grouped(x: Tensor, out: int, bits: int, group: int, copies: int = 1) -> dict[str, Call]:
    """MatMulNBits: x (M, K) by a weight of `out` rows in groups, computing in 8-bit integers."""
    if not installed():
        return {}
    k, random = x.shape[1], np.random.default_rng(0)
    blocks = k // group
    weights = {
        "w": random.integers(0, 256, (out, blocks, group * bits // 8), dtype=np.uint8),
        "s": np.full(out * blocks, 0.01, np.float32),
    }
    given = {"K": k, "N": out, "bits": bits, "block_size": group, "accuracy_level": 4}
    return {"onnxruntime": _node("MatMulNBits", x, out, weights, given, copies)}


def dynamic(x: Tensor, codes: Tensor, copies: int = 1) -> dict[str, Call]:
    """DynamicQuantizeMatMul: x (M, K) by codes (N, K) int8 with a scale a row."""
    if not installed():
        return {}
    n = len(codes)
    weights = {"w": codes.T.contiguous().numpy(), "s": np.full(n, 0.01, np.float32)}
    return {"onnxruntime": _node("DynamicQuantizeMatMul", x, n, weights, {}, copies)}


def _node(
    kind: str,
    x: Tensor,
    out: int,
    weights: Mapping[str, Any],
    given: Mapping[str, int],
    copies: int,
) -> Call:
    """A call of a model with one node; with several copies of it, each call takes the next."""
    helper, numbers = import_module("onnx.helper"), import_module("onnx.numpy_helper")
    node = helper.make_node(kind, ["x", *weights], ["y"], domain="com.microsoft", **given)
    rows = x.shape[0]
    ends = [
        [helper.make_tensor_value_info(name, 1, [rows, width])]  # 1 is float32
        for name, width in (("x", x.shape[1]), ("y", out))
    ]
    held = [numbers.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph([node], "product", *ends, held)
    versions = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=versions, ir_version=9).SerializeToString()
    return in_turn([_session(model, x.numpy()) for _ in range(copies)])


def _session(model: bytes, x: np.ndarray[Any, Any]) -> Call:
    """A session on one thread with its input and output in place."""
    runtime = import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    binding.bind_cpu_input("x", x)
    binding.bind_output("y")
    return lambda: session.run_with_iobinding(binding)
