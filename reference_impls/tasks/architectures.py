"""One small network of each kind that structured pruning has to find its way through.

Residual sums, depthwise convolutions, attention heads and skip connections that are concatenated.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from octavo.errors import InputError
from octavo.reference_impls.tasks import nets


class Inverted(nn.Module):
    """MobileNetV2's block: widen, filter each channel by itself, narrow; a shortcut if it fits."""

    def __init__(self, before: int, after: int, stride: int, widen: int = 4) -> None:
        super().__init__()
        inner = before * widen
        self.same = stride == 1 and before == after
        self.body = nn.Sequential(
            nn.Conv2d(before, inner, 1, bias=False), nn.BatchNorm2d(inner), nn.ReLU6(),
            nn.Conv2d(inner, inner, 3, stride, 1, groups=inner, bias=False),
            nn.BatchNorm2d(inner), nn.ReLU6(),
            nn.Conv2d(inner, after, 1, bias=False), nn.BatchNorm2d(after),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """(B, before, H, W) to (B, after, H / stride, W / stride)."""
        y: Tensor = self.body(x)
        return x + y if self.same else y


def mobilenet(channels: int = 3, classes: int = 10, width: int = 16) -> nn.Module:
    """A MobileNetV2 of four blocks."""
    wide = 2 * width
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU6(),
        Inverted(width, width, 1), Inverted(width, wide, 2), Inverted(wide, wide, 1),
        nn.Conv2d(wide, 4 * width, 1, bias=False), nn.BatchNorm2d(4 * width), nn.ReLU6(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * width, classes),
    )  # fmt: skip


class Attention(nn.Module):
    """Self-attention whose heads are found from the width of one."""

    def __init__(self, width: int, head: int) -> None:
        super().__init__()
        self.head = head
        self.q, self.k, self.v, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, width) to the same."""
        q, k, v = (f(x).unflatten(-1, (-1, self.head)).transpose(1, 2) for f in (self.q, self.k, self.v))  # fmt: skip # noqa: E501
        y: Tensor = self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return y


class VisionTransformer(nn.Module):
    """Patches, learned positions, blocks of attention and feed-forward before norm."""

    def __init__(self, channels: int, classes: int, width: int, depth: int, tokens: int) -> None:
        super().__init__()
        self.patch = nn.Conv2d(channels, width, 4, 4)
        self.position = nn.Parameter(torch.zeros(1, tokens, width))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2 * depth + 1))
        self.attentions = nn.ModuleList(Attention(width, 16) for _ in range(depth))
        self.feeds = nn.ModuleList(
            nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
            for _ in range(depth)
        )
        self.classify = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, channels, H, W) to logits (B, classes)."""
        x = self.patch(x).flatten(2).transpose(1, 2) + self.position
        for i, (attention, feed) in enumerate(zip(self.attentions, self.feeds, strict=True)):
            x = x + attention(self.norms[2 * i](x))
            x = x + feed(self.norms[2 * i + 1](x))
        logits: Tensor = self.classify(self.norms[-1](x).mean(1))
        return logits


def vit() -> nn.Module:
    """A vision transformer for 16 x 16 images."""
    return VisionTransformer(3, 10, 64, 2, 16)


class UNet(nn.Module):
    """Down, up by a transposed convolution, and what was before is concatenated."""

    def __init__(self, channels: int, classes: int, width: int) -> None:
        super().__init__()
        self.first, self.down = _twice(channels, width), _twice(width, 2 * width)
        self.bottom = _twice(2 * width, 4 * width)
        self.up2 = nn.ConvTranspose2d(4 * width, 2 * width, 2, 2)
        self.up1 = nn.ConvTranspose2d(2 * width, width, 2, 2)
        self.join2, self.join1 = _twice(4 * width, 2 * width), _twice(2 * width, width)
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, channels, H, W) to a map of logits (B, classes, H, W)."""
        fine = self.first(x)
        coarse = self.down(F.max_pool2d(fine, 2))
        y = self.up2(self.bottom(F.max_pool2d(coarse, 2)))
        y = self.up1(self.join2(torch.cat((coarse, y), 1)))
        logits: Tensor = self.head(self.join1(torch.cat((fine, y), 1)))
        return logits


def _twice(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU(),
        nn.Conv2d(after, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU(),
    )  # fmt: skip


def bert() -> nn.Module:
    """A BERT-type encoder of two layers with four heads each."""
    try:
        from transformers import BertConfig, BertModel
    except ImportError:
        raise InputError("the BERT-type encoder needs transformers; pip install it") from None
    return BertModel(BertConfig(
        vocab_size=99, hidden_size=64, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=128, max_position_embeddings=32,
    ))  # fmt: skip


class Kind(NamedTuple):
    """How a network is made, and an input of it."""

    make: Callable[[], nn.Module]
    example: Callable[[], Tensor]


def _image() -> Tensor:
    return torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))


KINDS = {
    "ResNet-18": Kind(lambda: nets.resnet18(3, 10, 16), _image),
    "MobileNetV2": Kind(mobilenet, _image),
    "vision transformer": Kind(vit, _image),
    "BERT": Kind(bert, lambda: torch.arange(12).view(1, 12)),
    "U-Net": Kind(lambda: UNet(3, 4, 16), _image),
}


def made(kind: str, seed: int) -> nn.Module:
    """A network of a kind in evaluation mode, its norms moved off their start values."""
    torch.manual_seed(seed)
    net = KINDS[kind].make().eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
            nn.init.normal_(module.running_mean, std=0.2)  # type: ignore[arg-type]
    return net
