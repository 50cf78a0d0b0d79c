"""Distilling the MiniLM encoder in minutes: texts, the teacher's outputs kept, and a judge.

The student starts as every other block of the teacher, trains on docstring sentences, and is judged
by how it orders all pairs of held-out sentences: the rank correlation of its cosine similarities
with the teacher's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev
from typing import Any

import torch
from torch import Tensor, nn

from octavo.reference_impls.inputs import evaluating, output_of
from octavo.reference_impls.plan import Layers, Plan
from octavo.reference_impls.tasks import sentences

BATCH, LENGTH = 16, 32


@dataclass(frozen=True, eq=False)
class Task:
    """A frozen teacher, batches of training text, held-out text and the teacher's order of it."""

    teacher: nn.Module
    train: list[sentences.Batch]
    held_out: list[sentences.Batch]
    order: Tensor  # the teacher's similarities of all held-out pairs

    def spearman(self, student: nn.Module) -> float:
        """Rank correlation of a student's similarities with the teacher's, all held-out pairs."""
        vectors = sentences.embeddings(student, self.held_out)
        return sentences.spearman(sentences.pair_similarities(vectors), self.order)


def load(train: int, held_out: int, blocks: int | None = None) -> Task:
    """The encoder from its package (or its first blocks) and sentences from docstrings."""
    encoder = sentences.encoder()
    text = sentences.load(train, held_out)
    teacher = encoder.model.requires_grad_(False)
    if blocks is not None:
        teacher = Plan((Layers("encoder.layer", tuple(range(blocks))),)).apply(teacher)
    parts = [
        sentences.tokenised(t, encoder.tokenizer, BATCH, LENGTH)
        for t in (text.train, text.held_out)
    ]
    order = sentences.pair_similarities(sentences.embeddings(teacher, parts[1]))
    return Task(teacher, parts[0], parts[1], order)


def vectors(teacher: nn.Module, batches: Sequence[sentences.Batch]) -> list[Tensor]:
    """The teacher's sentence vectors, a tensor (B, width) for each batch."""
    return [sentences.embeddings(teacher, [batch]) for batch in batches]


def output_loss(student: nn.Module, batch: sentences.Batch, target: Tensor) -> Tensor:
    """One minus the cosine between the student's sentence vectors and the teacher's, mean."""
    ours = sentences.pooled(output_of(student(**batch)), batch["attention_mask"])
    return (1 - (ours * target).sum(1)).mean()


def narrow(teacher: nn.Module, width: int, layers: int, seed: int) -> nn.Module:
    """A random encoder of the teacher's class and number of heads, of another width and depth."""
    torch.manual_seed(seed)
    kind, config = type(teacher), teacher.config
    assert not isinstance(config, Tensor | nn.Module)
    changes = {"hidden_size": width, "num_hidden_layers": layers, "intermediate_size": 4 * width}
    model = kind(type(config).from_dict(config.to_dict() | changes))
    return model.eval()


def milliseconds(model: nn.Module, batch: sentences.Batch) -> Any:
    """A call of the model on a batch, to be timed."""

    def run() -> object:
        with evaluating(model):
            return model(**batch)

    return run


def curves(start: float, ends: Mapping[str, Sequence[float]], steps: int) -> dict[str, Any]:
    """A series: rank correlation before and after training, a line a variant."""
    return {
        "title": "Order of sentence pairs kept", "x_label": "steps", "x_scale": "linear",
        "y_label": "Spearman correlation with the teacher",
        "lines": [
            {"name": name, "x": [0, steps], "y": [start, fmean(e)], "sd": [0.0, pstdev(e)]}
            for name, e in ends.items()
        ],
    }  # fmt: skip


def loss_curves(runs: Sequence[Sequence[float]], every: int = 10) -> dict[str, Any]:
    """A series: the loss over the steps, means of ``every`` steps, over the seeds."""
    starts = range(0, len(runs[0]) - every + 1, every)
    windows = [[fmean(run[i : i + every]) for run in runs] for i in starts]
    line = {"name": "AT + VR", "x": [i + every for i in starts], "y": [fmean(w) for w in windows]}
    return {
        "title": "Loss of the student", "x_label": "steps", "x_scale": "linear",
        "y_label": "KL divergence", "lines": [line | {"sd": [pstdev(w) for w in windows]}],
    }  # fmt: skip
