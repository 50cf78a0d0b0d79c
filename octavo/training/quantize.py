"""The trained table in a byte a group: product quantization, then training on with the codes fixed.

Direction and length of a piece's vector are kept apart: the length is its weight w, the direction
is turned by a random rotation (so that every group says as much as any other) and cut into groups.
A group's pieces are clustered by k-means, each piece counting by w^2 and by how often it is met.
Then the entries of the books, which many pieces share, are trained as the table was: the look-up is
`octavo.kernels.pq_embedding`, whose gradient goes to the books.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from octavo.kernels.kmeans_assign import kmeans_assign, kmeans_sums
from octavo.kernels.pq_embedding import PackedPq, encode, pack, pq_embedding
from octavo.training.table import Bags, Config, descend

BOOK = 256
EPOCHS = 2  # of training the books
STEPS = 25  # of k-means; the error falls by less than a thousandth a step after that


@dataclass(frozen=True)
class Quantized:
    """What ships: e[t] = weights[t] * (row t of the packed table)."""

    packed: PackedPq
    weights: Tensor  # (pieces,)


def rotation(width: int) -> Tensor:
    """A random rotation (width, width)."""
    noise = torch.randn(width, width, generator=torch.Generator().manual_seed(0))
    turn: Tensor = torch.linalg.qr(noise).Q
    return turn


def quantize(table: Tensor, counts: Tensor, groups: int) -> Quantized:
    """Codes and books of a table (pieces, width), `counts` saying how often a piece is met."""
    weights = table.norm(dim=1)
    unit = table / weights.clamp_min(1e-9)[:, None]
    importance = weights.square() * (counts + 1)
    parts = unit.view(len(table), groups, -1).unbind(1)  # of (pieces, width / groups)
    books = torch.stack([book(part.contiguous(), importance) for part in parts])
    return Quantized(pack(encode(unit, books), books), weights)


def book(points: Tensor, importance: Tensor) -> Tensor:
    """The entries of one book, (256, piece): weighted k-means (Lloyd) of points (n, piece)."""
    generator = torch.Generator().manual_seed(0)
    entries = points[torch.multinomial(importance.sqrt(), BOOK, generator=generator)].clone()
    for _ in range(STEPS):
        sums = kmeans_sums(points, kmeans_assign(points, entries), BOOK, importance)
        used = sums.weights > 0
        entries[used] = (sums.of_points[used] / sums.weights[used, None]).float()
    return entries


def refine(
    made: Quantized, texts: Bags, targets: Tensor, config: Config, advance: Callable[[float], None]
) -> Quantized:
    """Train books and weights on, the codes fixed, for targets (texts, width)."""
    books = torch.nn.Parameter(made.packed.books.clone())
    weights = torch.nn.Parameter(made.weights.clone())

    def sums(flat: Tensor, offsets: Tensor) -> Tensor:
        pieces, places = torch.unique(flat, return_inverse=True)
        rows = pq_embedding(pieces, PackedPq(made.packed.codes, books)) * weights[pieces, None]
        return functional.embedding_bag(places, rows, offsets, mode="sum")

    optimizer = torch.optim.Adam([books, weights], config.lr)
    descend(optimizer, sums, texts, targets, config, advance)
    return Quantized(pack(made.packed.codes, books.detach()), weights.detach())
