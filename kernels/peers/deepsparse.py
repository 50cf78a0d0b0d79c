"""DeepSparse: a product with a sparse weight, compiled for it, as a model of one node, one thread.

Its Python side is not imported, as that wants NumPy 1. The engine beneath runs, but what it hands
out has the strides of NumPy 1: an answer is read by its address.
"""

from __future__ import annotations

import ctypes
import tempfile
from functools import cache
from importlib import import_module
from importlib.machinery import ExtensionFileLoader
from importlib.util import find_spec, module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from octavo.kernels.runtime import cpu_flags
from octavo.kernels.timing import Call

ENGINE = "deepsparse_engine"


def installed() -> bool:
    """Whether it can be measured: the engine for this CPU, and onnx to write a model."""
    return _home() is not None and find_spec("onnx") is not None


def product(x: Tensor, weight: Tensor) -> dict[str, Call]:
    """Rows x (M, K) by weight (N, K) float32, of which most is zero."""
    if not installed():
        return {}
    engine, rows = _compiled(weight, len(x)), np.ascontiguousarray(x.numpy())
    return {"deepsparse": lambda: engine.execute_list_out([rows])}


def answer(found: list[np.ndarray[Any, Any]], m: int, n: int) -> np.ndarray[Any, Any]:
    """What a call of `product` gave, (M, N)."""
    at = found[0].__array_interface__["data"][0]
    return np.ctypeslib.as_array((ctypes.c_float * (m * n)).from_address(at)).reshape(m, n)


def _compiled(weight: Tensor, rows: int) -> Any:
    """The engine's own program for this weight and number of rows."""
    onnx, numbers = import_module("onnx"), import_module("onnx.numpy_helper")
    helper, (n, k) = onnx.helper, weight.shape
    ends = [
        [helper.make_tensor_value_info(name, 1, [rows, width])]  # 1 is float32
        for name, width in (("x", k), ("y", n))
    ]
    held = [numbers.from_array(np.ascontiguousarray(weight.T.numpy()), "w")]
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    graph = helper.make_graph([node], "product", *ends, held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "product.onnx")
        onnx.save(model, path)
        return _engine().deepsparse_engine(path, rows, 1, 1, "single_stream", None, None)


def _home() -> Path | None:
    """The engine's file for this CPU."""
    found = find_spec("deepsparse")
    if found is None or found.origin is None:
        return None
    isa = "avx512" if "avx512f" in cpu_flags() else "avx2"
    path = Path(found.origin).parent / isa / f"{ENGINE}.so"
    return path if path.is_file() else None


@cache
def _engine() -> Any:
    """The engine's module."""
    loader = ExtensionFileLoader(ENGINE, str(_home()))
    spec = spec_from_loader(ENGINE, loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module
