"""Carry a plan out on a copy of a model in plain torch, and say what holds for each module then."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from octavo.errors import InputError
from octavo.reference_impls.plan import (
    Books,
    Codes,
    Layers,
    Mask,
    Narrow,
    Plan,
    Step,
    Stripes,
    Weights,
)


@dataclass(frozen=True, eq=False)
class Decision:
    """What all steps together decided for one module's weight."""

    keep: Tensor | None = None  # bool, shaped like the weight: masks and stripes together
    stripes: Tensor | None = None  # bool (N, Kh, Kw), None as soon as a Mask is finer
    codes: Codes | None = None  # with zeros where `keep` is False
    books: Books | None = None  # None as soon as a pattern puts zeros between their entries


@dataclass(frozen=True, eq=False)
class Settled:
    """The simulated model, and the decision for each module path of it."""

    model: nn.Module
    decisions: dict[str, Decision]


@dataclass(eq=False)
class _Work:
    """The copy while steps are done on it; decisions are held by module, as paths may move."""

    model: nn.Module
    decided: dict[nn.Module, Decision] = field(default_factory=dict)


def settle(model: nn.Module, plan: Plan) -> Settled:
    """Do all steps of `plan` on a deep copy of `model`.

    Raises:
        InputError: a path, name or shape of a step does not fit the model; it is named.
    """
    work = _Work(copy.deepcopy(model))
    with torch.no_grad():
        for step in plan.steps:
            _DO[type(step)](work, step)
    names = {module: path for path, module in reversed(list(work.model.named_modules()))}
    return Settled(work.model, {names[m]: d for m, d in work.decided.items() if m in names})


def shared(model: nn.Module) -> dict[str, tuple[str, ...]]:
    """Parameters that have several names: the first name, and the others.

    >>> model = nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.Linear(2, 2)})
    >>> model["b"].weight = model["a"].weight
    >>> shared(model)
    {'a.weight': ('b.weight',)}
    """
    names: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    return {first: tuple(others) for first, *others in names.values() if others}


def module_at(model: nn.Module, path: str, step: str) -> nn.Module:
    """The module at `path`, or an InputError that names the step and the nearest real paths."""
    try:
        return model.get_submodule(path)
    except AttributeError:
        tail = path.rsplit(".", 1)[-1]
        like = [n for n, _ in model.named_modules() if n and n.rsplit(".", 1)[-1] == tail]
        known = like or [n for n, _ in model.named_modules() if n]
        hint = ", ".join(known[:5]) + (" ..." if len(known) > 5 else "")
        raise InputError(f"{step}: the model has no module {path!r}; it has: {hint}") from None


def weight_of(module: nn.Module, path: str, step: str) -> nn.Parameter:
    """The plain parameter `weight` of a module, or an InputError that says what is in its place."""
    weight = module._parameters.get("weight")
    if weight is not None:
        return weight
    kind = type(module).__name__
    if "parametrizations" in module._modules or hasattr(module, "weight"):
        raise InputError(
            f"{step}: the weight of {path!r} ({kind}) is computed from others; "
            "remove its parametrization (torch.nn.utils.parametrize.remove_parametrizations) first"
        )
    raise InputError(f"{step}: {path!r} is a {kind} and has no parameter 'weight'")


def _fit(step: Step, found: tuple[int, ...], needed: tuple[int, ...]) -> None:
    if found != needed:
        kind = type(step).__name__
        raise InputError(
            f"{kind}: {step.path!r} has a weight {needed}, but the step is for {found}"
        )


def _target(work: _Work, step: Step) -> tuple[nn.Module, nn.Parameter, Decision]:
    kind = type(step).__name__
    module = module_at(work.model, step.path, kind)
    weight = weight_of(module, step.path, kind)
    return module, weight, work.decided.get(module, Decision())


def _hold(work: _Work, module: nn.Module, weight: Tensor, decision: Decision) -> None:
    """Write the decision down, and the zeros of its pattern into weight and codes."""
    if decision.keep is not None:
        weight.masked_fill_(~decision.keep.to(weight.device), 0)
        if decision.codes is not None:
            codes = decision.codes.codes * decision.keep
            decision = replace(decision, codes=replace(decision.codes, codes=codes))
        decision = replace(decision, books=None)
    work.decided[module] = decision


def _both(one: Tensor | None, other: Tensor) -> Tensor:
    return other if one is None else one & other


def _mask(work: _Work, step: Mask) -> None:
    module, weight, before = _target(work, step)
    _fit(step, tuple(step.keep.shape), tuple(weight.shape))
    _hold(work, module, weight, replace(before, keep=_both(before.keep, step.keep), stripes=None))


def _stripes(work: _Work, step: Stripes) -> None:
    module, weight, before = _target(work, step)
    if not isinstance(module, nn.Conv2d):
        raise InputError(f"Stripes: {step.path!r} is a {type(module).__name__}; Conv2d needed")
    n, _, height, width = weight.shape
    _fit(step, tuple(step.keep.shape), (n, height, width))
    keep = step.keep[:, None].expand(weight.shape)  # (N, C, Kh, Kw)
    finer = before.keep is not None and before.stripes is None  # a Mask came before
    stripes = None if finer else _both(before.stripes, step.keep)
    _hold(work, module, weight, replace(before, keep=_both(before.keep, keep), stripes=stripes))


