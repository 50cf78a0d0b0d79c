"""Multiply by a product-quantized weight: every product is looked up in a table.

    t[m, g, j] = sum_i x[m, g, i] * b[g, i, j]        y[m, n] = sum_g t[m, g, c[n, g]]   (+ bias[n])

    symbol  in code   shape, type
    x       x         (..., K) float32, K = G * piece: pieces of a row
    c       codes     (N, G) uint8: for each piece of a row of the weight, an entry of its book
    b       books     (G, piece, size) float32, size up to 256
    t       (inside)  what each entry gives, once a row of x

Books of 256 take the tables as they are, in float32. Books of 16 take tables of 8 bits, whose
look-ups are one instruction for 16 to 64 codes:

    step[m] = max over g, j of |t[m, g, j]| / 127,   t ~ step * round(t / step)
    |y - exact| <= G / 2 * step[m]                                       (`error_bound`)

Sums of codes are 32-bit integers below 255 * G, G up to 65,536, and tables are made in one order
without fused multiply-add: every instruction set and number of threads gives the same bits. A row
of x with an infinity or a NaN gives NaN.
Packed: `books` (G, piece, size) float32, its size padded to a multiple of 16; `codes` uint8, in
books of 16 (panels, G'/8, 64, 4), low nibble group g, high nibble g + 4, else (G'/8, N, 8).
Source: tables of products, Quantized convolutional neural networks (arXiv 1512.06473); of 8 bits in
registers, Cache locality is not enough (Andre et al., 2015). Differs: one step a row of x, with
tables symmetric about zero, in place of a least value a table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from octavo.errors import InputError
from octavo.kernels import runtime
from octavo.kernels.runtime import door, panels
from octavo.kernels.runtime.operation import define, to_x_and_bias

VERSION = 1
OCTET = 8
FINE, WIDE = 16, 256
MOST_GROUPS = 1 << 16


class PackedPqWeight(NamedTuple):
    """A packed product-quantized weight."""

    codes: Tensor  # (panels, G'/8, 64, 4) or (G'/8, N, 8) uint8
    books: Tensor  # (G, piece, size) float32
    n: int
    k: int

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and JSON-ready facts to save; `load` takes them back."""
        meta = {"format": "pq-weight", "version": VERSION, "n": self.n, "k": self.k}
        return {"codes": self.codes, "books": self.books}, meta


