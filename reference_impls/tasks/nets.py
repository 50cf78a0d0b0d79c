"""Small networks of the kinds the papers use, built here: no model zoo, no download.

Weights start as the papers' released codes have them: He initialisation for convolutions and
linear layers, biases at zero, batch norm at one. Seed torch before building.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TypeVar

from torch import Tensor, nn
from torch.nn import functional as F

Net = TypeVar("Net", bound=nn.Module)


def mlp(widths: Sequence[int], bias: bool = True) -> nn.Sequential:
    """Linear layers with ReLU between them; an image is flattened first.

    >>> [tuple(p.shape) for p in mlp((64, 8, 10), bias=False).parameters()]
    [(8, 64), (10, 8)]
    """
    layers: list[nn.Module] = [nn.Flatten()]
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after, bias=bias), nn.ReLU()]
    return initialised(nn.Sequential(*layers[:-1]))


def perceptron(width: int = 1024) -> nn.Sequential:
    """Two linear layers wide enough for size and speed to be worth measuring.

    >>> [tuple(p.shape) for p in perceptron(4).parameters()]
    [(8, 4), (8,), (4, 8), (4,)]
    """
    return mlp((width, 2 * width, width))


def vgg(
    channels: int, classes: int, widths: Sequence[int], *, size: int = 32, norm: bool = True
) -> nn.Sequential:
    """3 x 3 convolutions in a chain, the image halved wherever the width grows; then one linear.

    Args:
        channels: of the image.
        classes: outputs.
        widths: output channels of each convolution, e.g. (16, 16, 32, 32, 64, 64).
        size: side of the image in pixels; an image of 2 x 2 is not halved again.
        norm: batch norm after each convolution; without it convolutions have a bias.
    """
    layers: list[nn.Module] = []
    for before, after in zip((channels, *widths), widths, strict=False):
        if layers and after > before and size > 2:
            layers.append(nn.MaxPool2d(2, ceil_mode=True))
            size = (size + 1) // 2
        layers.append(nn.Conv2d(before, after, 3, padding=1, bias=not norm))
        layers += [nn.BatchNorm2d(after), nn.ReLU()] if norm else [nn.ReLU()]
    tail = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], classes)]
    return initialised(nn.Sequential(*layers, *tail))


class Block(nn.Module):
    """Two 3 x 3 convolutions and a shortcut, a 1 x 1 convolution where the shape changes."""

    def __init__(self, before: int, after: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.shortcut = nn.Sequential()
        if stride != 1 or before != after:
            self.shortcut = nn.Sequential(
                nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after)
            )

    def forward(self, x: Tensor) -> Tensor:
        """(B, before, H, W) to (B, after, H/stride, W/stride)."""
        inner = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(inner)) + self.shortcut(x))


class ResNet(nn.Module):
    """A residual network for small images: stages of `Block`, each twice as wide as the last."""

    def __init__(self, channels: int, classes: int, width: int, depths: Sequence[int]) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(channels, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()
        )
        stages, before = [], width
        for stage, depth in enumerate(depths):
            after = width << stage
            strides = [2 if stage else 1] + [1] * (depth - 1)
            stages.append(
                nn.Sequential(
                    *[Block(before if i == 0 else after, after, s) for i, s in enumerate(strides)]
                )
            )
            before = after
        self.stages = nn.Sequential(*stages)
        self.head = nn.Linear(before, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, channels, H, W) to logits (B, classes)."""
        logits: Tensor = self.head(self.stages(self.stem(x)).mean((2, 3)))
        return logits


def resnet18(channels: int, classes: int, width: int = 64) -> ResNet:
    """ResNet-18 in the form for CIFAR: a 3 x 3 stem, no pooling after it, 20 convolutions.

    >>> sum(p.numel() for p in resnet18(3, 10).parameters())
    11173962
    """
    return initialised(ResNet(channels, classes, width, (2, 2, 2, 2)))


class EncoderBlock(nn.Module):
    """Self-attention and two linear layers, each behind a layer norm and beside a shortcut."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.mix = nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, width) to the same shape."""
        inner = self.norm1(x)
        parts = (layer(inner) for layer in (self.query, self.key, self.value))
        heads = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        seen = F.scaled_dot_product_attention(*heads)  # (B, heads, T, width / heads)
        x = x + self.mix(seen.transpose(1, 2).flatten(2))
        x = x + self.down(F.gelu(self.up(self.norm2(x))))
        return x


def encoder(width: int = 384, depth: int = 6, heads: int = 12) -> nn.Sequential:
    """A transformer encoder of MiniLM's size, from (B, T, width) to the same shape.

    >>> sum(p.numel() for p in encoder().parameters())
    10647552
    """
    blocks = [EncoderBlock(width, heads) for _ in range(depth)]
    return initialised(nn.Sequential(*blocks, nn.LayerNorm(width)))


def initialised(net: Net) -> Net:
    """He initialisation in place: normal with variance 2 / fan in, biases zero."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return net
