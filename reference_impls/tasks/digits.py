"""Handwritten digits, 8 x 8: the UCI test set of optical digits that scikit-learn carries.

1,797 images (B, 1, 8, 8), ten classes, float32 with mean 0 and deviation 1 over the training part.
The last fifth in the order of the file is the test part: other writers than in the training part.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from octavo.errors import InputError

CLASSES = 10


class Images(NamedTuple):
    """A classification task in memory: images (B, 1, H, W) and class numbers (B,), two parts."""

    train: Tensor
    train_labels: Tensor
    test: Tensor
    test_labels: Tensor


def load() -> Images:
    """All digits, split and standardised; the same on every call.

    Raises:
        InputError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise InputError("the digits need scikit-learn; pip install scikit-learn") from None
    raw = load_digits()
    images = torch.from_numpy(raw.images).float().unsqueeze(1)  # (1797, 1, 8, 8), 0 to 16
    labels = torch.from_numpy(raw.target).long()
    return split(images, labels, len(images) * 4 // 5)


def split(images: Tensor, labels: Tensor, at: int) -> Images:
    """The first `at` train, the others test; both by the training part's mean and deviation."""
    scaled = (images - images[:at].mean()) / images[:at].std()
    return Images(scaled[:at], labels[:at], scaled[at:], labels[at:])
