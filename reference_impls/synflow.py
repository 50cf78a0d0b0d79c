"""Pruning neural networks without any data by iteratively conserving synaptic flow.

Paper: synflow (Tanaka, Kunin, Yamins, Ganguli, NeurIPS 2020, arXiv:2006.05467)

Make every weight positive, send ones through the network, and ask of each weight how much of what
comes out went through it. The more weights a layer has, the less flows through each of them: at
every unit as much goes out as came in, so all layers carry the same total, and a thin layer's
weights score high. Prune a little, score again, a hundred times: no layer is ever emptied while
another has weights to spare, and no data is needed.

| paper        | code         | meaning                                                          |
| ------------ | ------------ | ---------------------------------------------------------------- |
| theta        | weights      | the weights of all convolutions and linear layers                |
| R_SF         | the flow     | 1^T (prod_l abs(theta_l)) 1: the sum of the outputs              |
| S(theta)     | scores       | dR/dtheta * theta, never negative                                |
| rho          | 1 / density  | compression; density is the share of weights kept                |
| n            | iterations   | prunings in a row; step k keeps density^(k/n)                    |

    S(theta) = dR_SF / dtheta * theta             synaptic saliency of R_SF, section 4
    sum of S into a unit = sum of S out of it     theorem 1
    sum of S over a layer = R_SF                  theorem 2

By hand: two inputs, two hidden units, one output, all ones in. Hidden unit 1 gets 3 + 1 = 4 and
passes it on times 1; hidden unit 2 gets 2 and passes it on times 5. R_SF = 4 + 10 = 14, in both
layers, and 4 goes in and out of unit 1, 10 in and out of unit 2. Signs do not matter.

>>> net = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
>>> _ = net[0].weight.data.copy_(torch.tensor([[3.0, -1.0], [0.0, 2.0]]))
>>> _ = net[2].weight.data.copy_(torch.tensor([[1.0, -5.0]]))
>>> for path, s in scores(net, torch.zeros(1, 2)).items():
...     print(path, s.tolist())
0 [[3.0, 1.0], [0.0, 10.0]]
2 [[4.0, 10.0]]

Half of the six weights in one step: the path through unit 2 (10 and 10), and the 4 behind unit 1.

>>> kept = plan(net, Config(density=0.5, iterations=1), example=torch.zeros(1, 2))
>>> [step.keep.int().tolist() for step in kept.steps]
[[[0, 0], [0, 1]], [[1, 1]]]

Differs: biases and the shifts of norms take no part in the flow (R_SF has none; the released code
  adds their absolute values, which keep flow alive behind a layer that is already empty).
Differs: a trained batch norm is its positive factor only; its running mean is not subtracted.
Differs: layer, group and RMS norms, softmax and saturating activations are taken as fixed positive
  factors or as the identity, and embeddings give ones (see `flow`): the paper has no transformer,
  and a norm of the constant that ones give has no gradient at all.
Differs: of equal scores the earlier weight stays, so that the number kept is exact.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from octavo.errors import InputError
from octavo.reference_impls.flow import Flow
from octavo.reference_impls.inputs import Input, call, example_for
from octavo.reference_impls.measurement import Measurement
from octavo.reference_impls.plan import Mask, Plan
from octavo.reference_impls.saliency import left_dense, prunable, tied
from octavo.reference_impls.selection import exponential, global_top, keep_count


@dataclass(frozen=True)
class Config:
    """What SynFlow lets the reader choose."""

    density: float = 0.1  # share of the weights kept; the paper sweeps 1 to 10^-5 and beyond
    iterations: int = 100  # section 6: n = 100


def plan(
    model: nn.Module,
    config: Config = Config(),
    *,
    data: Any = None,
    example: Input = None,
    generator: torch.Generator | None = None,
) -> Plan:
    """Decide which weights stay: algorithm 1 of the paper.

    Args:
        model: any module with Conv or Linear layers; it is left as it was.
        config: density and number of iterations.
        data: not needed.
        example: an input of the right shape; its values do not matter. Guessed if None.
        generator: not needed, nothing is random.

    Returns:
        A Plan with a Mask for every Conv and Linear weight. Notes name what is left dense.

    Raises:
        InputError: a bad density, a layer that cannot be scored (by path), or scores that overflow.
    """
    if config.iterations < 1:
        raise InputError(f"iterations={config.iterations}; at least 1, the paper takes 100")
    network = Network(model, example_for(model) if example is None else example)
    total = sum(k.numel() for k in network.keep.values())
    for k in range(1, config.iterations + 1):
        count = keep_count(exponential(config.density, k, config.iterations), total)
        network.prune(global_top(network.scores(), count, network.keep))
    return Plan(_masks(model, network), "synflow", asdict(config), _notes(model, network))


def scores(model: nn.Module, example: Input) -> dict[str, Tensor]:
    """The synaptic flow through every prunable weight, float64, by module path."""
    return Network(model, example).scores()


class Network:
    """A copy of a model with absolute float64 weights, thinned step by step; ones go in.

    keep: by path, which weights are still there. dense: layers the forward pass never reaches.
    """

    def __init__(self, model: nn.Module, example: Input) -> None:
        self._twin = copy.deepcopy(model).double().eval()
        for tensor in (*self._twin.parameters(), *self._twin.buffers()):
            if tensor.is_floating_point():
                tensor.data.abs_()
        self._ones = _ones(example)
        self._weights = prunable(self._twin)
        self._whole = {path: w.detach().clone() for path, w in self._weights.items()}
        for parameter in self._twin.parameters():
            parameter.requires_grad_(False)
        for weight in self._weights.values():
            weight.requires_grad_(True)
        self.dense = tuple(path for path, g in self._gradients().items() if g is None)
        for path in self.dense:
            del self._weights[path], self._whole[path]
        self.keep = {p: torch.ones(w.shape, dtype=torch.bool) for p, w in self._whole.items()}

    def scores(self) -> dict[str, Tensor]:
        """dR/dtheta * theta for every weight."""
        gradients = self._gradients()
        return {
            path: torch.zeros_like(w) if (g := gradients[path]) is None else g * w.detach()
            for path, w in self._weights.items()
        }

    def prune(self, keep: Mapping[str, Tensor]) -> None:
        """Take out the weights that are not kept."""
        for path, weight in self._weights.items():
            weight.data.mul_(keep[path].to(weight.device))
        self.keep = dict(keep)

    def _gradients(self) -> dict[str, Tensor | None]:
        with torch.enable_grad(), Flow():
            outputs = list(_floats(call(self._twin, self._ones)))
        flow = sum((out.double().sum() for out in outputs), torch.zeros((), dtype=torch.float64))
        if not flow.requires_grad:
            raise InputError("synflow: no output of the model depends on a Conv or Linear weight")
        gradients = torch.autograd.grad(flow, list(self._weights.values()), allow_unused=True)
        return dict(zip(self._weights, gradients, strict=True))


def _masks(model: nn.Module, network: Network) -> tuple[Mask, ...]:
    """A mask for every layer; layers that share a weight share their mask."""
    paths = tied(model)
    return tuple(Mask(p, keep) for path, keep in network.keep.items() for p in paths[path])


def _notes(model: nn.Module, network: Network) -> tuple[str, ...]:
    """What a reader must know of the masks: layers left alone, layers without any weight."""
    empty = [path for path, keep in network.keep.items() if not keep.any()]
    said = {
        "left dense, never reached from the input": network.dense,
        "left dense, not a Conv or Linear weight": left_dense(model),
        "no weight left": empty,
    }
    return tuple(f"{what}: {', '.join(paths)}" for what, paths in said.items() if paths)


def _ones(example: Input) -> Input:
    """One sample of the example's shape, all ones; whole numbers (ids, masks) stay."""
    if isinstance(example, Mapping):
        return {key: _ones(value) for key, value in example.items()}
    if isinstance(example, tuple | list):
        return tuple(_ones(value) for value in example)
    if isinstance(example, Tensor) and example.is_floating_point():
        return torch.ones_like(example[:1], dtype=torch.float64)
    return example[:1] if isinstance(example, Tensor) and example.ndim else example


def _floats(result: Any) -> Iterator[Tensor]:
    """Every float tensor in a model's result that depends on its weights."""
    if isinstance(result, Tensor):
        if result.is_floating_point() and result.requires_grad:
            yield result
    elif isinstance(result, Mapping):
        for part in result.values():
            yield from _floats(part)
    elif isinstance(result, tuple | list):
        for part in result:
            yield from _floats(part)


def claims(seeds: Sequence[int], quick: bool) -> Iterator[Measurement]:
    raise NotImplementedError
