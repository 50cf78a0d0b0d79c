"""What papers on rounding measure: a small trained network, its outputs and its accuracy after."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean, pstdev
from typing import Any

import torch
from torch import Tensor, nn

from octavo.reference_impls import quantizer
from octavo.reference_impls.hooks import Stage, following, stages, watched
from octavo.reference_impls.reconstruction import LAYERS
from octavo.reference_impls.tasks import digits, nets
from octavo.reference_impls.train import fit

Rule = Callable[[Tensor, Tensor, int], Tensor]  # (weight, scales, bits) -> codes
Table = Mapping[str, Mapping[int, Sequence[float]]]  # rule -> bits -> a value for each seed

WIDTHS, EPOCHS = (16, 16, 32, 32), 10


def network(images: digits.Images, seed: int) -> nn.Module:
    """A convolutional network of 16,600 weights, trained on the digits; frozen, in eval mode."""
    torch.manual_seed(seed)
    net = nets.vgg(1, digits.CLASSES, WIDTHS, size=8)
    generator = torch.Generator().manual_seed(seed)
    fit(net, images.train, images.train_labels, epochs=EPOCHS, generator=generator)
    return net.requires_grad_(False).eval()


def simple_rules(generator: torch.Generator) -> dict[str, Rule]:
    """Nearest, stochastic, floor and ceil, each as a function of weight, scales and bits."""
    return {
        "nearest": quantizer.nearest,
        "stochastic": lambda w, s, b: quantizer.stochastic(w, s, b, generator=generator),
        "floor": quantizer.floor,
        "ceil": quantizer.ceil,
    }


def rounded_by(net: nn.Module, rule: Rule, bits: int, paths: Sequence[str] = ()) -> nn.Module:
    """A copy with the weights rounded by a rule: all layers, or those at ``paths``."""
    result = copy.deepcopy(net)
    for path, layer in result.named_modules():
        if isinstance(layer, LAYERS) and (not paths or path in paths):
            scales = quantizer.mse_scale(layer.weight, bits)
            codes = rule(layer.weight, scales, bits)
            layer.weight.data = quantizer.values(codes, scales)
    return result


def layer_errors(exact: nn.Module, rounded: nn.Module, x: Tensor) -> dict[str, float]:
    """Mean squared difference of each layer's output (after BatchNorm and activation) on ``x``.

    Each network runs as a whole, so the error of a layer holds what came in from those before it.
    """
    found = stages(exact, LAYERS, x)
    ours, theirs = _outputs(rounded, found, x), _outputs(exact, found, x)
    return {path: float((ours[path] - theirs[path]).square().mean()) for path in theirs}


def curves(title: str, y_label: str, table: Table, y_scale: str = "linear") -> dict[str, Any]:
    """A series for a plot: a line a rule over bits, mean and deviation over the seeds."""
    lines = [
        {
            "name": name,
            "x": sorted(at),
            "y": [fmean(at[bits]) for bits in sorted(at)],
            "sd": [pstdev(at[bits]) for bits in sorted(at)],
        }
        for name, at in table.items()
    ]
    return {
        "title": title, "x_label": "bits", "y_label": y_label,
        "x_scale": "linear", "y_scale": y_scale, "lines": lines,
    }  # fmt: skip


def _outputs(net: nn.Module, found: Sequence[Stage], x: Tensor) -> dict[str, Tensor]:
    kept: dict[str, Tensor] = {}

    def see(stage: Stage, output: Tensor) -> None:
        kept[stage.path] = following(net, stage)(output.clone())

    watched(net, found, [x], see)
    return kept
