"""A small language to model: the words of docstrings, and an LSTM and a transformer that read them.

The task is the next word of running text: sentences of installed packages one after the other, the
most frequent words by themselves and all others as one. Held-out text is from other files.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from octavo.reference_impls.inputs import Batch, evaluating
from octavo.reference_impls.tasks import sentences
from octavo.reference_impls.training import task_loss

WORDS = 512  # that are told apart; the first stands for all others
LENGTH, BATCH = 16, 64
TRAIN, HELD_OUT = 2048, 256  # sentences
WIDTH = 64
_WORD = re.compile(r"\w+|[.,;:()]")


class Corpus(NamedTuple):
    """Batches of ids (B, LENGTH) and the ids one place further on."""

    train: tuple[Batch, ...]
    held_out: tuple[Batch, ...]


@cache
def corpus() -> Corpus:
    """The words of docstrings; the same packages give the same corpus.

    Raises:
        InputError: the packages hold too few sentences.
    """
    text = sentences.load(TRAIN, HELD_OUT)
    train, held_out = ([w for s in part for w in words(s)] for part in text)
    common = [word for word, _ in Counter(train).most_common(WORDS - 1)]
    ids = {word: i + 1 for i, word in enumerate(common)}
    return Corpus(*(_batches([ids.get(w, 0) for w in part]) for part in (train, held_out)))


def words(sentence: str) -> list[str]:
    """Lower-case words and punctuation.

    >>> words("The mean (or sum).")
    ['the', 'mean', '(', 'or', 'sum', ')', '.']
    """
    return _WORD.findall(sentence.lower())


def _batches(ids: Sequence[int]) -> tuple[Batch, ...]:
    rows = torch.tensor(ids[: len(ids) // (LENGTH + 1) * (LENGTH + 1)]).view(-1, LENGTH + 1)
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))
    return tuple(Batch(part[:, :-1], part[:, 1:]) for part in torch.split(rows[order], BATCH))


def loss(net: nn.Module, batches: Sequence[Batch]) -> float:
    """Mean loss in nats a word."""
    with evaluating(net):
        total = sum(float(task_loss(net, b)) * b.target.numel() for b in batches)
    return float(total / sum(b.target.numel() for b in batches))


class Recurrent(nn.Module):
    """An LSTM of one layer whose gates are two linear layers: from the word, and from the state."""

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.embed = nn.Embedding(WORDS, width)
        self.word, self.state = nn.Linear(width, 4 * width), nn.Linear(width, 4 * width, bias=False)
        self.out = nn.Linear(width, WORDS)

    def forward(self, ids: Tensor) -> Tensor:
        """Ids (B, T) to logits (B, T, WORDS)."""
        gates = self.word(self.embed(ids))  # (B, T, 4 width)
        h = c = gates.new_zeros(len(ids), self.embed.embedding_dim)
        states = []
        for t in range(ids.shape[1]):
            i, f, o, g = (gates[:, t] + self.state(h)).chunk(4, 1)
            c = torch.sigmoid(f + 1) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            states.append(h)
        logits: Tensor = self.out(torch.stack(states, 1))
        return logits


class Causal(nn.Module):
    """A transformer that sees only what stands before: blocks of attention and feed-forward."""

    def __init__(self, width: int = WIDTH, depth: int = 2, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.embed = nn.Embedding(WORDS, width)
        self.place = nn.Parameter(torch.zeros(LENGTH, width))
        self.qkv = nn.ModuleList(nn.Linear(width, 3 * width) for _ in range(depth))
        self.mix = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.up = nn.ModuleList(nn.Linear(width, 4 * width) for _ in range(depth))
        self.down = nn.ModuleList(nn.Linear(4 * width, width) for _ in range(depth))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2 * depth + 1))
        self.out = nn.Linear(width, WORDS)

    def forward(self, ids: Tensor) -> Tensor:
        """Ids (B, T) to logits (B, T, WORDS)."""
        x = self.embed(ids) + self.place[: ids.shape[1]]
        for i, (qkv, mix, up, down) in enumerate(
            zip(self.qkv, self.mix, self.up, self.down, strict=True)
        ):
            x = x + mix(self._attended(qkv(self.norms[2 * i](x))))
            x = x + down(F.gelu(up(self.norms[2 * i + 1](x))))
        logits: Tensor = self.out(self.norms[-1](x))
        return logits

    def _attended(self, qkv: Tensor) -> Tensor:
        """(B, T, 3 width) to (B, T, width)."""
        q, k, v = (
            part.view(*part.shape[:2], self.heads, -1).transpose(1, 2)
            for part in qkv.chunk(3, dim=2)
        )
        return F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
