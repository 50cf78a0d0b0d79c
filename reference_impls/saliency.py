"""What a weight is worth before it is pruned: the scores that pruning methods compare.

A score is a tensor like the weight, by module path; larger stays. Here are the weights that may be
scored at all (`prunable`) and the baselines every pruning paper measures itself against.

| score     | formula                 | needs   | source                                       |
| --------- | ----------------------- | ------- | -------------------------------------------- |
| random    | uniform                 | nothing | the floor                                    |
| magnitude | abs(w)                  | nothing | Han et al. 2015, at initialisation or after  |
| snip      | abs(g * w)              | a batch | Lee et al. 2019, arXiv:1810.02340, eq. (6)   |
| grasp     | w * (H g)               | a batch | Wang et al. 2020, arXiv:2002.07376, eq. (8)  |

g is the gradient of the loss, H its Hessian. GraSP's paper removes the largest of -w * (H g): kept
is the same as here. No function changes the model it is given.

>>> net = nn.Sequential(nn.Linear(2, 1, bias=False))
>>> _ = net[0].weight.data.copy_(torch.tensor([[3.0, -4.0]]))
>>> magnitude(net)["0"].tolist()
[[3.0, 4.0]]
>>> snip(net, lambda m: 0.5 * m(torch.tensor([[1.0, 1.0]])).square().sum())["0"].tolist()
[[3.0, 4.0]]
>>> grasp(net, lambda m: 0.5 * m(torch.tensor([[1.0, 1.0]])).square().sum())["0"].tolist()
[[-6.0, 8.0]]

By hand: the output is -1, so g = (-1, -1), H = ((1, 1), (1, 1)), H g = (-2, -2).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from octavo.errors import InputError

Loss = Callable[[nn.Module], Tensor]

CONVOLUTIONS = (
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)
LAYERS = (nn.Linear, *CONVOLUTIONS)
EMBEDDINGS = (nn.Embedding, nn.EmbeddingBag)


def prunable(model: nn.Module) -> dict[str, nn.Parameter]:
    """The weights of every convolution and linear layer, by module path, in the model's order.

    A weight shared by several layers stands once, under the first path; one shared with an
    embedding is left out, as embeddings are not pruned. Biases and norms are never in.

    Raises:
        InputError: a layer's weight is computed (weight norm and the like) or not there yet.
    """
    embeddings = {id(m.weight) for m in model.modules() if isinstance(m, EMBEDDINGS)}
    found: dict[str, nn.Parameter] = {}
    seen = set(embeddings)
    for path, module in model.named_modules():
        if isinstance(module, LAYERS) and id(weight := _weight(path, module)) not in seen:
            seen.add(id(weight))
            found[path] = weight
    if not found:
        raise InputError("the model has no Conv or Linear layer with a weight of its own to prune")
    return found


def inner(model: nn.Module, exclude: Sequence[str]) -> dict[str, nn.Parameter]:
    """The prunable weights without the layers at the paths of `exclude`, such as a task's head.

    Raises:
        InputError: a path of `exclude` is no prunable layer, or nothing is left.
    """
    found = prunable(model)
    unknown = [path for path in exclude if path not in found]
    if unknown or len(set(exclude)) == len(found):
        raise InputError(f"exclude={list(exclude)}; allowed are some of {', '.join(found)}")
    return {path: w for path, w in found.items() if path not in exclude}


def tied(model: nn.Module) -> dict[str, tuple[str, ...]]:
    """For every prunable path, all paths of layers that hold the same weight."""
    holders: dict[int, list[str]] = {}
    for path, module in model.named_modules(remove_duplicate=False):
        if isinstance(module, LAYERS):
            holders.setdefault(id(module.weight), []).append(path)
    return {path: tuple(holders[id(w)]) for path, w in prunable(model).items()}


def left_dense(model: nn.Module) -> tuple[str, ...]:
    """Modules with a matrix of their own that `prunable` does not cover, as "path (Type)"."""
    covered = {id(w) for w in prunable(model).values()}
    return tuple(
        f"{path or 'the model itself'} ({type(module).__name__})"
        for path, module in model.named_modules()
        if any(p.ndim > 1 and id(p) not in covered for p in module.parameters(recurse=False))
    )


def random(model: nn.Module, generator: torch.Generator) -> dict[str, Tensor]:
    """A uniform score: what any other must beat."""
    return {
        path: torch.rand(w.shape, generator=generator, dtype=torch.float64)
        for path, w in prunable(model).items()
    }


def magnitude(model: nn.Module) -> dict[str, Tensor]:
    """The absolute weight."""
    return {path: w.detach().abs() for path, w in prunable(model).items()}


def snip(model: nn.Module, loss: Loss) -> dict[str, Tensor]:
    """Connection sensitivity: how much the loss moves, to first order, without the weight."""
    twin = copy.deepcopy(model)
    weights = prunable(twin)
    grads = torch.autograd.grad(loss(twin), list(weights.values()), allow_unused=True)
    return _times(weights, grads, lambda g, w: (g * w).abs())


def grasp(model: nn.Module, loss: Loss) -> dict[str, Tensor]:
    """Gradient signal preservation: how much of the gradient's norm goes with the weight.

    The paper divides the logits by a temperature of 200 in `loss`.
    """
    twin = copy.deepcopy(model)
    weights = prunable(twin)
    leaves = list(weights.values())
    grads = torch.autograd.grad(loss(twin), leaves, create_graph=True, allow_unused=True)
    product = sum((g * g.detach()).sum() for g in grads if g is not None)
    if not isinstance(product, Tensor):
        raise InputError("grasp: the loss does not depend on any prunable weight")
    curvature = torch.autograd.grad(product, leaves, allow_unused=True)  # H g
    return _times(weights, curvature, lambda hg, w: hg * w)


def _times(
    weights: Mapping[str, nn.Parameter],
    grads: tuple[Tensor | None, ...],
    score: Callable[[Tensor, Tensor], Tensor],
) -> dict[str, Tensor]:
    """One score a weight; a weight the loss does not see scores zero."""
    return {
        path: torch.zeros_like(w) if g is None else score(g, w.detach()).detach()
        for (path, w), g in zip(weights.items(), grads, strict=True)
    }


def _weight(path: str, module: nn.Module) -> nn.Parameter:
    """The layer's own weight, or an error that says why it has none."""
    weight = module._parameters.get("weight")
    if parametrize.is_parametrized(module, "weight") or weight is None:
        raise InputError(f"{path}: the weight is computed, not stored; remove the parametrization")
    if isinstance(weight, nn.parameter.UninitializedParameter):
        raise InputError(f"{path}: a lazy layer without a shape; run one batch through the model")
    return weight
