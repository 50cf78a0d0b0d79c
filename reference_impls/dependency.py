"""Which channels must go together: dependencies of a network found by following one call of it.

Every number that a layer puts out gets a label, the unit it belongs to, in a tensor of labels that
goes wherever the output goes. What only moves numbers (views, slices, concatenation) is done to the
labels as it is. Where two tensors are added or multiplied, the units that meet become one. A
product over the hidden width makes new units out of its weight's rows, and says which unit each of
its columns reads. At the end every unit knows its slices of all parameters: removing it means
removing those.

Heads of attention come out by themselves: the product of queries and keys sums over a head's
width, so all of a head's rows become one unit, and the product with the values joins theirs.

A unit is fixed, and never removed, when it reaches the output, meets a constant that has a number
for each unit, or passes an operation that is not known here; the operation is named.

Source: Fang et al., DepGraph (CVPR 2023, arXiv:2301.12900), whose groups these are; there they are
found from rules by layer type, here from labels.

>>> net = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 1))
>>> [sorted(unit) for unit in follow(net, torch.ones(1, 3)).units]
[[('0.bias', 0, 0), ('0.weight', 0, 0), ('2.weight', 1, 0)], [('0.bias', 0, 1), ('0.weight', 0, 1), ('2.weight', 1, 1)]]
"""  # noqa: E501

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn

from octavo.reference_impls.inputs import Input, call, evaluating
from octavo.reference_impls.label_rules import Following, tensors_of
from octavo.reference_impls.labels import Slice, Trace


class Dependencies(NamedTuple):
    """Units that can be removed, each with its slices, and the operations that fixed others."""

    units: list[list[Slice]]
    stopped: tuple[str, ...]


def follow(model: nn.Module, example: Input) -> Dependencies:
    """Follow one call of the model on the example.

    Returns:
        The units in the order of their first layer, and what stopped others, as "operation in
        module".
    """
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # one fused operation would hide the layers
    trace = Trace(model)
    try:
        with evaluating(model), trace.inside(), Following(trace):
            result = call(model, example)
        for out in tensors_of(result):
            trace.fix(trace.labels_of(out))
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    return Dependencies(trace.units(), tuple(dict.fromkeys(trace.stopped)))
