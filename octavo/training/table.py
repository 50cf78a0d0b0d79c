"""The static student: a vector a word piece, taught so that sums of them mean what MiniLM says.

    s(x)   = normalise( sum over pieces t of x of  e[t] )
    L_vec  = 1 - cos(s(x), T(x))                                     the vector itself
    L_rel  = KL( softmax(T T^t / tau) || softmax(S S^t / tau) )      who is near whom, in the batch

T is the teacher's vector in its first `width` principal directions. The table starts as the
teacher's vector of each piece alone, pieces that are frequent made short (Arora et al. 2017, a
simple but tough-to-beat baseline for sentence embeddings). A batch is made of neighbourhoods, as
telling near texts apart is what a search is for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from octavo.ingest.static import Vectors
from octavo.kernels.kmeans_assign import kmeans_assign

WARM = 100  # steps of warm-up
RARE = 1e-3  # a of SIF: a piece of this frequency keeps half its length


@dataclass(frozen=True)
class Config:
    """Settings, chosen on the dev half of the judged queries."""

    width: int = 192
    epochs: int = 15
    batch: int = 512
    lr: float = 1e-3
    tau: float = 0.05
    relation: float = 0.0  # weight of L_rel: more of it was no better, see the table on the site
    crowd: int = 32  # texts of a neighbourhood in a batch

    def steps(self, texts: int) -> int:
        """Steps of training on so many texts."""
        return self.epochs * max(1, texts // self.batch)


@dataclass(frozen=True)
class Bags:
    """Texts as pieces: those of text i are flat[starts[i] : starts[i + 1]]."""

    flat: Tensor
    starts: Tensor  # (texts + 1,)

    def of(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Pieces of these texts, and where each begins, as `embedding_bag` takes them."""
        begins, lengths = self.starts[rows], self.starts[rows + 1] - self.starts[rows]
        offsets = torch.cumsum(lengths, 0) - lengths
        places = torch.arange(int(lengths.sum())) + torch.repeat_interleave(
            begins - offsets, lengths
        )
        return self.flat[places], offsets


def bags(pieces: Sequence[Sequence[int]]) -> Bags:
    """Texts as one run of pieces."""
    lengths = torch.tensor([0, *map(len, pieces)])
    return Bags(torch.tensor([p for text in pieces for p in text]), torch.cumsum(lengths, 0))


def directions(vectors: Vectors, width: int) -> Vectors:
    """The first `width` principal directions of vectors around 0: (384, width)."""
    gram = vectors.T.astype(np.float64) @ vectors
    values, axes = np.linalg.eigh(gram)
    found: Vectors = axes[:, np.argsort(-values)[:width]].astype(np.float32)
    return found


def start(alone: Tensor, flat: Tensor) -> Tensor:
    """The table before training, (pieces, width): the teacher's vectors of pieces, by frequency."""
    counts = torch.bincount(flat, minlength=len(alone)).float()
    weights = RARE / (RARE + counts / counts.sum())
    return functional.normalize(alone - alone.mean(0), dim=1) * weights[:, None]


def train(
    table: Tensor, texts: Bags, targets: Tensor, config: Config, advance: Callable[[float], None]
) -> Tensor:
    """The trained table, (pieces, width), for targets (texts, width)."""
    trained = torch.nn.Parameter(table.clone())

    def sums(flat: Tensor, offsets: Tensor) -> Tensor:
        return functional.embedding_bag(flat, trained, offsets, mode="sum", sparse=True)

    descend(torch.optim.SparseAdam([trained], config.lr), sums, texts, targets, config, advance)
    return trained.detach()


def descend(
    optimizer: torch.optim.Optimizer,
    sums: Callable[[Tensor, Tensor], Tensor],
    texts: Bags,
    targets: Tensor,
    config: Config,
    advance: Callable[[float], None],
) -> None:
    """Fit what gives the sums of pieces to the targets, with warm-up and linear decay.

    `sums` takes pieces and where each text begins among them; `advance` hears the losses.
    """
    targets = functional.normalize(targets, dim=1)
    crowds = neighbourhoods(targets, config.crowd)
    steps = config.steps(len(targets))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda t: min((t + 1) / WARM, (steps - t) / steps)
    )
    for rows in batches(crowds, config.batch, steps):
        optimizer.zero_grad()
        ours = functional.normalize(sums(*texts.of(rows)), dim=1)
        value = loss(ours, targets[rows], config.tau, config.relation)
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        advance(value.item())


def loss(ours: Tensor, theirs: Tensor, tau: float, relation: float) -> Tensor:
    """L_vec + relation * L_rel of unit vectors (B, width), mean over texts."""
    vector = (1 - (ours * theirs).sum(1)).mean()
    if relation == 0:
        return vector
    itself = torch.eye(len(ours), dtype=torch.bool)
    log_ours, log_theirs = (
        (x @ x.T / tau).masked_fill(itself, -1e4).log_softmax(1) for x in (ours, theirs)
    )
    return vector + relation * (log_theirs.exp() * (log_theirs - log_ours)).sum(1).mean()


def neighbourhoods(targets: Tensor, size: int) -> list[Tensor]:
    """Texts by their nearest of so many random texts that about `size` share one."""
    generator = torch.Generator().manual_seed(0)
    chosen = torch.randperm(len(targets), generator=generator)[: max(1, len(targets) // size)]
    codes = kmeans_assign(targets.contiguous(), targets[chosen].contiguous()).long()
    order = torch.argsort(codes, stable=True)
    return list(torch.split(order, torch.bincount(codes).tolist()))


def batches(crowds: Sequence[Tensor], size: int, steps: int) -> Iterator[Tensor]:
    """Rows of each batch: whole neighbourhoods in random order, cut to the size of a batch."""
    generator = torch.Generator().manual_seed(0)
    left = torch.empty(0, dtype=torch.long)
    queue: list[Tensor] = []
    for _ in range(steps):
        parts = [left]
        while sum(map(len, parts)) < size:
            queue = queue or [crowds[i] for i in torch.randperm(len(crowds), generator=generator)]
            parts.append(queue.pop())
        rows = torch.cat(parts)
        yield rows[:size]
        left = rows[size:]
