"""Product quantization of unit vectors: pieces of a vector, each with a book of its own.

    v ~ (b[0, c[0]], ..., b[m - 1, c[m - 1]])        q . v ~ sum_i q_i . b[i, c[i]]

    symbol  in code   shape, type
    v       vectors   (n, width) float32
    b       books     (pieces, size, width / pieces) float32
    c       codes     (n, pieces) uint8

A question is never quantized: its product with every entry of every book is a table of pieces x
size numbers, and a vector's score is a sum of `pieces` of them (asymmetric distances).
Source: Jégou, Douze and Schmid, Product quantization for nearest neighbor search (2011).
"""

from __future__ import annotations

import torch
from torch import Tensor

from octavo.errors import InputError
from octavo.kernels.kmeans_assign import kmeans_assign, kmeans_sums

ROUNDS = 15


def fit(vectors: Tensor, pieces: int, size: int, seed: int = 0) -> Tensor:
    """Books for vectors (n, width) by k-means: (pieces, size, width / pieces), of float16 values.

    Raises:
        InputError: no vectors, pieces that do not divide the width, or a size above 256.

    >>> fit(torch.eye(4), pieces=2, size=2).shape
    torch.Size([2, 2, 2])
    """
    if not len(vectors) or vectors.shape[1] % pieces or not 1 <= size <= 256:
        raise InputError(
            f"search: {pieces} pieces with books of {size} for vectors {tuple(vectors.shape)}; "
            "pieces must divide the width, a book has 1 to 256 entries"
        )
    drawn = torch.randperm(len(vectors), generator=torch.Generator().manual_seed(seed))
    first = drawn.repeat(-(-size // len(drawn)))[:size]
    parts = vectors.view(len(vectors), pieces, -1).unbind(1)
    books = [_book(part.contiguous(), part[first].contiguous()) for part in parts]
    return torch.stack(books).half().float()


def _book(points: Tensor, book: Tensor) -> Tensor:
    for _ in range(ROUNDS):
        codes = kmeans_assign(points, book)
        sums = kmeans_sums(points, codes, len(book))
        used = sums.weights > 0
        book = book.clone()
        book[used] = (sums.of_points[used] / sums.weights[used, None]).float()
    return book


def encode(vectors: Tensor, books: Tensor) -> Tensor:
    """The nearest entry of each book: (n, width) -> (n, pieces) uint8."""
    parts = vectors.view(len(vectors), len(books), -1).unbind(1)
    codes = [kmeans_assign(p.contiguous(), b) for p, b in zip(parts, books, strict=True)]
    return torch.stack(codes, 1)


def decode(codes: Tensor, books: Tensor) -> Tensor:
    """What codes (n, pieces) stand for: (n, width)."""
    return books[torch.arange(len(books)), codes.long()].flatten(1)


def packed(codes: Tensor, size: int) -> bytes:
    r"""Codes as bytes, one piece after the other; two codes a byte where a book has at most 16.

    >>> packed(torch.tensor([[1, 2, 3]], dtype=torch.uint8), 16)
    b'!\x03'
    """
    if size <= 16:
        even = torch.nn.functional.pad(codes, (0, codes.shape[1] % 2))
        codes = even[:, 0::2] | (even[:, 1::2] << 4)
    return bytes(codes.T.contiguous().numpy())
