"""Modules that run a compressed layer on its kernel: what a materialised model is made of.

Each holds its packed weight in buffers, so it saves and moves like any module; `simulate(x)` is the
same arithmetic in plain torch, `bytes_on_disk()` counts codes, scales and indices alike. A module
lives beside its kernel, in `kernels/<name>/module.py`; this is the list.
"""

from octavo.kernels.adder_conv2d.module import AdderConv2d, AdderConv2dU8
from octavo.kernels.binary_matmul.module import BinaryLinear
from octavo.kernels.block_attention.module import BlockAttention
from octavo.kernels.cluster_attention.module import ClusterAttention
from octavo.kernels.csr_spmm.module import CsrConv2d, CsrLinear
from octavo.kernels.fake_quant.module import FakeQuant
from octavo.kernels.hadamard.module import Hadamard
from octavo.kernels.int2_matmul.module import Int2Linear
from octavo.kernels.int4_matmul.module import Int4Conv2d, Int4Linear
from octavo.kernels.int8_2of4_matmul.module import Int8TwoOfFourLinear
from octavo.kernels.int8_matmul.module import Int8Conv2d, Int8Linear
from octavo.kernels.nm_spmm.module import NmConv2d, NmLinear
from octavo.kernels.pq_embedding.module import PqEmbedding
from octavo.kernels.pq_matmul.module import PqLinear
from octavo.kernels.runtime.geometry import of_layer as geometry
from octavo.kernels.stripe_conv2d.module import StripeConv2d

__all__ = [
    "AdderConv2d",
    "AdderConv2dU8",
    "BinaryLinear",
    "BlockAttention",
    "ClusterAttention",
    "CsrConv2d",
    "CsrLinear",
    "FakeQuant",
    "Hadamard",
    "Int2Linear",
    "Int4Conv2d",
    "Int4Linear",
    "Int8Conv2d",
    "Int8Linear",
    "Int8TwoOfFourLinear",
    "NmConv2d",
    "NmLinear",
    "PqEmbedding",
    "PqLinear",
    "StripeConv2d",
    "geometry",
]
