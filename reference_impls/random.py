"""Random pruning: which weights go is drawn by lot; the floor that every score must clear.

Paper: the-unreasonable-effectiveness-of-random-pruning-return (Liu, Chen, Chen, Shen, Mocanu, Wang,
Pechenizkiy, ICLR 2022, arXiv:2202.02643)

Draw what stays by lot, and train. How many weights each layer keeps is then all that pruning
decides: the same share everywhere, or less of the wide layers (ERK: in proportion to the sum of a
layer's sizes over their product). A network with room to spare trains about as well as dense.

| paper   | code    | meaning                                                          |
| ------- | ------- | ---------------------------------------------------------------- |
| s_l     | 1-share | sparsity of a layer                                              |
| n       | sizes   | outputs, inputs and kernel sides of a layer                      |
| epsilon | found   | so that the whole network keeps `density`                        |

    uniform: share_l = density
    ERK:     share_l = min(1, epsilon * sum(n_l) / prod(n_l))     Mocanu 2018; Evci 2020

By hand: two layers of 2 x 2 and 8 x 8 have ratios 4 / 4 = 1 and 16 / 64 = 1 / 4. To keep 17 of the
68 weights, epsilon * 4 + epsilon * 16 = 17: the small layer keeps 0.85, the wide one 0.2125.

>>> net = nn.Sequential(nn.Linear(2, 2), nn.Linear(8, 8))
>>> {path: round(share, 4) for path, share in erk(saliency.prunable(net), 0.25).items()}
{'0': 0.85, '1': 0.2125}

Differs: the paper trains with SET and other layer-wise shares too; here are the two in its main
  tables. Counts are exact: each layer keeps the nearest whole number, and at least one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from octavo.errors import InputError
from octavo.reference_impls import saliency
from octavo.reference_impls.inputs import Batch, Data, Input
from octavo.reference_impls.masking import Patterns, chosen, mask_plan
from octavo.reference_impls.measurement import Measurement
from octavo.reference_impls.plan import Plan
from octavo.reference_impls.selection import keep_count, top
from octavo.reference_impls.tasks import shelf


@dataclass(frozen=True)
class Config:
    """What random pruning lets the reader choose."""

    density: float = 0.1  # share of the weights kept
    layers: str = "erk"  # section 4: the better of the two; or "uniform"


def plan(
    model: nn.Module,
    config: Config = Config(),
    *,
    data: Data = None,
    example: Input = None,
    generator: torch.Generator | None = None,
) -> Plan:
    """Draw which weights stay.

    Args:
        model: any module with Conv or Linear layers; it is left as it was.
        config: density and how it is spread over the layers.
        data: not needed.
        example: not needed.
        generator: where the lots come from; a fixed one if None.

    Returns:
        A Plan with a Mask for every Conv and Linear weight.

    Raises:
        InputError: a density or a spread that is not allowed.
    """
    generator = generator or torch.Generator().manual_seed(0)
    return mask_plan(model, drawn(model, config, generator), "random", config)


def drawn(model: nn.Module, config: Config, generator: torch.Generator) -> Patterns:
    """The lots of every layer that stay."""
    if config.layers not in SPREADS:
        raise InputError(f"layers={config.layers!r}; allowed are {', '.join(SPREADS)}")
    keep_count(config.density, 1)  # says what is allowed
    weights = saliency.prunable(model)
    share = SPREADS[config.layers](weights, config.density)
    lots = saliency.random(model, generator)
    return {
        path: top(s.reshape(-1), keep_count(share[path], s.numel())).view(s.shape)
        for path, s in lots.items()
    }


def uniform(weights: Mapping[str, Tensor], density: float) -> dict[str, float]:
    """The same share of every layer."""
    return dict.fromkeys(weights, density)


def erk(weights: Mapping[str, Tensor], density: float) -> dict[str, float]:
    """Shares in proportion to the sum of a layer's sizes over their product, none above 1."""
    ratio = {path: sum(w.shape) / w.numel() for path, w in weights.items()}
    budget = density * sum(w.numel() for w in weights.values())
    whole: set[str] = set()
    while True:
        left = budget - sum(weights[path].numel() for path in whole)
        rest = sum(ratio[path] * w.numel() for path, w in weights.items() if path not in whole)
        epsilon = left / rest if rest else 0.0
        full = {path for path in weights if path not in whole and epsilon * ratio[path] > 1}
        if not full:
            break
        whole |= full
    return {path: 1.0 if path in whole else epsilon * r for path, r in ratio.items()}


SPREADS = {"erk": erk, "uniform": uniform}


def claims(seeds: Sequence[int], quick: bool) -> Iterator[Measurement]:
    """Measure what the record claims: minutes on two cores, under one when quick."""
    with shelf.one_thread():
        yield _budget(seeds)
        title = "Test accuracy, pruned by lot and trained"
        yield shelf.against("erk-over-uniform", title, seeds, quick, _ways, scratch=True)
        yield shelf.to_dense("near-dense", seeds, quick, _ways, 0.5)
        yield shelf.kernel_ms("random", lambda net: plan(net, Config(0.1)), seeds[0])


def _budget(seeds: Sequence[int]) -> Measurement:
    """Largest relative gap between the weights ERK keeps and the density asked for."""
    gaps = []
    for seed in seeds:
        net = shelf.network(seed)
        for density in (0.5, 0.2, 0.1, 0.05, 0.02):
            generator = torch.Generator().manual_seed(seed)
            kept = sum(int(k.sum()) for k in drawn(net, Config(density), generator).values())
            gaps.append(abs(kept / shelf.count(net, density) - 1))
    return Measurement("erk-budget", max(gaps), seeds=tuple(seeds))


def _ways(net: nn.Module, batch: Batch, seed: int) -> dict[str, shelf.Way]:
    def by(layers: str) -> shelf.Way:
        return lambda density: drawn(
            net, Config(density, layers), torch.Generator().manual_seed(seed)
        )

    magnitude = saliency.magnitude(net)
    return {
        "random, ERK": by("erk"),
        "magnitude at initialization": lambda density: chosen(magnitude, density),
        "random, uniform": by("uniform"),
    }
