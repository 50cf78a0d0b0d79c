"""The rotation of rows by the Walsh-Hadamard matrix, as a module; see `hadamard`."""

from __future__ import annotations

from torch import Tensor

from octavo.kernels.hadamard import hadamard, reference
from octavo.kernels.runtime.packed import Packed


class Hadamard(Packed):
    """Rotate the last dimension: what stands before a layer whose inputs have outliers.

    It is its own inverse, and holds nothing: a weight (N, K) of the layer behind it becomes
    `hadamard(weight)`.
    """

    def __init__(self) -> None:
        super().__init__()
        self._hold(None)

    def forward(self, x: Tensor) -> Tensor:
        """(..., d) -> (..., d), d a power of two."""
        return hadamard(x)

    def simulate(self, x: Tensor) -> Tensor:
        """The same arithmetic in plain torch."""
        return reference(x, float(x.shape[-1]) ** -0.5)
