"""faiss: exact neighbours, decoding and scanning of product codes, Hamming distances."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from torch import Tensor

from octavo.kernels.timing import Call


def _faiss() -> Any:
    """The module on one thread; None where it is not installed."""
    if find_spec("faiss") is None:
        return None
    module = import_module("faiss")
    module.omp_set_num_threads(1)
    return module


def nearest(x: Tensor, centroids: Tensor) -> dict[str, Call]:
    """The nearest of centroids (K, D) for each row of x (N, D)."""
    faiss = _faiss()
    if faiss is None:
        return {}
    index = faiss.IndexFlatL2(centroids.shape[1])
    index.add(centroids.numpy())
    return {"faiss flat": lambda: index.search(x.numpy(), 1)}


def decode(codes: Tensor, books: Tensor, ids: Tensor) -> dict[str, Call]:
    """Rows `ids` of codes (V, G) uint8 by books (G, 256, D)."""
    faiss = _faiss()
    if faiss is None:
        return {}
    quantizer = faiss.ProductQuantizer(books.shape[0] * books.shape[2], len(books), 8)
    faiss.copy_array_to_vector(books.flatten().numpy(), quantizer.centroids)
    table, rows = codes.numpy(), ids.numpy()
    return {"faiss decode": lambda: quantizer.decode(table[rows])}
