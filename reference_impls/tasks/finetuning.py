"""Fine-tuning the real MiniLM encoder in seconds: its first blocks, a head, tasks from docstrings.

The embeddings are frozen, as pruning papers for encoders have it; blocks and head are trained with
Adam on a rate that falls to zero. The tasks share one text, a file of it in training or held out:

| task      | target                                                            | classes  |
| --------- | ----------------------------------------------------------------- | -------- |
| packages  | the package whose docstring a sentence is from                    | 7        |
| order     | two neighbouring words of the sentence stand in the other's place | 2        |
| halves    | the second half of the sentence belongs to the first              | 2        |
| words     | the piece that was hidden, of the most frequent, for every token  | frequent |

The last is the task of pre-training (masked language model), with a target for hidden tokens only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from octavo.reference_impls.inputs import Batch, evaluating
from octavo.reference_impls.masking import Held, Patterns
from octavo.reference_impls.plan import Layers, Plan
from octavo.reference_impls.tasks import sentences
from octavo.reference_impls.training import epochs, linear

PACKAGES = ("torch", "numpy", "scipy", "sklearn", "skimage", "networkx", "matplotlib")
BATCH, LENGTH = 16, 16
FREQUENT = 512  # pieces that "words" tells apart
HIDDEN = 0.2  # share of the tokens hidden in "words"
IGNORED = -100  # target of a token that was not hidden
HELD_OUT = 5  # one sentence is held out for so many to train on
WORDS = 12  # of a sentence in "order" and "halves"
LR, HEAD_LR = 3e-4, 3e-3


class Task(NamedTuple):
    """Batches to train on and held-out ones, and how many classes there are."""

    train: list[Batch]
    held_out: list[Batch]
    classes: int


class Reader(nn.Module):
    """An encoder and a head: logits (B, classes), or (B, T, classes) if a token has its own."""

    def __init__(self, encoder: nn.Module, classes: int, *, tokens: bool) -> None:
        super().__init__()
        self.encoder, self.tokens = encoder, tokens
        self.head = nn.Linear(384, classes)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """The logits of ids and mask (B, T)."""
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask)[0]  # (B, T, 384)
        if self.tokens:
            return self.head(states)  # type: ignore[no-any-return]
        weights = attention_mask.unsqueeze(2).to(states.dtype)
        return self.head((states * weights).sum(1) / weights.sum(1))  # type: ignore[no-any-return]


def reader(blocks: int, classes: int, seed: int, *, tokens: bool = False) -> Reader:
    """The first blocks of the encoder with embeddings frozen, and a new head of the seed.

    Dropout is off: trainings of seconds have no use for it.
    """
    torch.manual_seed(seed)
    first = Plan((Layers("encoder.layer", tuple(range(blocks))),)).apply(encoder().model)
    first.embeddings.requires_grad_(False)
    first.pooler = None  # type: ignore[assignment]
    for module in first.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return Reader(first, classes, tokens=tokens)


def adam(net: nn.Module) -> torch.optim.Optimizer:
    """Adam over the blocks of a reader, and its head at a rate of its own."""
    head = {id(p) for p in net.get_submodule("head").parameters()}
    blocks = [p for p in net.parameters() if p.requires_grad and id(p) not in head]
    groups: list[dict[str, Any]] = [{"params": blocks}]
    groups.append({"params": list(net.get_submodule("head").parameters()), "lr": HEAD_LR})
    return torch.optim.Adam(groups, lr=LR)


def tune(net: nn.Module, data: Sequence[Batch], kept: Patterns) -> None:
    """Train a reader in place for one pass of the data, what is not kept at zero."""
    held = Held(net, kept)
    held()
    for _ in epochs(net, data, 1, adam(net), rate=linear, after_step=held):
        pass


def score(net: nn.Module, task: Task) -> float:
    """Accuracy on the held-out part in %, over what has a target."""
    right = total = 0
    with evaluating(net):
        for batch in task.held_out:
            known = batch.target != IGNORED
            right += int((net(**batch.input).argmax(-1) == batch.target)[known].sum())
            total += int(known.sum())
    return 100 * right / total


def in_order(task: Task, seed: int, updates: int) -> list[Batch]:
    """As many training batches as there are updates, in the order of the seed."""
    generator = torch.Generator().manual_seed(seed)
    found: list[int] = []
    while len(found) < updates:
        found += torch.randperm(len(task.train), generator=generator).tolist()
    return [task.train[i] for i in found[:updates]]


@cache
def packages(each: int) -> Task:
    """Tell the package of a sentence: `each` sentences of every package to train on."""
    return _classified([_with_package(each, side) for side in (0, 1)], len(PACKAGES))


@cache
def order(each: int) -> Task:
    """Tell whether two neighbouring words have changed places."""
    generator = torch.Generator().manual_seed(0)
    parts = [[_disturbed(s, generator) for s, _ in _with_package(each, side)] for side in (0, 1)]
    return _classified(parts, 2)


@cache
def halves(each: int) -> Task:
    """Tell whether two halves are of the same sentence."""
    generator = torch.Generator().manual_seed(0)
    parts = []
    for side in (0, 1):
        words = [s.split()[:WORDS] for s, _ in _with_package(each, side)]
        others = torch.randperm(len(words), generator=generator).tolist()
        same = torch.randint(2, (len(words),), generator=generator).tolist()
        ends = [w if y else words[o] for w, y, o in zip(words, same, others, strict=True)]
        parts.append([(_joined(w, end), y) for w, end, y in zip(words, ends, same, strict=True)])
    return _classified(parts, 2)


@cache
def words(each: int) -> Task:
    """Tell the hidden pieces: masked language model over the frequent ones."""
    generator = torch.Generator().manual_seed(0)
    texts = [[s for s, _ in _with_package(each, side)] for side in (0, 1)]
    plain = [sentences.tokenised(t, encoder().tokenizer, BATCH, LENGTH) for t in texts]
    counts = Counter(torch.cat([b["input_ids"].flatten() for b in plain[0]]).tolist())
    special = set(encoder().tokenizer.all_special_ids)
    frequent = [piece for piece, _ in counts.most_common() if piece not in special][:FREQUENT]
    number = torch.full((encoder().tokenizer.vocab_size,), IGNORED)
    number[torch.tensor(frequent)] = torch.arange(len(frequent))
    train, held_out = ([_hidden(b, number, generator) for b in part] for part in plain)
    return Task(train, held_out, len(frequent))


TASKS: dict[str, Callable[[int], Task]] = {
    "packages": packages, "order": order, "halves": halves, "words": words
}  # fmt: skip


@cache
def encoder() -> sentences.Encoder:
    """The whole encoder and its tokenizer, loaded once."""
    return sentences.encoder()


@cache
def _with_package(each: int, side: int) -> list[tuple[str, int]]:
    """Sentences with the number of their package, of one side, in a fixed random order."""
    texts = [sentences.load(each, max(1, each // HELD_OUT), (p,)) for p in PACKAGES]
    found = [(s, i) for i, text in enumerate(texts) for s in text[side]]
    mixed = torch.randperm(len(found), generator=torch.Generator().manual_seed(side)).tolist()
    return [found[i] for i in mixed]


def _classified(parts: Sequence[Sequence[tuple[str, int]]], classes: int) -> Task:
    """Batches of texts with their class, training part and held-out part."""
    made: list[list[Batch]] = []
    for part in parts:
        texts = sentences.tokenised([t for t, _ in part], encoder().tokenizer, BATCH, LENGTH)
        targets = torch.split(torch.tensor([y for _, y in part]), BATCH)
        made.append([Batch(x, y) for x, y in zip(texts, targets, strict=True)])
    return Task(made[0], made[1], classes)


def _disturbed(sentence: str, generator: torch.Generator) -> tuple[str, int]:
    """The sentence's first words, with two neighbours in each other's place or not."""
    found = sentence.split()[:WORDS]
    swapped, place = torch.rand(2, generator=generator).tolist()
    if swapped < 0.5:
        return " ".join(found), 0
    at = 1 + int(place * (len(found) - 2))
    found[at], found[at + 1] = found[at + 1], found[at]
    return " ".join(found), 1


def _joined(first: Sequence[str], second: Sequence[str]) -> str:
    """The first half of one and the second half of the other, parted as the encoder parts them."""
    return f"{' '.join(first[: len(first) // 2])} [SEP] {' '.join(second[len(second) // 2 :])}"


def _hidden(batch: sentences.Batch, number: Tensor, generator: torch.Generator) -> Batch:
    """Some of the frequent pieces (B, T) hidden, their numbers as targets."""
    ids = batch["input_ids"]
    target = number[ids]
    hide = (torch.rand(ids.shape, generator=generator) < HIDDEN) & (target != IGNORED)
    mask = ids.masked_fill(hide, encoder().tokenizer.mask_token_id)
    return Batch(batch | {"input_ids": mask}, target.masked_fill(~hide, IGNORED))
