"""Data sets on the reader's disk: read back as written, broken files named, nothing run."""

from __future__ import annotations

import json
import os
import pickle
import sys
import tempfile
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor
from typer.testing import CliRunner

from octavo import own
from octavo.__main__ import app
from octavo.errors import InputError
from octavo.reference_impls.tasks import cifar, disk, folders, glue, hub
from octavo.reference_impls.tasks.walk import Walk

Write = Callable[[Path, int, np.ndarray[Any, Any], list[int]], None]


def drawn(count: int, classes: int, seed: int = 0) -> tuple[np.ndarray[Any, Any], list[int]]:
    """Pixels (count, 3072) and labels."""
    lots = np.random.default_rng(seed)
    pixels = lots.integers(0, 256, (count, 3072), dtype=np.uint8)
    return pixels, [int(x) for x in lots.integers(0, classes, count)]


def as_pickle(path: Path, classes: int, pixels: np.ndarray[Any, Any], labels: list[int]) -> None:
    key = "labels" if classes == 10 else "fine_labels"
    path.write_bytes(pickle.dumps({"data": pixels, key: labels, "batch_label": "x"}, protocol=2))


def as_bytes(path: Path, classes: int, pixels: np.ndarray[Any, Any], labels: list[int]) -> None:
    heads = np.array(labels, dtype=np.uint8)[:, None]
    if classes == 100:
        heads = np.hstack([heads // 5, heads])  # the coarse class stands before
    path.with_name(f"{path.name}.bin").write_bytes(np.hstack([heads, pixels]).tobytes())


def written(folder: Path, classes: int, write: Write, count: int = 4) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    names = [name for part in cifar.KINDS[classes].files.values() for name in part]
    for seed, name in enumerate(names):
        write(folder / name, classes, *drawn(count, classes, seed))


@pytest.mark.parametrize("classes", [10, 100])
@pytest.mark.parametrize("split", ["train", "test"])
def test_both_forms_of_cifar_give_the_same_images(classes: int, split: str, tmp_path: Path) -> None:
    written(tmp_path / "a" / "cifar-batches-py", classes, as_pickle)
    written(tmp_path / "b", classes, as_bytes)
    one, other = (cifar.load(str(tmp_path / x), classes, split) for x in "ab")
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    names = cifar.KINDS[classes].files[split]
    first = 0 if split == "train" else len(cifar.KINDS[classes].files["train"])
    parts = [drawn(4, classes, first + i) for i in range(len(names))]
    assert torch.equal(one[0].flatten(1), torch.from_numpy(np.vstack([p for p, _ in parts])))
    assert one[1].tolist() == [x for _, labels in parts for x in labels]


class Trap:
    """Would leave a file behind if it were unpickled in good faith."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_a_pickle_that_asks_for_anything_else_is_refused(tmp_path: Path) -> None:
    written(tmp_path, 10, as_pickle)
    trap = {"data": Trap(tmp_path / "sprung"), "labels": []}
    (tmp_path / "data_batch_3").write_bytes(pickle.dumps(trap))
    with pytest.raises(InputError, match=r"data_batch_3: no CIFAR batch: it asks for posix.mkdir"):
        cifar.load(str(tmp_path), 10)
    assert not (tmp_path / "sprung").exists()


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_a_file_cut_anywhere_is_whole_or_answered_in_one_line(data: st.DataObject) -> None:
    pixels, labels = drawn(1, 10)
    whole = pickle.dumps({"data": pixels, "labels": labels}, protocol=2)
    at = data.draw(st.integers(0, len(whole) - 1))
    broken = whole[:at] + data.draw(st.binary(max_size=3))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data_batch_1"
        path.write_bytes(broken)
        said = answer(path)
    if isinstance(said, str):
        assert "\n" not in said
    else:  # as it was, or with something behind its end
        assert torch.equal(said[0].flatten(1), torch.from_numpy(pixels))
        assert said[1].tolist() == labels


def answer(path: Path) -> tuple[Tensor, Tensor] | str:
    """What is read of a batch, or what is said instead."""
    try:
        return cifar._read(path, cifar.KINDS[10])
    except InputError as error:
        return str(error)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda p: (p / "data_batch_2").unlink(), "no CIFAR there; wanted data_batch_1"),
        (
            lambda p: as_pickle(p / "data_batch_1", 10, drawn(2, 10)[0], [1]),
            "no 'labels' for its 2",
        ),
        (lambda p: as_pickle(p / "data_batch_1", 10, drawn(1, 10)[0], [10]), "class number 10"),
        (lambda p: as_pickle(p / "data_batch_1", 100, *drawn(2, 9)), "no 'labels'"),
        (lambda p: (p / "data_batch_1").write_bytes(pickle.dumps([1])), "no 'data' of bytes"),
    ],
)
def test_what_is_wrong_with_a_cifar_folder_is_said(
    change: Callable[[Path], object], what: str, tmp_path: Path
) -> None:
    written(tmp_path, 10, as_pickle)
    change(tmp_path)
    with pytest.raises(InputError, match=what):
        disk.load(f"cifar10:{tmp_path}")


def test_a_binary_batch_of_the_wrong_length_is_named(tmp_path: Path) -> None:
    written(tmp_path, 10, as_bytes)
    (tmp_path / "data_batch_4.bin").write_bytes(b"\1" * 3000)
    with pytest.raises(InputError, match=r"data_batch_4.bin: 3000 bytes, no CIFAR-10 records"):
        disk.load(f"cifar10:{tmp_path}")


def test_cifar_is_standardised_and_walked_in_the_same_order(tmp_path: Path) -> None:
    written(tmp_path, 10, as_pickle)
    found = disk.load(f"cifar10:{tmp_path}?batch=8&count=12")
    assert len(found) == 2
    assert [len(y) for _, y in found] == [8, 4]
    (x, _), (again, _) = next(iter(found)), next(iter(found))
    assert x.shape == (8, 3, 32, 32)
    assert torch.equal(x, again)
    images, _ = cifar.load(str(tmp_path), 10)
    white = (1 - torch.tensor(cifar.KINDS[10].mean)) / torch.tensor(cifar.KINDS[10].deviation)
    whole = torch.cat([x for x, _ in disk.load(f"cifar10:{tmp_path}")])
    assert torch.allclose(whole.amax((0, 2, 3)), white * images.max() / 255, atol=0.1)


def painted(path: Path, colour: tuple[int, int, int], size: tuple[int, int] = (40, 24)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


def folder_of(root: Path) -> None:
    for name, colour in (("ant", (255, 0, 0)), ("bee", (0, 0, 255))):
        for i, ending in enumerate(("png", "JPEG")):
            painted(root / "train" / name / f"{i}.{ending}", colour)
        painted(root / "val" / name / "0.jpg", colour, (9, 31))


def test_an_image_folder_gives_classes_in_alphabetical_order(tmp_path: Path) -> None:
    folder_of(tmp_path)
    for split, count in (("train", 4), ("test", 2)):
        found = disk.load(f"images:{tmp_path}?side=16&split={split}")
        ((x, y),) = list(found)
        assert x.shape == (count, 3, 16, 16)
        reddest = x[:, 0].mean((1, 2)) > x[:, 2].mean((1, 2))
        assert torch.equal(reddest, y == 0)
    bare = disk.load(f"images:{tmp_path / 'train'}?side=8")
    assert bare.total == 4


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 40))
def test_the_middle_is_cut_out_of_any_image(width: int, height: int, side: int) -> None:
    image = Image.new("RGB", (width, height), (124, 116, 104))  # about ImageNet's mean
    x = folders.pixels(image, side)
    assert x.shape == (3, side, side)
    assert float(x.abs().max()) < 0.02


def test_what_is_wrong_with_an_image_folder_is_said(tmp_path: Path) -> None:
    folder_of(tmp_path)
    (tmp_path / "train" / "cat").mkdir()
    with pytest.raises(InputError, match=r"cat: no image; wanted are files of"):
        disk.load(f"images:{tmp_path}")
    painted(tmp_path / "train" / "cat" / "x.png", (0, 0, 0))
    broken = tmp_path / "train" / "cat" / "y.png"
    broken.write_bytes((tmp_path / "train" / "cat" / "x.png").read_bytes()[:40])
    with pytest.raises(InputError, match=r"y.png: not an image"):
        list(disk.load(f"images:{tmp_path}?side=8"))
    with pytest.raises(InputError, match="no such folder"):
        disk.load(f"images:{tmp_path / 'none'}")
    with pytest.raises(InputError, match="0 class folders"):
        disk.load(f"images:{tmp_path / 'train' / 'ant'}")


FILES = {
    "SST-2": ("sentence\tlabel\na fine film\t1\na poor film\t0\n", [1, 0], 1),
    "CoLA": ("gj04\t1\t\tHe is here .\ngj04\t0\t*\tHe here is be .\n", [1, 0], 1),
    "MRPC": ("Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t7\t8\tIt is.\tIt's so.\n", [1], 2),
    "QNLI": ("index\tquestion\tsentence\tlabel\n0\tWho?\tHe.\tentailment\n1\tWho?\tIt.\tnot_entailment\n", [0, 1], 2),  # noqa: E501
    "STS-B": ("index\tsentence1\tsentence2\tscore\n0\tA plane.\tAn aircraft.\t4.5\n", [4.5], 2),
    "QQP": ("id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n1\t1\t2\tWhy \"so\"?\tWhy?\t0\n", [0], 2),  # noqa: E501
}  # fmt: skip


@pytest.mark.parametrize("task", FILES)
def test_a_file_of_glue_gives_token_ids_and_labels(task: str, tmp_path: Path) -> None:
    text, labels, parts = FILES[task]
    path = tmp_path / "train.tsv"
    path.write_text(text, encoding="utf-8")
    table = glue.read(path)
    assert table.labels.tolist() == labels
    assert all(len(row) == parts for row in table.texts)
    (batch,) = list(disk.load(f"glue:{path}?length=16"))
    assert batch["input_ids"].shape == batch["attention_mask"].shape
    assert sorted(batch["labels"].tolist()) == sorted(labels)
    assert (batch["input_ids"] == 102).sum(1).tolist() == [parts] * len(labels)  # [SEP]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "empty"),
        ("a\tb\n1\t2\n", "columns a, b; wanted are"),
        ("sentence\tother\nx\ty\n", "a label is one of"),
        ("sentence\tlabel\nx\t1\ny\n", "line 3 has 1 columns of 2"),
        ("sentence\tlabel\nx\t1\ny\tgood\n", "part numbers, part names"),
        ("sentence\tlabel\n", "no row"),
        (b"sentence\tlabel\n\xff\xfe\t1\n", "no tab-separated text"),
    ],
)
def test_what_is_wrong_with_a_file_of_glue_is_said(
    text: str | bytes, what: str, tmp_path: Path
) -> None:
    path = tmp_path / "dev.tsv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=what):
        disk.load(f"glue:{path}")


def test_a_few_broken_lines_are_left_out_with_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "train.tsv"
    path.write_text("sentence\tlabel\n" + "yes\t1\n" * 150 + "no\n", encoding="utf-8")
    with pytest.warns(UserWarning, match="1 broken lines left out"):
        assert len(glue.read(path).texts) == 150


class Rows(list[dict[str, Any]]):
    """What load_dataset returns, as far as it is used here."""


def fake(monkeypatch: pytest.MonkeyPatch, rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    asked: list[tuple[Any, ...]] = []

    def load_dataset(*words: str, split: str) -> Rows:
        asked.append((*words, split))
        if split == "none":
            raise ValueError('Unknown split "none".\nShould be one of [train]')
        return Rows(rows)

    module = types.ModuleType("datasets")
    module.load_dataset = load_dataset  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets", module)
    return asked


def test_datasets_give_sentences_or_images(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = fake(monkeypatch, [{"sentence": "so it is", "label": 1, "idx": 0}])
    (batch,) = list(disk.load("datasets:nyu-mll/glue/sst2"))
    assert batch["labels"].tolist() == [1]
    fake(monkeypatch, [{"img": Image.new("L", (9, 9)), "label": 3}])
    ((x, y),) = list(disk.load("datasets:cifar10?side=8"))
    assert (x.shape, y.tolist()) == ((1, 3, 8, 8), [3])
    assert asked == [("nyu-mll/glue", "sst2", "train")]
    with pytest.raises(InputError, match='Unknown split "none"'):
        disk.load("datasets:cifar10?split=none")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(InputError, match="pip install datasets"):
        hub.loaded("cifar10", "train")


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("cifar10:", "what to read after the colon"),
        ("cifar10:x?sides=3", "cifar10 has no setting 'sides'; it has: split, batch, count"),
        ("images:x?side=big", "a whole number is wanted"),
        ("images:x?batch=0&side=0", "at least 1 pixel"),
        ("glue:none.tsv", "no such file"),
    ],
)
def test_a_name_that_cannot_be_read_is_answered(name: str, what: str) -> None:
    with pytest.raises(InputError, match=what):
        own.data(name)


def test_a_walk_meets_every_input_once_and_refuses_empty_batches() -> None:
    found: list[list[int]] = list(Walk(10, list, batch=4, seed=3))
    assert sorted(x for batch in found for x in batch) == list(range(10))
    with pytest.raises(InputError, match="at least 1 input"):
        Walk(10, list, batch=0)


def test_octavo_run_takes_data_from_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path / "cifar", 10, as_pickle)
    (tmp_path / "readers_net.py").write_text(
        "import torch\ndef net():\n    torch.manual_seed(0)\n    return torch.nn.Sequential("
        "torch.nn.Conv2d(3, 4, 3, stride=4), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), "
        "torch.nn.Linear(4, 10)).eval()\n"
    )
    monkeypatch.chdir(tmp_path)
    words = ["run", "snip", "--model", "readers_net:net", "--data", "cifar10:cifar?batch=8"]
    done = CliRunner().invoke(app, [*words, "--set", "density=0.5", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)
