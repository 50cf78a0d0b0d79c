"""Data sets that the package `datasets` loads, if it is installed: images or sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from octavo.errors import InputError
from octavo.reference_impls.tasks import folders, glue
from octavo.reference_impls.tasks.walk import Walk

IMAGES = ("image", "img")
LABELS = ("label", "fine_label", "labels")


def walk(
    name: str, *, split: str = "train", side: int = 224, tokenizer: str = "", length: int = 128,
    batch: int = 32, count: int = 0,
) -> Walk:  # fmt: skip
    """Batches of a data set, NAME or NAME/CONFIG as in glue/sst2 or cifar10.

    Args:
        name: as `datasets.load_dataset` takes it; the part after the last "/" is the configuration
            where there is one of GLUE's.
        split: "train" or another that the set has.
        side: of images in pixels; see `folders`.
        tokenizer: of sentences, and length in tokens; see `glue`.
        length: tokens at most.
        batch: rows in a batch.
        count: rows at most; 0 is all.

    Raises:
        InputError: the package is not installed, it has no such set, or columns are not known.
    """
    rows = loaded(name, split)
    first: Mapping[str, Any] = rows[0]
    image = next((column for column in IMAGES if column in first), None)
    if image is None:
        whole = [rows[i] for i in range(len(rows))]
        return glue.encoded(glue.table(name, whole), tokenizer, length, batch, count)
    label = next((column for column in LABELS if column in first), None)
    if label is None:
        raise InputError(f"{name}: columns {', '.join(first)}; a label is one of {LABELS}")

    def make(places: Sequence[int]) -> tuple[Tensor, Tensor]:
        taken = [rows[i] for i in places]
        x = torch.stack([folders.pixels(row[image], side) for row in taken])
        return x, torch.tensor([row[label] for row in taken])

    return Walk(len(rows), make, batch, count)


def loaded(name: str, split: str) -> Any:
    """The rows of a set, by place."""
    try:
        import datasets
    except ImportError:
        raise InputError("datasets:… needs the package: pip install datasets") from None
    place, _, config = name.rpartition("/")
    words = (place, config) if place.rpartition("/")[2] == "glue" else (name,)
    try:
        rows = datasets.load_dataset(*words, split=split)
    except (OSError, ValueError) as error:  # its errors derive from these
        reason = str(error).partition("\n")[0]
        raise InputError(f"datasets:{name} (split {split}): {reason}") from None
    if not len(rows):
        raise InputError(f"datasets:{name} (split {split}): no row")
    return rows