def _codes(work: _Work, step: Codes) -> None:
    module, weight, before = _target(work, step)
    _fit(step, tuple(step.codes.shape), tuple(weight.shape))
    weight.copy_(step.values())
    _hold(work, module, weight, replace(before, codes=step, books=None))


def _books(work: _Work, step: Books) -> None:
    module, weight, before = _target(work, step)
    values = step.values()  # (N, K)
    _fit(step, tuple(values.shape), tuple(weight.flatten(1).shape))
    weight.copy_(values.view(weight.shape))
    _hold(work, module, weight, replace(before, codes=None, books=step))


def _layers(work: _Work, step: Layers) -> None:
    module = module_at(work.model, step.path, "Layers")
    if not isinstance(module, nn.ModuleList | nn.Sequential):
        kind = type(module).__name__
        raise InputError(f"Layers: {step.path!r} is a {kind}; ModuleList or Sequential needed")
    children = list(module.named_children())
    wrong = [i for i in step.keep if not 0 <= i < len(children)]
    if wrong or len(set(step.keep)) != len(step.keep):
        has = f"has blocks 0 to {len(children) - 1}"
        raise InputError(
            f"Layers: {step.path!r} {has}; asked to keep {step.keep}, each at most once"
        )
    kept = [children[i] for i in step.keep]
    numbered = all(name.isdigit() for name, _ in children)
    module._modules.clear()
    for place, (name, child) in enumerate(kept):
        module._modules[str(place) if numbered else name] = child


def _weights(work: _Work, step: Weights) -> None:
    top = module_at(work.model, step.path, "Weights")
    for name, value in step.tensors.items():
        prefix, _, leaf = name.rpartition(".")
        full = ".".join(part for part in (step.path, name) if part)
        owner = module_at(top, prefix, "Weights")
        target: Tensor | None = owner._parameters.get(leaf)
        target = owner._buffers.get(leaf) if target is None else target
        if target is None:
            raise InputError(f"Weights: the model has no parameter or buffer {full!r}")
        if target.shape != value.shape:
            shapes = f"{tuple(target.shape)}, but the step is for {tuple(value.shape)}"
            raise InputError(f"Weights: {full!r} is {shapes}")
        target.copy_(value)
        if leaf == "weight" and owner in work.decided:
            _hold(work, owner, target, replace(work.decided[owner], codes=None, books=None))


def _narrow(work: _Work, step: Narrow) -> None:
    module = module_at(work.model, step.path, "Narrow")
    if module in work.decided:
        raise InputError(f"Narrow: {step.path!r} has masks or codes already; narrow it before")
    tensors: dict[str, Any] = (
        module._parameters if step.name in module._parameters else module._buffers
    )
    before = tensors.get(step.name)
    if before is None:
        raise InputError(f"Narrow: {step.path!r} has no parameter or buffer {step.name!r}")
    if not -before.ndim <= step.dim < before.ndim or int(step.keep.max()) >= before.shape[step.dim]:
        shape = tuple(before.shape)
        raise InputError(f"Narrow: {step.path}.{step.name} is {shape}; the step does not fit it")
    after = before.detach().index_select(step.dim, step.keep.to(before.device)).clone()
    wanted = isinstance(before, nn.Parameter)
    tensors[step.name] = nn.Parameter(after, before.requires_grad) if wanted else after
    _share(work.model, before, tensors[step.name])
    for kind, follow in _SIZES.items():
        if isinstance(module, kind):
            follow(module)


def _share(model: nn.Module, before: Tensor, after: Tensor) -> None:
    """What several modules share stays shared."""
    for module in model.modules():
        for name, held in module._parameters.items():
            if held is before:
                module._parameters[name] = after  # type: ignore[assignment]


def _linear_sizes(module: nn.Linear) -> None:
    module.out_features, module.in_features = module.weight.shape


def _convolution_sizes(module: Any) -> None:
    depthwise = module.groups == module.in_channels == module.out_channels > 1
    rows, columns = module.weight.shape[:2]
    if depthwise:
        module.groups = module.in_channels = module.out_channels = rows
    elif module.transposed:
        module.in_channels, module.out_channels = rows, columns * module.groups
    else:
        module.out_channels, module.in_channels = rows, columns * module.groups


def _batch_norm_sizes(module: Any) -> None:
    first = next(t for t in (module.running_mean, module.weight) if t is not None)
    module.num_features = len(first)


def _layer_norm_sizes(module: nn.LayerNorm) -> None:
    module.normalized_shape = tuple(module.weight.shape)


def _embedding_sizes(module: nn.Embedding) -> None:
    module.num_embeddings, module.embedding_dim = module.weight.shape


_SIZES: dict[type[nn.Module], Callable[[Any], None]] = {
    nn.Linear: _linear_sizes,
    nn.modules.conv._ConvNd: _convolution_sizes,
    nn.modules.batchnorm._BatchNorm: _batch_norm_sizes,
    nn.LayerNorm: _layer_norm_sizes,
    nn.Embedding: _embedding_sizes,
}

_DO: dict[type, Callable[[_Work, Any], None]] = {
    Mask: _mask,
    Stripes: _stripes,
    Codes: _codes,
    Books: _books,
    Layers: _layers,
    Weights: _weights,
    Narrow: _narrow,
}
