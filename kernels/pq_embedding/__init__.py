"""Look rows up in a product-quantized table: each row is put together from pieces of codebooks.

    y[i] = concat over groups g of  b[g, c[id[i], g]]

    symbol  in code   shape, type
    id      ids       (...) int64
    c       codes     (V, G) uint8: for each row of the table a piece a group
    b       books     (G, K, piece) float32, K up to 256
    y                 (..., G * piece) float32

A look-up copies floats: every instruction set gives the same bits. V rows of d floats take V * G
bytes and K * d floats instead of V * d floats. The gradient goes to the books.
Packed: `codes` and `books` as above.
Source: Product quantization for nearest neighbor search, Jegou et al. (2011); as an embedding that
is trained so, Differentiable product quantization (arXiv 1908.09756).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from octavo.errors import InputError
from octavo.kernels import runtime
from octavo.kernels.kmeans_assign import kmeans_assign
from octavo.kernels.runtime import door
from octavo.kernels.runtime.operation import define

VERSION = 1
BOOK = 256  # most pieces of a book
PLACES = ("cpu", "cuda", "meta")


class PackedPq(NamedTuple):
    """A packed table."""

    codes: Tensor  # (V, G) uint8
    books: Tensor  # (G, K, piece) float32

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and JSON-ready facts to save; `load` takes them back."""
        return {"codes": self.codes, "books": self.books}, {"format": "pq", "version": VERSION}


def load(tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> PackedPq:
    """A packed table from its saved state."""
    door.check_state("pq_embedding", meta, VERSION, ())
    return pack(tensors["codes"], tensors["books"])


def pack(codes: Tensor, books: Tensor) -> PackedPq:
    """Pack codes (V, G) uint8 with books (G, K, piece) float32.

    Raises:
        InputError: wrong dtype or shape, or a code that no piece of its book has.

    >>> packed = pack(torch.tensor([[0, 1]], dtype=torch.uint8), torch.arange(4.0).view(2, 2, 1))
    >>> pq_embedding(torch.tensor([0]), packed).tolist()
    [[0.0, 3.0]]
    """
    door.check_weight("pq_embedding", "codes", codes, torch.uint8, 2)
    door.check_weight("pq_embedding", "books", books, torch.float32, 3)
    if books.shape[0] != codes.shape[1] or books.shape[1] > BOOK:
        raise InputError(
            f"pq_embedding: books have shape {tuple(books.shape)}; they must be "
            f"({codes.shape[1]}, K, piece) with K at most {BOOK}, a book for each column of codes"
        )
    if int(codes.max()) >= books.shape[1]:
        raise InputError(
            f"pq_embedding: code {int(codes.max())} in books of {books.shape[1]} pieces; "
            f"codes go from 0 to {books.shape[1] - 1}"
        )
    return PackedPq(runtime.place(codes), runtime.place(books))


def encode(table: Tensor, books: Tensor) -> Tensor:
    """The codes (V, G) of the pieces nearest to each row of table (V, G * piece).

    Raises:
        InputError: table and books do not fit each other.
    """
    groups, _, piece = books.shape
    if table.dim() != 2 or table.shape[1] != groups * piece:
        raise InputError(
            f"pq_embedding: table has shape {tuple(table.shape)}; its rows must be "
            f"{groups} x {piece} long, as the books are"
        )
    parts = table.view(-1, groups, piece).unbind(1)  # G of (V, piece)
    return torch.stack([kmeans_assign(p, b) for p, b in zip(parts, books, strict=True)], 1)


def reference(ids: Tensor, codes: Tensor, books: Tensor) -> Tensor:
    """The oracle, in torch: (...) -> (..., G * piece)."""
    pieces = books[torch.arange(len(books)), codes[ids].long()]  # (..., G, piece)
    return pieces.flatten(-2)


def pq_embedding(ids: Tensor, packed: PackedPq) -> Tensor:
    """Rows of the packed table for ids (...): (..., G * piece) float32.

    Raises:
        InputError: ids that are no integers, on another device, or outside the table.
    """
    if ids.dtype not in (torch.int64, torch.int32) or ids.device.type not in PLACES:
        raise InputError(
            f"pq_embedding: ids are {ids.dtype} on {ids.device}; they must be int64 on the CPU "
            "or a GPU: use ids.long().cpu()"
        )
    if door.takes_short_way(ids, packed.books):
        return _run(ids, *packed)
    op: Tensor = torch.ops.octavo.pq_embedding(ids, *packed)
    return op


def _run(ids: Tensor, codes: Tensor, books: Tensor) -> Tensor:
    """One eager call on the backend in use."""
    rows = codes.shape[0]
    if runtime.is_native():
        out = _fake(ids, codes, books)
        inside = runtime.native.pq_embedding(
            ids.long().contiguous(), codes, books.detach().contiguous(), out, runtime.threads()
        )
    else:
        inside = bool(((ids >= 0) & (ids < rows)).all())
        out = reference(ids, codes, books) if inside else _fake(ids, codes, books)
    if not inside:
        raise InputError(f"pq_embedding: an id is outside the table; ids go from 0 to {rows - 1}")
    return out


def _fake(ids: Tensor, codes: Tensor, books: Tensor) -> Tensor:
    """The shape of the answer, for tracing."""
    return books.new_empty((*ids.shape, books.shape[0] * books.shape[2]))


def _gradient(
    grad: Tensor, needs: Any, ids: Tensor, codes: Tensor, books: Tensor
) -> tuple[Tensor | None, ...]:
    """To the books: each piece gets the sum over where it was used."""
    if not needs[2]:
        return None, None, None
    groups, size, piece = books.shape
    where = (
        codes[ids.flatten()].long() + torch.arange(groups, device=codes.device) * size
    )  # (rows, G)
    to_books = torch.zeros_like(books).view(-1, piece)
    to_books.index_add_(0, where.flatten(), grad.reshape(-1, piece))
    return None, None, to_books.view(books.shape)


define(
    "pq_embedding(Tensor ids, Tensor codes, Tensor books) -> Tensor",
    _run,
    _fake,
    _gradient,
    on_gpu=f"{__name__}.gpu",
)
