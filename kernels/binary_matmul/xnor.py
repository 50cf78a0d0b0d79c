"""Multiply signs by signs, with a scale for each: activations and weights of one bit.

    y[m, n] = e[m] * s[n] * sum_k h[m, k] * b[n, k]   (+ bias[n])

    symbol  in code        shape, type
    x       x              (..., K) float32
    h       (inside)       1 where x >= 0, else -1
    e       (inside)       the mean of |x|, by row
    b, s    packed         weights of one bit and their scales, see `octavo.kernels.binary_matmul`

The sum is K - 2 popcount(h xor b), an exact integer, the same on every instruction set and thread
count. A row that holds a NaN or an infinity is NaN. A row of packed signs is the float e, then
K'/32 words of 32 bits in the order of the weights.
Source: XNOR-Net (arXiv 1603.05279), eqs. (8) to (11).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from octavo.errors import InputError
from octavo.kernels import runtime
from octavo.kernels.binary_matmul import PackedBinary, unpack
from octavo.kernels.runtime import door
from octavo.kernels.runtime.operation import define, to_x_and_bias

WORD = 32  # inputs


class Signs(NamedTuple):
    """Binarized activations (..., K)."""

    words: Tensor  # (..., 1 + K'/32) int32, the first holding a float32
    k: int


def reference_binarize(x: Tensor) -> Tensor:
    """The oracle of packing, in torch: (..., K) -> (..., 1 + K'/32)."""
    mean = x.abs().mean(-1, keepdim=True)  # (..., 1)
    mean = torch.where(mean.isfinite(), mean, torch.nan)
    count = -(-x.shape[-1] // WORD)
    bits = F.pad((x >= 0).byte(), (0, -x.shape[-1] % WORD)).view(*x.shape[:-1], count, 8, 4)
    words: Tensor = (bits << _fields()).sum(-2, dtype=torch.uint8)  # (..., K'/32, 4)
    return torch.cat((mean.view(torch.int32), words.flatten(-2).view(torch.int32)), -1)


def reference(words: Tensor, codes: Tensor, scales: Tensor) -> Tensor:
    """The oracle of the product, in torch: (..., 1 + K'/32) -> (..., N)."""
    mean = words[..., :1].contiguous().view(torch.float32)  # (..., 1)
    packed = (
        words[..., 1:]
        .contiguous()
        .view(torch.uint8)
        .view(*mean.shape[:-1], words.shape[-1] - 1, 1, 4)
    )
    bits = ((packed >> _fields()) & 1).flatten(-3)[..., : codes.shape[1]]  # (..., K)
    return ((2.0 * bits - 1.0) @ codes.float().T) * (mean * scales)


def binarize(x: Tensor) -> Signs:
    """Pack the signs of x (..., K) float32 and the mean of |x|, to be multiplied many times.

    Raises:
        InputError: x of another dtype or device, or rows without inputs.
    """
    k = x.shape[-1] if x.dim() else 0
    door.check_input("binarize", x, None, inner=k, axis=-1, n=k)
    if not k:
        raise InputError(f"binarize: x has shape {tuple(x.shape)}; a row needs one input at least")
    if door.takes_short_way(x, None):
        return Signs(_run_binarize(x), k)
    return Signs(torch.ops.octavo.binarize(x), k)


def xnor_matmul(x: Tensor | Signs, packed: PackedBinary, bias: Tensor | None = None) -> Tensor:
    """Multiply the signs of x (..., K) float32, or packed ones, by the weight: (..., N) float32.

    Raises:
        InputError: x or bias of another dtype, device or shape.

    >>> from octavo.kernels.binary_matmul import pack
    >>> packed = pack(torch.tensor([[1, -1], [1, 1]], dtype=torch.int8), torch.ones(2))
    >>> xnor_matmul(torch.tensor([[1.0, -3.0]]), packed).tolist()
    [[4.0, 0.0]]
    """
    if isinstance(x, Signs):
        return _multiply_signs(x, packed, bias)
    door.check_input("xnor_matmul", x, bias, inner=packed.k, axis=-1, n=packed.n)
    short = door.takes_short_way(x, bias)
    call = _run if short else torch.ops.octavo.xnor_matmul
    y: Tensor = call(x, packed.codes, packed.scales, bias, packed.n, packed.k)
    return y


def _multiply_signs(x: Signs, packed: PackedBinary, bias: Tensor | None) -> Tensor:
    """xnor_matmul of packed signs."""
    words, k, n = x.words, packed.k, packed.n
    if x.k != k or words.dtype != torch.int32 or words.shape[-1] != 1 + -(-k // WORD):
        raise InputError(
            f"xnor_matmul: signs of {x.k} inputs in {words.shape[-1]} words of {words.dtype}; the "
            f"weight has {k} inputs: use what binarize(x) gives for such an x"
        )
    if bias is not None and (bias.shape != (n,) or bias.dtype != torch.float32):
        raise InputError(
            f"xnor_matmul: bias is {bias.dtype} {tuple(bias.shape)}; use float32 ({n},)"
        )
    short = door.takes_short_way(words, bias)
    call = _run_words if short else torch.ops.octavo.xnor_matmul_words
    y: Tensor = call(words, packed.codes, packed.scales, bias, n, k)
    return y


def _fields() -> Tensor:
    """How far the bits of a byte lie: (8, 1)."""
    return torch.arange(8, dtype=torch.uint8).view(8, 1)


def _run_binarize(x: Tensor) -> Tensor:
    """Pack signs on the backend in use."""
    if not runtime.is_native():
        return reference_binarize(x)
    words = _fake_binarize(x)
    runtime.native.binarize(x.contiguous(), words, runtime.threads())
    return words


def _fake_binarize(x: Tensor) -> Tensor:
    """The shape of packed signs, for tracing."""
    return x.new_empty((*x.shape[:-1], 1 + -(-x.shape[-1] // WORD)), dtype=torch.int32)


def _run(x: Tensor, codes: Tensor, scales: Tensor, bias: Tensor | None, n: int, k: int) -> Tensor:
    """Multiply the signs of floats on the backend in use."""
    if not runtime.is_native():
        return _run_words(reference_binarize(x), codes, scales, bias, n, k)
    out = _fake(x, codes, scales, bias, n, k)
    bias = None if bias is None else bias.contiguous()
    runtime.native.xnor_matmul(x.contiguous(), codes, scales, bias, out, runtime.threads())
    return out


def _run_words(
    words: Tensor, codes: Tensor, scales: Tensor, bias: Tensor | None, n: int, k: int
) -> Tensor:
    """Multiply packed signs on the backend in use."""
    if not runtime.is_native():
        y = reference(words, *unpack(PackedBinary(codes, scales, n, k)))
        return y if bias is None else y + bias
    out = _fake(words, codes, scales, bias, n, k)
    bias = None if bias is None else bias.contiguous()
    call = runtime.native.xnor_matmul_words
    call(words.contiguous(), codes, scales, bias, out, k, runtime.threads())
    return out


def _fake(x: Tensor, codes: Tensor, scales: Tensor, bias: Tensor | None, n: int, k: int) -> Tensor:
    """The shape of the answer, for tracing."""
    return x.new_empty((*x.shape[:-1], n), dtype=torch.float32)


def _to_x(
    grad: Tensor, x: Tensor, codes: Tensor, scales: Tensor, bias: Tensor | None, n: int, k: int
) -> Tensor:
    """The gradient to x: straight through where |x| <= 1, as XNOR-Net trains."""
    signs, steps = unpack(PackedBinary(codes, scales, n, k))
    return (grad @ (signs * steps.unsqueeze(1))) * (x.abs() <= 1)


define("binarize(Tensor x) -> Tensor", _run_binarize, _fake_binarize)
define(
    "xnor_matmul(Tensor x, Tensor codes, Tensor scales, Tensor? bias, int n, int k) -> Tensor",
    _run,
    _fake,
    to_x_and_bias(_to_x, bias_axis=-1),
)
define(
    "xnor_matmul_words(Tensor words, Tensor codes, Tensor scales, Tensor? bias, int n, int k) "
    "-> Tensor",
    _run_words,
    _fake,
)
