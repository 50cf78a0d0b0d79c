"""Images in a folder for each class, as ImageNet is laid out: DIR/train/CLASS/*.jpg.

The class number of an image is the place of its folder in alphabetical order. An image is scaled so
that its shorter side is 8/7 of `side`, the middle is cut out, and the channels are standardised by
ImageNet's mean and deviation.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from octavo.errors import InputError
from octavo.reference_impls.tasks.walk import Walk

if TYPE_CHECKING:
    from PIL.Image import Image

ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".ppm", ".tif", ".tiff", ".webp")
SPLITS = {"train": ("train",), "test": ("val", "valid", "validation", "test")}
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
MARGIN = 8 / 7  # of the side, before the middle is cut out: 256 for 224


def walk(
    folder: str, *, split: str = "train", side: int = 224, batch: int = 64, count: int = 0
) -> Walk:
    """Batches (images, class numbers): float32 (B, 3, side, side), read as they are asked for.

    Args:
        folder: with a folder for each class, or with folders `train` and `val` of such.
        split: "train" or "test" (val, valid, validation or test), where there are both.
        side: of the images in pixels.
        batch: images in a batch.
        count: images at most; 0 is all.

    Raises:
        InputError: no such folder, fewer than two classes, a class without images; when a batch is
            asked for, an image that cannot be read.
    """
    if side < 1:
        raise InputError(f"side={side}; images have at least 1 pixel a side, 224 usual")
    files = listed(Path(folder), split)

    def make(places: Sequence[int]) -> tuple[Tensor, Tensor]:
        images = torch.stack([pixels(opened(files[i][0]), side) for i in places])
        return images, torch.tensor([files[i][1] for i in places])

    return Walk(len(files), make, batch, count)


def listed(folder: Path, split: str = "train") -> list[tuple[Path, int]]:
    """All images of a split with their class numbers, sorted."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; wanted is a folder of a folder for each class")
    if split not in SPLITS:
        raise InputError(f"split={split!r}; allowed are {' and '.join(SPLITS)}")
    root = _part(folder, split)
    classes = sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    if len(classes) < 2:
        raise InputError(f"{root}: {len(classes)} class folders; there must be two or more")
    found = []
    for number, place in enumerate(classes):
        images = sorted(p for p in place.rglob("*") if p.suffix.lower() in ENDINGS)
        if not images:
            raise InputError(f"{place}: no image; wanted are files of {', '.join(ENDINGS)}")
        found += [(path, number) for path in images]
    return found


def _part(folder: Path, split: str) -> Path:
    """The folder of a split; the whole, if it is not parted and the training part is meant."""
    for name in SPLITS[split]:
        if (folder / name).is_dir():
            return folder / name
    if split == "train":
        return folder
    raise InputError(f"{folder}: no test part; wanted is one of {', '.join(SPLITS[split])}")


def opened(path: Path) -> Image:
    """An image file as RGB."""
    try:
        from PIL import Image
    except ImportError:
        raise InputError("image folders need Pillow; pip install pillow") from None
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: not an image that can be read: {error}") from None


def pixels(image: Any, side: int) -> Tensor:
    """A Pillow image as float32 (3, side, side), its middle, standardised."""
    scale = max(side, round(side * MARGIN)) / min(image.size)
    width, height = (max(side, round(length * scale)) for length in image.size)
    left, top = (width - side) // 2, (height - side) // 2
    scaled = image.convert("RGB").resize((width, height)).crop((left, top, left + side, top + side))
    x = torch.from_numpy(np.array(scaled, dtype=np.float32)).permute(2, 0, 1) / 255
    mean, deviation = (torch.tensor(v).view(3, 1, 1) for v in (MEAN, DEVIATION))
    return (x - mean) / deviation
