"""faiss: exact neighbours, decoding and scanning of product codes, Hamming distances."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from torch import Tensor

from octavo.kernels.bit_pack import bit_pack
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


def scan(x: Tensor, codes: Tensor, books: Tensor, weight: Tensor) -> dict[str, Call]:
    """The largest product of each row of x with codes (N, G) by books (G, 16 or 256, D)."""
    faiss = _faiss()
    if faiss is None:
        return {}
    fine = books.shape[1] == 16
    kind = faiss.IndexPQFastScan if fine else faiss.IndexPQ
    index = kind(x.shape[1], len(books), 4 if fine else 8, faiss.METRIC_INNER_PRODUCT)
    faiss.copy_array_to_vector(books.flatten().numpy(), index.pq.centroids)
    index.is_trained = True
    if fine:
        index.add(weight.numpy())
    else:
        faiss.copy_array_to_vector(codes.flatten().numpy(), index.codes)
        index.ntotal = len(codes)
    rows = x.numpy()
    return {"faiss fast scan" if fine else "faiss": lambda: index.search(rows, 1)}


def hamming(x: Tensor, codes: Tensor) -> dict[str, Call]:
    """How many signs of x (M, K) and codes (N, K) differ, of which it keeps the fewest a row."""
    faiss = _faiss()
    if faiss is None:
        return {}
    index = faiss.IndexBinaryFlat(codes.shape[1])
    index.add(bit_pack((codes > 0).byte(), 1).numpy())
    signs = bit_pack((x >= 0).byte(), 1).numpy()
    return {"faiss binary": lambda: index.search(signs, 1)}
