"""The contract: what holds for every method that is found, on nets of every usual kind."""

from __future__ import annotations

import copy
import dataclasses
import runpy
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import octavo
from octavo.errors import InputError
from octavo.reference_impls import find, found
from octavo.reference_impls.choice import EXACT, deviation_of
from octavo.reference_impls.compress import Compressed
from octavo.reference_impls.inputs import call, evaluating, output_of

torch.set_num_threads(1)
FEW = {"iterations": 8, "epochs": 1, "steps": 4, "samples": 16, "batch": 8}


class Residual(nn.Module):
    """Convolutions of all kinds: strided, grouped, pointwise, around a shortcut; odd widths."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 6, 3, stride=2, bias=False)
        self.norm = nn.BatchNorm2d(6)
        self.grouped = nn.Conv2d(6, 6, 3, padding=1, groups=3)
        self.point = nn.Conv2d(6, 7, 1)
        self.short = nn.Conv2d(6, 7, 1, padding="same")
        self.head = nn.Linear(7, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.stem(x)))
        x = F.relu(self.point(F.relu(self.grouped(x))) + self.short(x))
        return self.head(x.mean((2, 3)))


class Block(nn.Module):
    """ResNet's basic block."""

    def __init__(self, inner: int, outer: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inner, outer, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outer)
        self.conv2 = nn.Conv2d(outer, outer, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outer)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or inner != outer:
            plain = nn.Conv2d(inner, outer, 1, stride, bias=False)
            self.shortcut = nn.Sequential(plain, nn.BatchNorm2d(outer))

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


def resnet18() -> nn.Module:
    torch.manual_seed(0)
    widths = [(64, 64, 1), (64, 64, 1), (64, 128, 2), (128, 128, 1), (128, 256, 2), (256, 256, 1),
              (256, 512, 2), (512, 512, 1)]  # fmt: skip
    stem = (
        nn.Conv2d(3, 64, 7, 2, 3, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, 1),
    )
    blocks = (Block(*w) for w in widths)
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000))
    return nn.Sequential(*stem, *blocks, *head).eval()


def encoder(layers: int = 6, width: int = 48) -> nn.Module:
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    return BertModel(BertConfig(
        vocab_size=99, hidden_size=width, num_hidden_layers=layers, num_attention_heads=4,
        intermediate_size=2 * width, max_position_embeddings=32,
    )).eval()  # fmt: skip


def residual() -> nn.Module:
    torch.manual_seed(0)
    return Residual().eval()


def odd_mlp() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 33), nn.GELU(), nn.Linear(33, 1, bias=False)).eval()


def zeros() -> nn.Module:
    """A net with a layer of zeros and one input row that is all zero in `images`."""
    net = residual()
    nn.init.zeros_(net.point.weight)
    return net


def torch_encoder() -> nn.Module:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(16, 2, 24, batch_first=True)
    parts = nn.Linear(5, 16), nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    return nn.Sequential(*parts, nn.Linear(16, 3)).eval()


def images() -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(12, 1, 11, 9, generator=generator)
    x[0] = 0
    return [(x, torch.arange(12) % 3)]


def rows() -> list[tuple[Tensor, Tensor]]:
    return [(torch.randn(8, 5, generator=torch.Generator().manual_seed(1)), torch.zeros(8).long())]


def sequences() -> list[tuple[Tensor, Tensor]]:
    x = torch.randn(4, 6, 5, generator=torch.Generator().manual_seed(1))
    return [(x, torch.arange(24).reshape(4, 6) % 3)]


def ids() -> list[dict[str, Tensor]]:
    words = torch.randint(0, 99, (4, 7), generator=torch.Generator().manual_seed(1))
    return [{"input_ids": words, "attention_mask": torch.ones_like(words)}]


class Net(NamedTuple):
    make: Callable[[], nn.Module]
    data: Callable[[], list[Any]]


NETS = {
    "residual": Net(residual, images),
    "zeros": Net(zeros, images),
    "odd_mlp": Net(odd_mlp, rows),
    "torch_encoder": Net(torch_encoder, sequences),
    "bert": Net(lambda: encoder(2, 16), ids),
}


def few(method: str) -> dict[str, Any]:
    """The method's settings with as few steps as will do."""
    fields = {field.name for field in dataclasses.fields(find(method).Config)}
    return {name: value for name, value in FEW.items() if name in fields}


@cache
def small(method: str, net: str, again: int = 0) -> Compressed | InputError:
    """A net of the list, compressed; or why the method says it cannot."""
    make, data = NETS[net]
    try:
        return octavo.compress(make(), method, data=data(), seed=5, **few(method))
    except InputError as error:
        return error


def made(method: str, net: str, again: int = 0) -> Compressed:
    result = small(method, net, again)
    if isinstance(result, InputError):
        pytest.skip(f"{method} says: {result}")
    return result


def output(model: nn.Module, example: Any) -> Tensor:
    with evaluating(model):
        return output_of(call(model, example))


EVERY = pytest.mark.parametrize("method", found())
ON = pytest.mark.parametrize("net", NETS)


