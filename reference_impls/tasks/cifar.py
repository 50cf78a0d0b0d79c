"""CIFAR-10 and CIFAR-100 from the reader's disk, in the Python or the binary form they come in.

50,000 training and 10,000 test images (B, 3, 32, 32), ten or a hundred classes (the fine ones). The
Python form is a pickle. It is read by an unpickler that knows numpy's array and nothing else, so a
file from a stranger cannot run code.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from octavo.errors import InputError
from octavo.reference_impls.tasks.walk import SPLITS, Walk

SHAPE, PIXELS = (3, 32, 32), 3 * 32 * 32


class Kind(NamedTuple):
    """How one of the two is laid out, and the mean and deviation of its training channels."""

    classes: int
    files: Mapping[str, tuple[str, ...]]
    label: str  # its key in the Python form
    label_bytes: int  # before an image in the binary form; the last is the class
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]


KINDS = {
    10: Kind(
        10, {"train": tuple(f"data_batch_{i}" for i in range(1, 6)), "test": ("test_batch",)},
        "labels", 1, (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616),
    ),
    100: Kind(
        100, {"train": ("train",), "test": ("test",)},
        "fine_labels", 2, (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762),
    ),
}  # fmt: skip


def walk(
    folder: str, classes: int, *, split: str = "train", batch: int = 64, count: int = 0
) -> Walk:
    """Batches (images, class numbers): float32 (B, 3, 32, 32), standardised by channel.

    Args:
        folder: where the batches lie, or the folder above.
        classes: 10 or 100.
        split: "train" or "test".
        batch: images in a batch.
        count: images at most; 0 is all.

    Raises:
        InputError: files that are not there, or not what they should be; the file is named.
    """
    kind = KINDS[classes]
    images, labels = load(folder, classes, split)
    mean, deviation = (torch.tensor(v).view(3, 1, 1) for v in (kind.mean, kind.deviation))

    def make(places: Sequence[int]) -> tuple[Tensor, Tensor]:
        return (images[places].float() / 255 - mean) / deviation, labels[places]

    return Walk(len(images), make, batch, count)


def load(folder: str, classes: int, split: str = "train") -> tuple[Tensor, Tensor]:
    """All images as uint8 (N, 3, 32, 32) and their class numbers (N,)."""
    if split not in SPLITS:
        raise InputError(f"split={split!r}; CIFAR has {' and '.join(SPLITS)}")
    kind = KINDS[classes]
    parts = [_read(path, kind) for path in _found(Path(folder), kind.files[split])]
    images, labels = (torch.cat(each) for each in zip(*parts, strict=True))
    return images, labels


def _found(folder: Path, names: Sequence[str]) -> list[Path]:
    """The files of a split, all in one form, here or one folder deeper."""
    inner = sorted(p for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []
    for place in (folder, *inner):
        for ending in ("", ".bin"):
            paths = [place / f"{name}{ending}" for name in names]
            if all(path.is_file() for path in paths):
                return paths
    wanted = ", ".join(names)
    raise InputError(f"{folder}: no CIFAR there; wanted {wanted} (or with .bin), unpacked")


def _read(path: Path, kind: Kind) -> tuple[Tensor, Tensor]:
    images, labels = (_binary if path.suffix == ".bin" else _python)(path, kind)
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < kind.classes:
        wrong = int(labels.max() if int(labels.min()) >= 0 else labels.min())
        raise InputError(f"{path}: class number {wrong}; there are {kind.classes}, from 0")
    return images, labels


def _binary(path: Path, kind: Kind) -> tuple[Tensor, Tensor]:
    """Records of the class and the pixels, a byte each."""
    record = kind.label_bytes + PIXELS
    raw = np.fromfile(path, dtype=np.uint8)
    if not len(raw) or len(raw) % record:
        raise InputError(
            f"{path}: {len(raw)} bytes, no CIFAR-{kind.classes} records of {record}; load it anew"
        )
    table = torch.from_numpy(raw).view(-1, record)
    labels = table[:, kind.label_bytes - 1].long()
    return table[:, kind.label_bytes :].reshape(-1, *SHAPE), labels


def _python(path: Path, kind: Kind) -> tuple[Tensor, Tensor]:
    """A pickled dictionary with the pixels (N, 3072) and a list of classes."""
    found = unpickled(path)
    data = found.get("data") if isinstance(found, dict) else None
    labels = found.get(kind.label) if isinstance(found, dict) else None
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.shape[1:] != (PIXELS,):
        raise InputError(f"{path}: no 'data' of bytes (N, {PIXELS}) in it; load it anew")
    if not isinstance(labels, list) or len(labels) != len(data):
        raise InputError(f"{path}: no {kind.label!r} for its {len(data)} images; load it anew")
    return torch.from_numpy(data).view(-1, *SHAPE), torch.tensor(labels, dtype=torch.long)


class _Arrays(pickle.Unpickler):
    """Reads numbers, text, containers and numpy arrays; any other class is refused."""

    def find_class(self, module: str, name: str) -> Any:
        """The few things a batch is made of, under the names old and new numpy gave them."""
        if module == "_codecs" and name == "encode":
            return partial(_latin1)
        if module.partition(".")[0] == "numpy" and name in ARRAYS:
            return ARRAYS[name]
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no batch needs")


def _latin1(text: str, codec: str) -> bytes:
    if codec != "latin1":
        raise pickle.UnpicklingError(f"text in the codec {codec!r}, which no batch needs")
    return text.encode("latin1")


ARRAYS = {
    "_reconstruct": np.empty(0).__reduce__()[0],
    "ndarray": np.ndarray,
    "dtype": np.dtype,
}


def unpickled(path: Path) -> Any:
    """What a pickle holds, if it is made of arrays, numbers, text and containers alone.

    Raises:
        InputError: a broken file, or one that asks for any other class.
    """
    try:
        with path.open("rb") as file:
            return _Arrays(file, encoding="latin1").load()
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError, IndexError,
            AttributeError, MemoryError, OverflowError) as error:  # fmt: skip
        raise InputError(f"{path}: no CIFAR batch: {error}; load it anew") from None
