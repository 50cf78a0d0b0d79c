"""Sentences and labels from tab-separated files as GLUE has them, tokenised for a BERT-type model.

Which columns hold the text is seen from the first line: sentence, sentence1 and sentence2, question
and sentence, question1 and question2, or #1 String and #2 String; CoLA's four columns have no first
line of names. Labels are numbers, or names, which are numbered in alphabetical order.
"""

from __future__ import annotations

import csv
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from octavo.errors import InputError
from octavo.reference_impls.tasks import sentences
from octavo.reference_impls.tasks.walk import Walk

TEXTS = (
    ("sentence1", "sentence2"), ("question1", "question2"), ("question", "sentence"),
    ("#1 String", "#2 String"), ("premise", "hypothesis"), ("sentence",), ("text",),
)  # fmt: skip
LABELS = ("gold_label", "label", "is_duplicate", "Quality", "score")
COLA = ("source", "label", "mark", "sentence")
BROKEN = 0.01  # share of lines without their columns that is left out with a warning


class Table(NamedTuple):
    """Texts, one or two a row, and the labels: class numbers int64, or scores float32."""

    texts: list[tuple[str, ...]]
    labels: Tensor
    names: tuple[str, ...]  # of the classes; empty for scores and for plain numbers


def walk(
    file: str, *, tokenizer: str = "", length: int = 128, batch: int = 32, count: int = 0
) -> Walk:
    """Batches of input_ids, attention_mask and labels, a dict each.

    Args:
        file: a tab-separated file.
        tokenizer: folder of one in the form of transformers; default: BERT's, uncased.
        length: tokens at most.
        batch: rows in a batch.
        count: rows at most; 0 is all.

    Raises:
        InputError: no such file, columns that are not known, broken lines, or no tokenizer.
    """
    return encoded(read(Path(file)), tokenizer, length, batch, count)


def encoded(table: Table, tokenizer: str, length: int, batch: int, count: int) -> Walk:
    """A table as batches for a BERT-type model; rows are tokenised as they are asked for."""
    if length < 3:
        raise InputError(f"length={length}; a sentence takes at least 3 tokens, 128 usual")
    tokens = sentences.tokenizer(tokenizer)

    def make(places: Sequence[int]) -> dict[str, Tensor]:
        columns = zip(*(table.texts[i] for i in places), strict=True)
        made = tokens(
            *map(list, columns), padding=True, truncation=True, max_length=length,
            return_tensors="pt",
        )  # fmt: skip
        return {**made, "labels": table.labels[list(places)]}

    return Walk(len(table.texts), make, batch, count)


def read(path: Path) -> Table:
    """A file as a table."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; wanted is a tab-separated file such as train.tsv")
    try:
        with path.open(encoding="utf-8", newline="") as file:
            lines = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: no tab-separated text: {error}") from None
    if not lines:
        raise InputError(f"{path}: empty; wanted is a line of column names and rows")
    names, rows = (lines[0], lines[1:]) if _texts(lines[0]) else (list(COLA), lines)
    if names == list(COLA) and len(lines[0]) != len(COLA):
        known = "; ".join(" and ".join(pair) for pair in TEXTS)
        raise InputError(f"{path}: columns {', '.join(lines[0])}; wanted are {known}")
    first = len(lines) - len(rows) + 1
    whole = _whole(path, names, rows, first)
    return table(str(path), [dict(zip(names, row, strict=False)) for row in whole])


def table(what: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    """Rows by column name as texts and labels; `what` they are called in errors."""
    if not rows:
        raise InputError(f"{what}: no row")
    columns, label = _texts(list(rows[0])), next((n for n in LABELS if n in rows[0]), None)
    if not columns or label is None:
        raise InputError(
            f"{what}: columns {', '.join(rows[0])}; a label is one of {', '.join(LABELS)}"
        )
    texts = [tuple(str(row[name]) for name in columns) for row in rows]
    return Table(texts, *_numbered(what, [row[label] for row in rows]))


def _texts(names: Sequence[str]) -> tuple[str, ...]:
    return next((pair for pair in TEXTS if set(pair) <= set(names)), ())


def _whole(
    path: Path, names: Sequence[str], rows: Sequence[Sequence[str]], first: int
) -> list[Sequence[str]]:
    """The rows that have all columns up to those that are read; a few others are left out."""
    wanted = {*_texts(names), *(name for name in LABELS if name in names)}
    needed = 1 + max(list(names).index(name) for name in wanted)
    broken = [i for i, row in enumerate(rows) if len(row) < needed]
    if len(broken) > BROKEN * len(rows):
        line, got = first + broken[0], len(rows[broken[0]])
        raise InputError(
            f"{path}: line {line} has {got} columns of {len(names)} "
            f"({len(broken)} of {len(rows)} lines are broken); load it anew"
        )
    if broken:
        warnings.warn(f"{path}: {len(broken)} broken lines left out", stacklevel=4)
    return [row for row in rows if len(row) >= needed]


def _numbered(what: str, labels: Sequence[Any]) -> tuple[Tensor, tuple[str, ...]]:
    """Class numbers, scores, or names in alphabetical order."""
    numbers = list(_floats(labels))
    if len(numbers) == len(labels):
        whole = all(x == int(x) for x in numbers)
        if whole and all(x >= 0 for x in numbers) and "." not in str(labels[0]):
            return torch.tensor(numbers).long(), ()
        return torch.tensor(numbers), ()
    if numbers:
        raise InputError(f"{what}: labels are part numbers, part names; one kind is wanted")
    names = sorted({str(label) for label in labels})
    places = {name: i for i, name in enumerate(names)}
    return torch.tensor([places[str(label)] for label in labels]), tuple(names)


def _floats(labels: Sequence[Any]) -> Iterator[float]:
    for label in labels:
        try:
            number = float(label)
        except ValueError:
            continue
        if math.isfinite(number):
            yield number
