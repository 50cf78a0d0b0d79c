"""The small student: two of MiniLM's six layers, taught its last attention and its vectors.

    L = L_AT + L_VR (reference_impls.minilm, eq. 11)  +  L_vec + L_rel (octavo.training.table)

The embeddings are the teacher's, product-quantized before training and then fixed, so that the
layers learn to live with it. The teacher's attention needs its whole pass: after `attention` of the
steps only its vectors, which are kept, are taught.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from octavo.ingest.transformer import Passed, Quantized, Transformer
from octavo.reference_impls import minilm
from octavo.reference_impls.distil import Attention, every_other
from octavo.training import table

PART = 16  # texts of like length that are passed together: less is padding
EMBEDDINGS = (
    "embeddings.position_embeddings.weight",
    "embeddings.token_type_embeddings.weight",
    "embeddings.LayerNorm.weight",
    "embeddings.LayerNorm.bias",
)


@dataclass(frozen=True)
class Config:
    """Settings, chosen on the dev half of the judged queries."""

    layers: int = 2
    steps: int = 1800
    batch: int = 64
    lr: float = 5e-4  # reference_impls.minilm
    attention: float = 0.1  # share of the steps that teach attention, too
    own: int = 5  # times that a text of the catalog is taken in a round
    longest: int = 64  # pieces of a text
    tau: float = 0.05  # these as in octavo.training.table
    relation: float = 0.1
    crowd: int = 8


def start(teacher: Transformer, rows: Quantized, layers: int) -> Transformer:
    """The student before training: evenly chosen layers of the teacher, the last among them."""
    kept = every_other(teacher.layers, layers)
    weights = {n: teacher.weights[n].clone() for n in EMBEDDINGS}
    for new, old in enumerate(kept):
        before = f"encoder.layer.{old}."
        weights |= {
            f"encoder.layer.{new}." + name.removeprefix(before): weight.clone()
            for name, weight in teacher.weights.items()
            if name.startswith(before)
        }
    return replace(teacher, name="small", weights=weights, rows=rows, layers=layers)


def train(
    teacher: Transformer,
    student: Transformer,
    rows: Quantized,
    texts: Sequence[Sequence[int]],
    targets: Tensor,
    config: Config,
    advance: Callable[[float], None],
) -> None:
    """Train the student's weights, and its table `rows`, in place; losses go to `advance`.

    Args:
        teacher: as it is; its last attention is taught at first.
        student: made by `start` with these rows.
        rows: the table of pieces; books and weights are trained, the codes are not.
        texts: pieces, with those that mark start and end.
        targets: the teacher's vectors (texts, 384).
        config: steps, sizes, and what the losses weigh.
        advance: hears the loss of every step.
    """
    layers = [w for name, w in student.weights.items() if "_embeddings" not in name]
    pieces = [rows.books, rows.weights]
    for weight in (*layers, *pieces):
        weight.requires_grad_()
    groups: list[dict[str, Any]] = [
        {"params": layers},
        {"params": pieces, "lr": config.lr / 10, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=config.lr, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda t: min((t + 1) / table.WARM, (config.steps - t) / config.steps)
    )
    crowds = table.neighbourhoods(targets, config.crowd)
    for step, chosen in enumerate(table.batches(crowds, config.batch, config.steps)):
        master = teacher if step < config.attention * config.steps else None
        value = _loss(master, student, texts, targets, chosen, config)
        optimizer.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_([*layers, *pieces], 1.0)
        optimizer.step()
        schedule.step()
        advance(value.item())
    for weight in (*layers, *pieces):
        weight.requires_grad_(False)


def _loss(
    teacher: Transformer | None,
    student: Transformer,
    texts: Sequence[Sequence[int]],
    targets: Tensor,
    chosen: Tensor,
    config: Config,
) -> Tensor:
    """The loss on the chosen texts; without a teacher, on its vectors alone."""
    order = sorted(chosen.tolist(), key=lambda row: len(texts[row]))
    cut = [texts[row][: config.longest] for row in order]
    parts = [cut[start : start + PART] for start in range(0, len(cut), PART)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours = [student.passed(part) for part in parts]
        vectors = torch.cat([part.vectors.float() for part in ours])
        value = table.loss(vectors, targets[order], config.tau, config.relation)
        if teacher is not None:
            told = zip(ours, parts, strict=True)
            value = value + sum(_attention(teacher, *each) for each in told) / len(parts)
    return value


def _attention(teacher: Transformer, ours: Passed, pieces: Sequence[Sequence[int]]) -> Tensor:
    with torch.no_grad():
        theirs = teacher.passed(pieces)
    return minilm.loss(_heads(theirs), _heads(ours))


def _heads(passed: Passed) -> Attention:
    query, key, value = (part.float() for part in passed.heads)
    return Attention(query, key, value, passed.real)
