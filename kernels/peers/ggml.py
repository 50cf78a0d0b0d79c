"""ggml, which llama.cpp multiplies with, from the libraries that llama-cpp-python brings.

Rows of activations are quantized to 8 bits in the call. One thread.
"""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Iterator
from ctypes import c_bool, c_int, c_int64, c_size_t, c_void_p
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from octavo.kernels.bars import in_turn
from octavo.kernels.timing import Call

FLOAT = 0
TYPES = {"q4_0": 2, "q8_0": 8, "q4_K": 12, "tq2_0": 35}
REPACKED = ("q4_0", "q4_K")  # eight rows side by side, where the CPU has AVX2
LIBRARY = "libggml-cpu.so"
LOG = ctypes.CFUNCTYPE(None, c_int, ctypes.c_char_p, c_void_p)
QUIET = LOG(lambda level, text, data: None)


class _Memory(ctypes.Structure):
    """How a context gets its memory: (bytes, where, descriptions only)."""

    _fields_ = (("size", c_size_t), ("at", c_void_p), ("no_alloc", c_bool))


SIGNATURES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "ggml_init": (c_void_p, (_Memory,)),
    "ggml_free": (None, (c_void_p,)),
    "ggml_row_size": (c_size_t, (c_int, c_int64)),
    "ggml_new_tensor_2d": (c_void_p, (c_void_p, c_int, c_int64, c_int64)),
    "ggml_mul_mat": (c_void_p, (c_void_p, c_void_p, c_void_p)),
    "ggml_new_graph": (c_void_p, (c_void_p,)),
    "ggml_build_forward_expand": (None, (c_void_p, c_void_p)),
    "ggml_quantize_chunk": (
        c_size_t,
        (c_int, c_void_p, c_void_p, c_int64, c_int64, c_int64, c_void_p),
    ),
    "ggml_cpu_has_avx2": (c_int, ()),
    "ggml_log_set": (None, (LOG, c_void_p)),
    "ggml_backend_cpu_init": (c_void_p, ()),
    "ggml_backend_cpu_set_n_threads": (None, (c_void_p, c_int)),
    "ggml_backend_cpu_buffer_type": (c_void_p, ()),
    "ggml_backend_cpu_reg": (c_void_p, ()),
    "ggml_backend_reg_get_proc_address": (c_void_p, (c_void_p, ctypes.c_char_p)),
    "ggml_backend_get_device": (c_void_p, (c_void_p,)),
    "ggml_backend_alloc_ctx_tensors_from_buft": (c_void_p, (c_void_p, c_void_p)),
    "ggml_backend_buffer_free": (None, (c_void_p,)),
    "ggml_backend_buft_name": (ctypes.c_char_p, (c_void_p,)),
    "ggml_backend_tensor_set": (None, (c_void_p, c_void_p, c_size_t, c_size_t)),
    "ggml_backend_tensor_get": (None, (c_void_p, c_void_p, c_size_t, c_size_t)),
    "ggml_backend_graph_compute": (c_int, (c_void_p, c_void_p)),
}


def installed() -> bool:
    """Whether it can be measured."""
    return _home() is not None


def product(x: Tensor, weight: Tensor, kind: str, copies: int = 1) -> dict[str, Call]:
    """Rows x (M, K) by weight (N, K) float32, quantized as `kind`; of copies, each call the next.

    Where ggml has rows side by side for the kind, they are a peer of their own.
    """
    if not installed():
        return {}
    made = _made(x, weight, kind, copies)
    return {name: in_turn(each) for name, each in made.items()}


def products(x: Tensor, weight: Tensor, kind: str) -> dict[str, Product]:
    """One of each, to be asked for its answer."""
    return {name: each for name, (each,) in _made(x, weight, kind, 1).items()}