def load(tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> PackedPqWeight:
    """A packed weight from its saved state."""
    door.check_state("pq_matmul", meta, VERSION, ("n", "k"))
    codes, books = runtime.place(tensors["codes"]), runtime.place(tensors["books"])
    return PackedPqWeight(codes, books, meta["n"], meta["k"])


def pack(codes: Tensor, books: Tensor) -> PackedPqWeight:
    """Pack codes (N, G) uint8 with books (G, size, piece) float32, as `pq_embedding` has them.

    Raises:
        InputError: wrong dtype or shape, more than 256 entries or 65,536 groups, or a code that no
            entry of its book has.

    >>> books = torch.tensor([[[1.0, 0.0], [1.0, 1.0]]])  # a group of two entries of two floats
    >>> packed = pack(torch.tensor([[0], [1]], dtype=torch.uint8), books)
    >>> pq_matmul(torch.tensor([[3.0, 4.0]]), packed).round(decimals=1).tolist()
    [[3.0, 7.0]]
    """
    door.check_weight("pq_matmul", "codes", codes, torch.uint8, 2)
    door.check_weight("pq_matmul", "books", books, torch.float32, 3)
    groups, size = books.shape[:2]
    if groups != codes.shape[1] or groups > MOST_GROUPS or size > WIDE:
        raise InputError(
            f"pq_matmul: books have shape {tuple(books.shape)}; they must be ({codes.shape[1]}, "
            f"size, piece), a book a column of codes, size at most {WIDE}, books {MOST_GROUPS}"
        )
    if int(codes.max()) >= size:
        raise InputError(f"pq_matmul: code {int(codes.max())} in books of {size} entries")
    padded = F.pad(books.detach(), (0, 0, 0, panels.round_up(size, FINE) - size))
    table = padded.transpose(1, 2).contiguous()  # (G, piece, size')
    laid = _to_nibbles(codes) if size <= FINE else _to_octets(codes)
    n, k = codes.shape[0], groups * books.shape[2]
    return PackedPqWeight(runtime.place(laid), runtime.place(table), n, k)


def _to_nibbles(codes: Tensor) -> Tensor:
    """Codes (N, G) of 4 bits as (panels, G'/8, 64, 4)."""
    wide = panels.to_panels(codes, OCTET, 0)  # (P, G'/4, 64, 4)
    return wide[:, 0::2] | (wide[:, 1::2] << 4)


def _to_octets(codes: Tensor) -> Tensor:
    """Codes (N, G) of 8 bits as (G'/8, N, 8)."""
    n, groups = codes.shape
    padded = F.pad(codes, (0, panels.round_up(groups, OCTET) - groups))
    return padded.view(n, -1, OCTET).transpose(0, 1).contiguous()


def unpack(packed: PackedPqWeight) -> tuple[Tensor, Tensor]:
    """The codes (N, G) uint8 and the padded books (G, size', piece) of a packed weight."""
    codes, groups = packed.codes, packed.books.shape[0]
    if codes.dim() == 4:
        wide = torch.stack((codes & 15, codes >> 4), 2).flatten(1, 2)  # (P, G'/4, 64, 4)
        rows = panels.from_panels(wide, packed.n, groups, 0).view(torch.uint8)
    else:
        rows = codes.transpose(0, 1).reshape(packed.n, -1)[:, :groups].contiguous()
    return rows, packed.books.transpose(1, 2)


def weight(packed: PackedPqWeight) -> Tensor:
    """The dense weight (N, K) of a packed one."""
    codes, books = unpack(packed)
    return books[torch.arange(len(books)), codes.long()].flatten(1)


def tables(x: Tensor, books: Tensor) -> Tensor:
    """What each entry of books (G, size, piece) gives with x (M, K): (M, G, size)."""
    return torch.einsum("mgi,gji->mgj", x.view(len(x), len(books), -1), books)


def reference(x: Tensor, codes: Tensor, books: Tensor) -> Tensor:
    """The oracle, in torch: (..., K) -> (..., N)."""
    table = tables(x.reshape(-1, books.shape[0] * books.shape[2]), books)  # (M, G, size)
    if books.shape[1] <= FINE:
        step = (table.abs().amax((1, 2), keepdim=True) / 127).clamp(min=1e-32)
        table = (table / step).round() * step
    y = table.new_zeros(len(table), len(codes))
    for group, column in enumerate(codes.T.long()):
        y += table[:, group, column]
    return y.view(*x.shape[:-1], len(codes))


def error_bound(x: Tensor, packed: PackedPqWeight) -> Tensor:
    """The most that tables of 8 bits can move the products of x (..., K): (...)."""
    if packed.codes.dim() != 4:
        return x.new_zeros(x.shape[:-1])
    table = tables(x.reshape(-1, packed.k), packed.books.transpose(1, 2))
    return (table.abs().amax((1, 2)) / 127 * len(packed.books) / 2).view(x.shape[:-1])


def pq_matmul(x: Tensor, packed: PackedPqWeight, bias: Tensor | None = None) -> Tensor:
    """Multiply x (..., K) float32 by the packed weight, add bias (N,): (..., N) float32.

    Raises:
        InputError: x or bias of another dtype, device or shape.
    """
    door.check_input("pq_matmul", x, bias, inner=packed.k, axis=-1, n=packed.n)
    call = _run if door.takes_short_way(x, bias) else torch.ops.octavo.pq_matmul
    y: Tensor = call(x, packed.codes, packed.books, bias, packed.n, packed.k)
    return y


def _run(x: Tensor, codes: Tensor, books: Tensor, bias: Tensor | None, n: int, k: int) -> Tensor:
    """One eager call on the backend in use."""
    if not runtime.is_native():
        y = reference(x, *unpack(PackedPqWeight(codes, books, n, k)))
        return y if bias is None else y + bias
    out = x.new_empty((*x.shape[:-1], n))
    bias = None if bias is None else bias.contiguous()
    runtime.native.pq_matmul(x.contiguous(), codes, books, bias, out, runtime.threads())
    return out


def _fake(x: Tensor, codes: Tensor, books: Tensor, bias: Tensor | None, n: int, k: int) -> Tensor:
    """The shape of the answer, for tracing."""
    return x.new_empty((*x.shape[:-1], n))


def _to_x(
    grad: Tensor, x: Tensor, codes: Tensor, books: Tensor, bias: Tensor | None, n: int, k: int
) -> Tensor:
    """The gradient to x, as if tables were not rounded (straight through)."""
    return grad @ weight(PackedPqWeight(codes, books, n, k))


define(
    "pq_matmul(Tensor x, Tensor codes, Tensor books, Tensor? bias, int n, int k) -> Tensor",
    _run,
    _fake,
    to_x_and_bias(_to_x, bias_axis=-1),
)
