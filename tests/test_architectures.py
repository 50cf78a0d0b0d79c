"""Every pruning method on a network of every kind: it works, or one line names what it cannot do.

Residual sums, depthwise convolutions, attention in two forms, and skips that are concatenated. What
worked is saved and read again in one fresh process.
"""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import octavo
from octavo import catalog
from octavo.errors import InputError
from octavo.reference_impls import find, found
from octavo.reference_impls.compress import Compressed
from octavo.reference_impls.inputs import call, evaluating, output_of
from octavo.reference_impls.tasks import architectures

torch.set_num_threads(1)
FEW = {"iterations": 4, "epochs": 1, "tuning": 1, "attack_steps": 1, "samples": 4, "steps": 4}
PRUNING = [m for m in found() if catalog.methods()[m].theme == "pruning"]
METHODS = pytest.mark.parametrize("method", PRUNING)
KINDS = pytest.mark.parametrize("kind", architectures.KINDS)
DENSITY = 0.25


def output(net: nn.Module, x: Any) -> Tensor:
    with evaluating(net):
        return output_of(call(net, x))


def batches(kind: str) -> list[tuple[Tensor, Tensor]]:
    """One labelled batch: a class for an image, for a token, or for a pixel."""
    generator = torch.Generator().manual_seed(1)
    if kind == "BERT":
        words = torch.randint(0, 99, (4, 12), generator=generator)
        return [(words, words % 64)]
    images = torch.randn(4, 3, 16, 16, generator=generator)
    classes = (images[:, 0] > 0).long() if kind == "U-Net" else torch.arange(4)
    return [(images, classes)]


@cache
def small(method: str, kind: str) -> Compressed | InputError:
    """A net of the kind, compressed; or why the method says it cannot."""
    fields = {field.name for field in dataclasses.fields(find(method).Config)}
    settings = {name: value for name, value in FEW.items() if name in fields}
    net = architectures.made(kind, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            return octavo.compress(net, method, data=batches(kind), density=DENSITY, **settings)
        except InputError as error:
            return error


@METHODS
@KINDS
def test_it_is_pruned_or_one_line_names_the_module(method: str, kind: str) -> None:
    result = small(method, kind)
    if isinstance(result, InputError):
        assert named(str(result), architectures.made(kind, 0)), f"{method}: {result}"
        return
    example = batches(kind)[0][0]
    before, after = output(result.original, example), output(result.model, example)
    assert after.shape == before.shape
    assert bool(after.isfinite().all())
    kept, there = settled(result)
    assert kept < there, f"{method} pruned nothing of the {kind}"


def named(message: str, net: nn.Module) -> bool:
    """Whether one line names a module of the net by path, or a kind of layer that is missing."""
    words = set(re.findall(r"[\w.]*\w", message))
    paths = {path for path, _ in net.named_modules() if path}
    kinds = {word for word in words if isinstance(getattr(nn, word, None), type)}
    return "\n" not in message and bool(words & paths or kinds)


def settled(small: Compressed) -> tuple[int, int]:
    """Numbers that are not zero in the matrices of the pruned and of the original network."""
    nets = (small.model, small.original)
    kept, there = (
        sum(int(p.count_nonzero()) for p in net.parameters() if p.ndim > 1) for net in nets
    )
    return kept, there


@pytest.fixture(scope="module")
def reloaded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    """Outputs of all pruned nets, loaded in a fresh process that knows only the classes."""
    folder = tmp_path_factory.mktemp("saved")
    for method in PRUNING:
        for kind in architectures.KINDS:
            result = small(method, kind)
            if isinstance(result, Compressed):
                result.save(folder / f"{method}.{kind}")
    code = f"import runpy; runpy.run_path({__file__!r})['load_all']({str(folder)!r})"
    subprocess.run([sys.executable, "-c", code], check=True)
    return torch.load(folder / "outputs.pt", weights_only=True)


def load_all(folder: str) -> None:
    """Run in the fresh process: other weights in every net, so all must come from disk."""
    outputs = {}
    for saved in sorted(Path(folder).iterdir()):
        kind = saved.name.partition(".")[2]
        example = batches(kind)[0][0]
        again = octavo.load(architectures.made(kind, 7), saved, example=example)
        outputs[saved.name] = output(again.model, example)
    torch.save(outputs, Path(folder) / "outputs.pt")


@METHODS
@KINDS
def test_saved_and_loaded_in_a_fresh_process_it_is_the_same(
    method: str, kind: str, reloaded: dict[str, Tensor]
) -> None:
    result = small(method, kind)
    saved = reloaded.get(f"{method}.{kind}")
    if isinstance(result, InputError):
        assert saved is None
    else:
        assert saved is not None
        assert torch.equal(saved, output(result.model, batches(kind)[0][0]))


@METHODS
def test_a_method_handles_some_kind(method: str) -> None:
    assert any(isinstance(small(method, kind), Compressed) for kind in architectures.KINDS)