def _made(x: Tensor, weight: Tensor, kind: str, copies: int) -> dict[str, list[Product]]:
    """Copies of the product, by the peer's name; the weight is quantized once."""
    library, n = _library(), len(weight)
    packed = np.empty(n * library.ggml_row_size(TYPES[kind], weight.shape[1]), np.uint8)
    values = np.ascontiguousarray(weight.numpy(), np.float32)
    library.ggml_quantize_chunk(
        TYPES[kind], values.ctypes.data, packed.ctypes.data, 0, n, weight.shape[1], None
    )
    ways = {f"ggml {kind}": library.ggml_backend_cpu_buffer_type()}
    if kind in REPACKED and library.ggml_cpu_has_avx2():
        ways |= {f"ggml {kind} repacked": found for found in _side_by_side()}
    return {
        name: [Product(x, packed, kind, n, place) for _ in range(copies)]
        for name, place in ways.items()
    }


class Product:
    """A graph of one product with its weight in place; a call runs it, `answer` reads it."""

    def __init__(
        self, x: Tensor, packed: np.ndarray[Any, Any], kind: str, n: int, place: int
    ) -> None:
        self.library, (m, k) = _library(), x.shape
        self.contexts = [self.library.ggml_init(_Memory(1 << 20, None, True)) for _ in range(2)]
        weight = self.library.ggml_new_tensor_2d(self.contexts[0], TYPES[kind], k, n)
        rows = self.library.ggml_new_tensor_2d(self.contexts[1], FLOAT, k, m)
        self.y, self.shape = self.library.ggml_mul_mat(self.contexts[1], weight, rows), (m, n)
        self.graph = self.library.ggml_new_graph(self.contexts[1])
        self.library.ggml_build_forward_expand(self.graph, self.y)
        places = (place, self.library.ggml_backend_cpu_buffer_type())
        allocate = self.library.ggml_backend_alloc_ctx_tensors_from_buft
        self.buffers = [allocate(*pair) for pair in zip(self.contexts, places, strict=True)]
        given = np.ascontiguousarray(x.numpy(), np.float32)
        for tensor, data in ((weight, packed), (rows, given)):
            self.library.ggml_backend_tensor_set(tensor, data.ctypes.data, 0, data.nbytes)

    def __call__(self) -> int:
        """Multiply; 0 where all went well."""
        status: int = self.library.ggml_backend_graph_compute(_backend(), self.graph)
        return status

    def answer(self) -> np.ndarray[Any, Any]:
        """What the last call computed, (M, N)."""
        y = np.empty(self.shape, np.float32)
        self.library.ggml_backend_tensor_get(self.y, y.ctypes.data, 0, y.nbytes)
        return y

    def __del__(self) -> None:
        for buffer in self.buffers:
            self.library.ggml_backend_buffer_free(buffer)
        for context in self.contexts:
            self.library.ggml_free(context)


def _home() -> Path | None:
    """The library's file; llama_cpp is not imported, as that loads models' code too."""
    found = find_spec("llama_cpp")
    if found is None or found.origin is None:
        return None
    path = Path(found.origin).parent / "lib" / LIBRARY
    return path if path.is_file() else None


@cache
def _library() -> ctypes.CDLL:
    """The library, its functions typed; those that it depends on are found through it."""
    library = ctypes.CDLL(str(_home()))
    for name, (result, arguments) in SIGNATURES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    library.ggml_log_set(QUIET, None)
    return library


@cache
def _backend() -> int:
    """The processor, one thread."""
    backend: int = _library().ggml_backend_cpu_init()
    _library().ggml_backend_cpu_set_n_threads(backend, 1)
    return backend


def _side_by_side() -> Iterator[int]:
    """Kinds of buffers that keep rows of a weight side by side."""
    library = _library()
    at = library.ggml_backend_reg_get_proc_address(
        library.ggml_backend_cpu_reg(), b"ggml_backend_dev_get_extra_bufts"
    )
    ask = ctypes.CFUNCTYPE(ctypes.POINTER(c_void_p), c_void_p)(at)
    more = ask(library.ggml_backend_get_device(_backend()))
    for i in itertools.count():
        if not (place := more[i]):  # a null ends them
            return
        if b"REPACK" in library.ggml_backend_buft_name(place):
            yield place
