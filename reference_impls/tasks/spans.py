"""Extractive questions from docstrings, and a reader of spans on the encoder's first blocks.

A docstring's list of parameters is the text, the name of one of them the question, its type the
answer: "axis" asked of "a : array_like. axis : int or None. out : ndarray." is answered by "int or
None". A reader marks the first and the last token of the answer, and is judged as on SQuAD: by F1
of the tokens it marks, mean over the questions. A whole file is in training or held out.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from octavo.errors import InputError
from octavo.reference_impls.inputs import Batch, call, evaluating, output_of
from octavo.reference_impls.tasks import finetuning, sentences
from octavo.reference_impls.training import epochs, linear

PACKAGES = ("numpy", "scipy", "sklearn", "skimage", "networkx")  # they list parameters alike
BATCH, ENTRIES = 8, 4  # questions of a batch; parameters of a text
HIDDEN_LOGIT = -1e4  # of what is not text
_ENTRY = re.compile(r"(?m)^(\w+) : ([\w ,{}'\-()]{3,32})$")


class Question(NamedTuple):
    """The name asked for, the text before its type, the type, and the text after it."""

    name: str
    before: str
    answer: str
    after: str


class SpanReader(nn.Module):
    """An encoder and a head: logits (B, 2, T) of the first and the last token of the answer."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.head = encoder, nn.Linear(384, 2)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """The logits of ids and mask (B, T)."""
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask)[0]  # (B, T, 384)
        logits: Tensor = self.head(states).transpose(1, 2)
        return logits.masked_fill(attention_mask.unsqueeze(1) == 0, HIDDEN_LOGIT)


def reader(blocks: int, seed: int) -> SpanReader:
    """The first blocks of the encoder with embeddings frozen, and a new head of the seed."""
    return SpanReader(finetuning.reader(blocks, 1, seed).encoder)


def fine_tuned(blocks: int, updates: int, train: int, held_out: int) -> SpanReader:
    """A reader trained on that many of the questions' batches."""
    net, task = reader(blocks, 0), load(train, held_out)
    data = finetuning.in_order(task, 0, updates)
    for _ in epochs(net, data, 1, finetuning.adam(net), rate=linear):
        pass
    return net


@cache
def load(train: int, held_out: int) -> finetuning.Task:
    """Batches of questions to train on and held-out ones; targets (B, 2) are token numbers."""
    parts: tuple[list[Question], list[Question]] = ([], [])
    wanted = (train, held_out)
    for file in sentences.files(PACKAGES):
        side = sentences.side(file)
        if len(parts[side]) < wanted[side]:
            parts[side].extend(questions(file[1]))
        if all(len(part) >= count for part, count in zip(parts, wanted, strict=True)):
            made = [_batches(p[:n]) for p, n in zip(parts, wanted, strict=True)]
            return finetuning.Task(made[0], made[1], 0)
    raise InputError(f"asked for {train} and {held_out} questions, found fewer; ask for fewer")


def questions(path: Path) -> Iterator[Question]:
    """A question for each parameter of the docstrings of a file that list enough of them."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError):  # a template or a file for another Python
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            entries = _ENTRY.findall(ast.get_docstring(node) or "")
            if len({name for name, _ in entries[:ENTRIES]}) == ENTRIES:
                yield from (question(entries[:ENTRIES], asked) for asked in range(ENTRIES))


def question(entries: Sequence[tuple[str, str]], asked: int) -> Question:
    """Ask for one of the entries (name, type).

    >>> question([("a", "array_like"), ("axis", "int"), ("out", "ndarray")], 1)
    Question(name='axis', before='a : array_like. axis :', answer='int', after='. out : ndarray.')
    """
    texts = [f"{name} : {kind}. " for name, kind in entries]
    name, kind = entries[asked]
    before = "".join(texts[:asked]) + f"{name} :"
    return Question(name, before, kind, ". " + "".join(texts[asked + 1 :]).strip())


def f1(first: int, last: int, start: int, end: int) -> float:
    """F1 of the tokens marked, first to last, with those of the answer, start to end, inclusive.

    >>> f1(3, 4, 4, 5), f1(4, 5, 4, 5), f1(5, 4, 4, 5)
    (0.5, 1.0, 0.0)
    """
    common = min(last, end) - max(first, start) + 1
    return 2 * common / (last - first + end - start + 2) if common > 0 and last >= first else 0.0


def score(net: nn.Module, task: finetuning.Task) -> float:
    """Mean F1 on the held-out questions in %: of all spans the one with the largest sum."""
    found: list[float] = []
    with evaluating(net):
        for batch in task.held_out:
            logits = output_of(call(net, batch.input))  # (B, 2, T)
            sums = logits[:, 0, :, None] + logits[:, 1, None, :]  # (B, first, last)
            legal = torch.ones_like(sums[0], dtype=torch.bool).triu()
            best = sums.masked_fill(~legal, -torch.inf).flatten(1).argmax(1)
            width = sums.shape[2]
            spans = zip((best // width).tolist(), (best % width).tolist(), strict=True)
            answers = batch.target.tolist()
            found += [f1(*span, *answer) for span, answer in zip(spans, answers, strict=True)]
    return 100 * sum(found) / len(found)


def _batches(found: Sequence[Question]) -> list[Batch]:
    return [_batch(found[i : i + BATCH]) for i in range(0, len(found), BATCH)]


def _batch(found: Sequence[Question]) -> Batch:
    """[CLS] name [SEP] before answer after [SEP], padded, and where the answer stands."""
    tokenizer: Any = finetuning.encoder().tokenizer
    rows, targets = [], []
    for q in found:
        name, before, answer, after = (tokenizer.encode(t, add_special_tokens=False) for t in q)
        start = 2 + len(name) + len(before)
        targets.append((start, start + len(answer) - 1))
        cls, sep = tokenizer.cls_token_id, tokenizer.sep_token_id
        rows.append([cls, *name, sep, *before, *answer, *after, sep])
    width = max(map(len, rows))
    ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    return Batch({"input_ids": ids, "attention_mask": mask}, torch.tensor(targets))
