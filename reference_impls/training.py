"""Train a network on the reader's batches: the loop of every method that learns as it prunes.

The loss is the cross entropy of the logits with class numbers; the classes are the last axis of the
logits, or the second of a map. A model that is given `labels` in a dict is asked for its output all
the same, so that one loss serves all. The order of the batches is the loader's own.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from octavo.errors import InputError
from octavo.reference_impls.inputs import Batch, Data, batches, call, output_of

DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)
Loss = Callable[[nn.Module, Batch], Tensor]  # other than the cross entropy
Penalty = Callable[[], Tensor]
Hook = Callable[[], None]
Rate = Callable[[float], float]  # from the share of the training done, 0 to 1, to a factor of lr


def task_loss(net: nn.Module, batch: Batch, temperature: float = 1.0) -> Tensor:
    """Mean cross entropy of logits (..., classes) with class numbers (...); see `cross_entropy`.

    >>> net = nn.Linear(2, 2, bias=False)
    >>> _ = net.weight.data.zero_()
    >>> round(task_loss(net, Batch(torch.ones(3, 2), torch.tensor([0, 1, 1]))).item(), 4)
    0.6931
    """
    return cross_entropy(output_of(call(net, batch.input)) / temperature, batch.target)


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """The same of logits that are there already; their classes may stand second, as torch has it.

    Raises:
        InputError: shapes that do not fit, or a class number past the logits.
    """
    if logits.shape[:-1] == target.shape:
        flat = logits.flatten(0, -2)
    elif logits.shape[:1] + logits.shape[2:] == target.shape:
        flat = logits.movedim(1, -1).flatten(0, -2)  # a map (B, classes, H, W)
    else:
        raise InputError(
            f"logits {tuple(logits.shape)} and class numbers {tuple(target.shape)} do not fit; "
            "the logits need the shape of the class numbers and the classes last, or second"
        )
    if target.numel() and int(target.max()) >= flat.shape[1]:
        raise InputError(
            f"class number {int(target.max())}, but {flat.shape[1]} logits; count from 0"
        )
    return F.cross_entropy(flat, target.flatten())


def walked(method: str, data: Data) -> Iterator[Batch]:
    """Walk over the data once, as its loader gives it, every batch with class numbers.

    Raises:
        InputError: no data, no batch in it, or a batch without class numbers.
    """
    if data is None:
        raise InputError(f"{method} looks at a loss: pass data=… of (input, class) batches")
    empty = True
    for batch in batches(data):
        if not isinstance(batch.target, Tensor) or batch.target.is_floating_point():
            raise InputError(f"{method} looks at a loss: every batch needs class numbers (int64)")
        empty = False
        yield batch
    if empty:
        raise InputError(
            f"{method}: the data gave no batch; pass a loader or a list, not a used iterator"
        )


def labelled(method: str, data: Data, count: int | None = None) -> list[Batch]:
    """The first `count` batches of what is `walked` over (all, if None)."""
    return list(islice(walked(method, data), count))


def mean_loss(found: Sequence[Batch], temperature: float = 1.0) -> Callable[[nn.Module], Tensor]:
    """The mean loss over batches as a function of a network; logits are divided first."""

    def loss(net: nn.Module) -> Tensor:
        return torch.stack([task_loss(net, batch, temperature) for batch in found]).mean()

    return loss


def for_scoring(model: nn.Module, training: bool) -> nn.Module:
    """A copy whose batch norms take the statistics of the batch (or not); dropout is off."""
    net = copy.deepcopy(model).train(training)
    for module in net.modules():
        if isinstance(module, DROPOUTS):
            module.eval()
    return net


def constant(_: float) -> float:
    """The same learning rate throughout."""
    return 1.0


def steps(done: float) -> float:
    """A tenth of the rate after half of the training, a hundredth after three quarters.

    >>> [steps(x) for x in (0.0, 0.5, 0.75)]
    [1.0, 0.1, 0.01]
    """
    return 0.01 if done >= 0.75 else 0.1 if done >= 0.5 else 1.0


def linear(done: float) -> float:
    """The rate falls to zero in a straight line, as in fine-tuning."""
    return 1.0 - done


def sgd(net: nn.Module, lr: float, weight_decay: float = 5e-4) -> torch.optim.SGD:
    """Nesterov SGD with momentum 0.9 over all that asks for a gradient."""
    wanted = [p for p in net.parameters() if p.requires_grad]
    return torch.optim.SGD(wanted, lr=lr, momentum=0.9, weight_decay=weight_decay, nesterov=True)


def epoch(
    net: nn.Module,
    data: Iterable[Batch],
    optimizer: torch.optim.Optimizer,
    *,
    loss: Loss = task_loss,
    penalty: Penalty | None = None,
    before_step: Hook | None = None,
    after_step: Hook | None = None,
) -> float:
    """Train in place over the batches once; returns their mean loss, without the penalty.

    `before_step` sees the gradients, `after_step` the new weights. Afterwards the network is in
    evaluation mode.
    """
    net.train()
    losses = []
    for batch in data:
        optimizer.zero_grad()
        value = loss(net, batch)
        whole = value if penalty is None else value + penalty()
        whole.backward()  # type: ignore[no-untyped-call]
        if before_step is not None:
            before_step()
        optimizer.step()
        if after_step is not None:
            after_step()
        losses.append(value.item())
    net.eval()
    return sum(losses) / max(1, len(losses))


def epochs(
    net: nn.Module,
    data: Sequence[Batch],
    count: int,
    optimizer: torch.optim.Optimizer,
    *,
    rate: Rate = constant,
    begin: float = 0.0,
    end: float = 1.0,
    loss: Loss = task_loss,
    penalty: Penalty | None = None,
    before_step: Hook | None = None,
    after_step: Hook | None = None,
) -> Iterator[float]:
    """Train in place for `count` epochs, the mean loss of each yielded as it ends; see `epoch`.

    `rate` is asked at points from `begin` to `end` of a whole training, so that a part of a
    schedule can be replayed.
    """
    base = [group["lr"] for group in optimizer.param_groups]
    total = max(1, count * len(data))

    def paced(first: int) -> Iterator[Batch]:
        for index, batch in enumerate(data, first):
            factor = rate(begin + (end - begin) * index / total)
            _set_rates(optimizer, [lr * factor for lr in base])
            yield batch

    for done in range(count):
        yield epoch(
            net, paced(done * len(data)), optimizer,
            loss=loss, penalty=penalty, before_step=before_step, after_step=after_step,
        )  # fmt: skip
    _set_rates(optimizer, base)


def _set_rates(optimizer: torch.optim.Optimizer, rates: Sequence[float]) -> None:
    for group, lr in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = lr
