"""What layer-by-layer methods see of a model, taken by hooks: order, inputs, what follows a layer.

No forward is edited and no graph is traced, so all of it holds for any ``nn.Module`` that can be
called: residual nets, transformers with dictionaries as inputs, layers called twice in a pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from octavo.reference_impls.inputs import Input, call, evaluating, output_of

ACTIVATIONS = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish,
    nn.Hardswish, nn.Hardsigmoid, nn.Hardtanh, nn.Sigmoid, nn.Tanh, nn.Softplus,
)  # fmt: skip
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
FUNCTIONS = frozenset(
    {F.relu, F.relu6, F.leaky_relu, F.elu, F.selu, F.celu, F.gelu, F.silu, F.mish, F.hardswish}
    | {F.hardsigmoid, F.hardtanh, F.softplus, F.sigmoid, F.tanh}
    | {torch.relu, torch.sigmoid, torch.tanh, Tensor.relu, Tensor.sigmoid, Tensor.tanh}
)
TRANSPARENT = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d)  # hand on their input in eval


class _Reached(BaseException):
    """Ends a forward pass once what was asked for is seen. Never leaves this module."""


@dataclass(frozen=True)
class Stage:
    """A layer as one pass met it.

    Its path, how often a pass calls it, the modules right behind it, and after these the activation
    that was called as a function, if one was.
    """

    path: str
    calls: int
    following: tuple[str, ...]
    function: Callable[[Tensor], Tensor] | None = None


@dataclass(eq=False)
class _Trace:
    """Tensors of one pass in the order they came up; all are kept, so no identity is reused."""

    order: dict[str, int] = field(default_factory=dict)  # path -> calls
    origin: dict[int, str] = field(default_factory=dict)  # id of an output -> who made it
    version: dict[int, int] = field(default_factory=dict)
    next: dict[str, str] = field(default_factory=dict)  # path -> its first consumer
    functions: dict[str, Callable[[Tensor], Tensor]] = field(default_factory=dict)
    alive: list[Tensor] = field(default_factory=list)


def stages(
    model: nn.Module, kinds: tuple[type[nn.Module], ...], example: Input
) -> tuple[Stage, ...]:
    """Layers of these kinds that one call of the model reaches, in the order they are called.

    ``following`` names the chain behind a layer as far as its meaning is certain: a BatchNorm, and
    an activation after it. A module belongs to the chain when it takes the very tensor that the one
    before made, unchanged in between (an addition in place, as residual nets have it, ends the
    chain). An activation called as a function (``F.relu``) is ``function``.

    >>> model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten())
    >>> stages(model, (nn.Conv2d,), torch.zeros(1, 1, 3, 3))
    (Stage(path='0', calls=1, following=('1', '2'), function=None),)
    """
    trace = _Trace()
    modules = dict(model.named_modules())
    leaves = {p: m for p, m in modules.items() if next(m.children(), None) is None}
    with evaluating(model), _hooked(leaves, trace, kinds), _Functions(trace):
        call(model, example)
    return tuple(
        Stage(path, calls, *_chain(path, trace, modules)) for path, calls in trace.order.items()
    )


def taken(model: nn.Module, stage: Stage, inputs: Iterable[Input]) -> Iterator[Tensor]:
    """What goes into one layer, one tensor for each call of it.

    Each pass ends as soon as the layer has been called as often as it is in a whole pass, so early
    layers cost little.
    """
    for example in inputs:
        yield from _one_pass(model, stage, example)


def watched(
    model: nn.Module,
    found: Iterable[Stage],
    inputs: Iterable[Input],
    see: Callable[[Stage, Tensor], None],
) -> None:
    """Run the model once on each input and show ``see`` every output of these layers.

    The tensor is the layer's own: what is to be kept of it must be copied out at once.
    """

    def showing(stage: Stage) -> Callable[..., None]:
        return lambda _, args, result: see(stage, output_of(result).detach())

    handles = [
        model.get_submodule(stage.path).register_forward_hook(showing(stage)) for stage in found
    ]
    try:
        with evaluating(model):
            for example in inputs:
                call(model, example)
    finally:
        for handle in handles:
            handle.remove()


def following(model: nn.Module, stage: Stage) -> Callable[[Tensor], Tensor]:
    """What stands behind a layer as one function (f_a in the papers); nothing is the identity."""
    steps: list[Callable[[Tensor], Tensor]] = [model.get_submodule(p) for p in stage.following]
    if stage.function is not None:
        steps.append(stage.function)

    def run(x: Tensor) -> Tensor:
        for step in steps:
            x = step(x)
        return x

    return run


def _one_pass(model: nn.Module, stage: Stage, example: Input) -> list[Tensor]:
    seen: list[Tensor] = []

    def keep(_: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> None:
        seen.append(output_of((*args, *named.values())).detach().clone())
        if len(seen) == stage.calls:
            raise _Reached

    layer = model.get_submodule(stage.path)
    handle = layer.register_forward_pre_hook(keep, with_kwargs=True)
    try:
        with evaluating(model):
            call(model, example)
    except _Reached:
        pass
    finally:
        handle.remove()
    return seen


@contextmanager
def _hooked(
    leaves: dict[str, nn.Module], trace: _Trace, kinds: tuple[type[nn.Module], ...]
) -> Iterator[None]:
    handles = []
    for path, module in leaves.items():
        handles.append(module.register_forward_pre_hook(_arrival(path, trace)))
        handles.append(module.register_forward_hook(_departure(path, trace, kinds)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _arrival(path: str, trace: _Trace) -> Callable[..., None]:
    def arrive(_: nn.Module, args: tuple[Any, ...]) -> None:
        if not args or not isinstance(args[0], Tensor):
            return
        maker = trace.origin.get(id(args[0]))
        if maker is not None and trace.version[id(args[0])] == args[0]._version:
            trace.next.setdefault(maker, path)

    return arrive


def _departure(path: str, trace: _Trace, kinds: tuple[type[nn.Module], ...]) -> Callable[..., None]:
    def depart(module: nn.Module, _: tuple[Any, ...], result: Any) -> None:
        if isinstance(module, kinds):
            trace.order[path] = trace.order.get(path, 0) + 1
        if isinstance(result, Tensor):
            trace.origin[id(result)] = path
            trace.version[id(result)] = result._version
            trace.alive.append(result)

    return depart


class _Functions(TorchFunctionMode):
    """Sees calls such as ``F.relu(x)`` that no module stands for."""

    def __init__(self, trace: _Trace) -> None:
        super().__init__()
        self.trace = trace

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        options = kwargs or {}
        known = func in FUNCTIONS and bool(args)
        key = f"{len(self.trace.functions)}:{getattr(func, '__name__', '')}"
        if known:
            _arrival(key, self.trace)(None, args)
        result = func(*args, **options)
        if known and isinstance(result, Tensor):
            self.trace.functions[key] = lambda x: func(x, *args[1:], **options)
        return result


def _chain(
    path: str, trace: _Trace, modules: dict[str, nn.Module]
) -> tuple[tuple[str, ...], Callable[[Tensor], Tensor] | None]:
    """Follow the tensor through at most one norm and one activation."""
    found: list[str] = []
    here = trace.next.get(path)
    while here is not None and here not in trace.functions:
        module = modules[here]
        if isinstance(module, NORMS) and not found:
            found.append(here)
        elif _is_activation(module):
            return (*found, here), None
        elif not isinstance(module, TRANSPARENT):
            break
        here = trace.next.get(here)
    return tuple(found), trace.functions.get(here or "")


def _is_activation(module: nn.Module) -> bool:
    """An elementwise function: one of torch's, or one of those that transformers defines."""
    return isinstance(module, ACTIVATIONS) or (
        type(module).__module__ == "transformers.activations"
    )
