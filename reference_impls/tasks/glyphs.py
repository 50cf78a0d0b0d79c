"""Letters and digits, 16 x 16, rendered from the fonts that matplotlib carries: 36 classes.

Each image is one character of one of 20 typefaces, turned, slanted, scaled and shifted at random
and with noise on it. The typefaces of the test part are never seen in training, so the task asks
for the letter and not for the font. Everything comes from a seed: no file, no download.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from octavo.errors import InputError
from octavo.reference_impls.tasks.digits import Images

CHARACTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
CLASSES = len(CHARACTERS)
SIZE = 16
_DRAWN = 64  # pixels a side before the random view is taken
TRAIN_FONTS = (
    "DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSansMono", "DejaVuSansMono-Bold",
    "DejaVuSansMono-Oblique", "DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic",
    "STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "cmr10", "cmtt10",
    "cmti10",
)  # fmt: skip
TEST_FONTS = (
    "DejaVuSans-BoldOblique", "DejaVuSerif-BoldItalic", "STIXGeneralBolIta",
    "cmss10", "cmb10",
)  # fmt: skip


def load(train: int = 4608, test: int = 1152, seed: int = 0) -> Images:
    """Draw a training and a test part; the same numbers and seed give the same images.

    Args:
        train: training images; classes take turns, so each has as many.
        test: test images, in typefaces that the training part does not have.
        seed: of the random views and the noise.

    Returns:
        Images (B, 1, 16, 16), float32, mean 0 and deviation 1 over the training part.

    Raises:
        InputError: matplotlib is not installed.
    """
    generator = torch.Generator().manual_seed(seed)
    images, labels = _draw(TRAIN_FONTS, train, generator)
    others, other_labels = _draw(TEST_FONTS, test, generator)
    mean, deviation = images.mean(), images.std()
    return Images((images - mean) / deviation, labels, (others - mean) / deviation, other_labels)


def _draw(fonts: tuple[str, ...], count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    sheet = torch.stack([glyphs(font) for font in fonts])  # (fonts, 36, 64, 64)
    labels = torch.arange(count) % CLASSES
    font = torch.randint(len(fonts), (count,), generator=generator)
    views = [
        _view(sheet[f, c].unsqueeze(1), generator)
        for f, c in zip(torch.split(font, 512), torch.split(labels, 512), strict=True)
    ]
    return torch.cat(views), labels


def _view(glyph: Tensor, generator: torch.Generator) -> Tensor:
    """Random affine views of glyphs (B, 1, 64, 64), reduced to (B, 1, 16, 16), with noise."""
    turn, slant, wide, high, right, down = (
        torch.rand(6, len(glyph), generator=generator) * 2 - 1
    )  # each in [-1, 1]
    angle, wide, high = 0.25 * turn, 0.9 + 0.15 * wide, 0.9 + 0.15 * high
    rows = (
        torch.stack([wide * angle.cos(), wide * (0.2 * slant - angle.sin()), 0.2 * right], 1),
        torch.stack([high * angle.sin(), high * angle.cos(), 0.2 * down], 1),
    )
    grid = F.affine_grid(torch.stack(rows, 1), list(glyph.shape), align_corners=False)
    seen = F.avg_pool2d(F.grid_sample(glyph, grid, align_corners=False), _DRAWN // SIZE)
    return seen + 0.15 * torch.randn(seen.shape, generator=generator)


@cache
def glyphs(font: str) -> Tensor:
    """The 36 characters of a typeface, (36, 64, 64), ink 1 on paper 0, centred, 48 pixels high."""
    try:
        from matplotlib import get_data_path
        from matplotlib.ft2font import FT2Font, LoadFlags
    except ImportError:
        raise InputError("the glyphs need matplotlib; pip install matplotlib") from None
    face = FT2Font(f"{get_data_path()}/fonts/ttf/{font}.ttf")
    face.set_size(48, 72)
    drawn = []
    for character in CHARACTERS:
        face.set_text(character, 0.0, flags=LoadFlags.NO_HINTING)
        face.draw_glyphs_to_bitmap(antialiased=True)
        drawn.append(_centred(np.asarray(face.get_image())))
    return torch.stack(drawn)


def _centred(bitmap: np.ndarray) -> Tensor:
    ink = torch.from_numpy(bitmap.astype(np.float32) / 255)[:_DRAWN, :_DRAWN]
    top, left = ((_DRAWN - side) // 2 for side in ink.shape)
    canvas = torch.zeros(_DRAWN, _DRAWN)
    canvas[top : top + ink.shape[0], left : left + ink.shape[1]] = ink
    return canvas