@EVERY
def test_it_works_on_some_net_and_says_in_one_line_where_it_does_not(method: str) -> None:
    results = [small(method, net) for net in NETS]
    assert any(isinstance(result, Compressed) for result in results)
    assert all("\n" not in str(r) and method for r in results if isinstance(r, InputError))


@EVERY
@ON
def test_shapes_dtypes_and_the_original_are_kept(method: str, net: str) -> None:
    small = made(method, net)
    fresh = NETS[net].make()
    before, after = output(fresh, small.example), output(small.model, small.example)
    assert (before.shape, before.dtype) == (after.shape, after.dtype)
    assert bool(after.isfinite().all())
    original = small.original.state_dict()
    assert all(torch.equal(original[name], value) for name, value in fresh.state_dict().items())


@EVERY
@ON
def test_same_seed_same_bits(method: str, net: str) -> None:
    one, other = (made(method, net, again).model.state_dict() for again in (0, 1))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


@EVERY
@ON
def test_materialised_agrees_and_bytes_are_as_on_disk(
    method: str, net: str, tmp_path: Path
) -> None:
    small = made(method, net)
    model = small.materialise(prefer="native")  # raises where a kernel disagrees with its plan
    report = model.report
    rounded = any(choice.runs.startswith("Int") for choice in report.choices)
    deviation = deviation_of(output(model, small.example), output(small.model, small.example))
    assert deviation <= (0.1 if rounded else 10 * EXACT)
    small.save(tmp_path)
    assert report.bytes_after == sum(f.stat().st_size for f in tmp_path.iterdir())
    assert 0 < report.macs_after <= report.macs_before
    assert all(choice.path in dict(small.model.named_modules()) for choice in report.choices)


@pytest.fixture(scope="module")
def reloaded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    """Outputs of all compressed nets, loaded in a fresh process that knows only the classes."""
    folder = tmp_path_factory.mktemp("saved")
    for method in found():
        for net in NETS:
            result = small(method, net)
            if isinstance(result, Compressed):
                result.save(folder / f"{method}.{net}")
    code = f"import runpy; runpy.run_path({__file__!r})['load_all']({str(folder)!r})"
    subprocess.run([sys.executable, "-c", code], check=True)
    return torch.load(folder / "outputs.pt", weights_only=True)


def load_all(folder: str) -> None:
    """Run in the fresh process: other weights in every net, so all must come from disk."""
    outputs = {}
    for saved in sorted(Path(folder).iterdir()):
        make, data = NETS[saved.name.partition(".")[2]]
        blank = make()
        for parameter in blank.parameters():
            nn.init.constant_(parameter, 0.5)
        first = data()[0]
        example = first if isinstance(first, dict) else first[0]
        outputs[saved.name] = output(octavo.load(blank, saved).model, example)
    torch.save(outputs, Path(folder) / "outputs.pt")


@EVERY
@ON
def test_saved_and_loaded_in_a_fresh_process_it_is_the_same(
    method: str, net: str, reloaded: dict[str, Tensor]
) -> None:
    small = made(method, net)
    assert torch.equal(reloaded[f"{method}.{net}"], output(small.model, small.example))


@EVERY
def test_an_unknown_setting_is_answered_with_those_there_are(method: str) -> None:
    with pytest.raises(InputError) as caught:
        octavo.compress(odd_mlp(), method, data=rows(), no_such_setting=1)
    assert "no_such_setting" in str(caught.value)
    fields = dataclasses.fields(find(method).Config)
    assert all(field.name in str(caught.value) for field in fields)


def test_an_unknown_method_is_answered_with_those_there_are() -> None:
    with pytest.raises(InputError) as caught:
        octavo.compress(odd_mlp(), "no-such-method")
    assert all(method in str(caught.value) for method in found())


BIG = {
    "resnet": (
        resnet18,
        lambda: torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(2)),
    ),
    "bert": (encoder, lambda: ids()[0]),
}


@pytest.mark.parametrize("net", BIG)
@pytest.mark.parametrize(
    ("method", "settings"),
    [("synflow", {"density": 0.1, "iterations": 3}), ("adaround", {"bits": 4, "iterations": 2})],
)
def test_a_resnet18_and_a_six_layer_encoder_go_round(
    method: str, settings: dict[str, Any], net: str, tmp_path: Path
) -> None:
    make, example = BIG[net]
    data = [example()]
    small = octavo.compress(make(), method, data=data, **settings)
    small.save(tmp_path)
    again = octavo.load(make(), tmp_path, example=data[0])
    expected = output(small.model, data[0])
    assert torch.equal(output(again.model, data[0]), expected)
    native = again.materialise(prefer="native")
    assert any(choice.runs != "dense" for choice in native.report.choices)
    assert deviation_of(output(native, data[0]), expected) <= (
        0.1 if method == "adaround" else 1e-4
    )
    assert native.report.bytes_after < native.report.bytes_before / 2


def test_a_materialised_model_can_be_copied_and_its_state_moved() -> None:
    small = made("synflow", "residual")
    model = small.materialise(prefer="native")
    twin = copy.deepcopy(model)
    twin.load_state_dict(model.state_dict())
    assert torch.equal(output(twin, small.example), output(model, small.example))


def test_this_file_can_be_run_by_path() -> None:
    assert "load_all" in runpy.run_path(__file__)
