"""From the teacher to the files: what `octavo train` runs, in order."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from octavo.errors import InputError
from octavo.ingest import encode, transformer
from octavo.ingest.progress import Steps, silent
from octavo.ingest.static import Vectors
from octavo.ingest.wordpiece import MARK, VOCABULARY, WordPiece
from octavo.kernels.runtime.packed import nearest
from octavo.training import quantize, student, table, teacher, texts, vocabulary

NAMES = ("static", "small")
GROUPS = 48  # bytes of a piece in the static table
GROUPS_SMALL = 96  # and in the student's table
QUICK = 600  # texts
KEPT = "teacher"  # folder of the teacher's vectors


@dataclass(frozen=True)
class Lesson:
    """Texts, and what the teacher says of them."""

    texts: list[str]
    targets: Vectors  # (texts, 384)
    own: int  # of the texts, the first: those of the catalog
    teacher: transformer.Transformer

    def pieces(self, tokenizer: WordPiece) -> list[list[int]]:
        """The texts in pieces."""
        return [tokenizer.pieces(text) or list(tokenizer[""]) for text in self.texts]


def lesson(folder: Path, quick: bool, steps: Steps = silent) -> Lesson:
    """Read the texts and ask the teacher; its answers are kept in `folder`.

    Raises InputError where the teacher's weights cannot be had.
    """
    own = list(dict.fromkeys(texts.catalog_texts()))[: QUICK if quick else None]
    read = [] if quick else list(islice(texts.docstrings(), texts.MOST))
    with steps("asking the teacher", len(own) + len(read)) as advance:
        said = [teacher.vectors(part, folder, advance) for part in (own, read) if part]
    return Lesson([*own, *read], np.concatenate(said), len(own), transformer.load("minilm"))


def train(
    names: Sequence[str], into: Path, quick: bool = False, steps: Steps = silent
) -> list[dict[str, Any]]:
    """Make encoders and write each to `into`; a record each: path, bytes, seconds, losses.

    Raises InputError for a name that is none of NAMES.
    """
    if unknown := [name for name in names if name not in NAMES]:
        raise InputError(f"train {', '.join(unknown)}: encoders to train are {', '.join(NAMES)}")
    into.mkdir(parents=True, exist_ok=True)
    begun = time.perf_counter()
    taught = lesson(encode.home() / KEPT, quick, steps)
    asked = round(time.perf_counter() - begun, 1)
    makers: dict[str, Callable[[Lesson, Path, bool, Steps], dict[str, Any]]]
    makers = {"static": static, "small": small}
    facts = {"texts": len(taught.texts), "teacher_seconds": asked}
    return [facts | _timed(makers[name], taught, into, quick, steps) for name in names]


def static(taught: Lesson, into: Path, quick: bool, steps: Steps) -> dict[str, Any]:
    """The static table, in floats and quantized."""
    config = table.Config(epochs=1, batch=64) if quick else table.Config()
    known = vocabulary.learn(taught.texts, vocabulary.SIZE)
    told = table.bags(taught.pieces(WordPiece(known)))
    axes = table.directions(taught.targets, config.width) @ quantize.rotation(config.width).numpy()
    targets = torch.from_numpy(taught.targets @ axes)
    start = table.start(torch.from_numpy(_alone(taught.teacher, known) @ axes), told.flat)
    losses: list[float] = []
    with steps("training the table", config.steps(len(targets))) as advance:
        whole = table.train(start, told, targets, config, _heard(losses, advance))
    refining = replace(config, epochs=quantize.EPOCHS)
    with steps("training its books", refining.steps(len(targets))) as advance:
        made = quantize.quantize(whole, _counts(told, len(known)), GROUPS)
        made = quantize.refine(made, told, targets, refining, _heard(losses, advance))
    save_file({"table": whole.half()}, into / "static-float.safetensors")
    (into / VOCABULARY.name).write_text("\n".join(known) + "\n", encoding="utf-8")
    path = into / "static.safetensors"
    codes, books = made.packed
    save_file({"codes": codes, "codebooks": books.half(), "weights": made.weights.half()}, path)
    return {"name": "static", "path": str(path), "config": asdict(config), **_ends(losses)}


def small(taught: Lesson, into: Path, quick: bool, steps: Steps) -> dict[str, Any]:
    """The student with two layers, in 8-bit codes."""
    config = student.Config(steps=4, batch=8) if quick else student.Config()
    words = taught.teacher.weights["embeddings.word_embeddings.weight"]
    pieces = taught.pieces(taught.teacher.tokenizer)
    marked = [taught.teacher.marked(text, config.longest) for text in pieces]
    often = [*range(len(marked)), *list(range(taught.own)) * (config.own - 1)]
    made = quantize.quantize(words, _counts(table.bags(marked), len(words)), GROUPS_SMALL)
    rows = transformer.Quantized(made.packed.codes, made.packed.books.clone(), made.weights.clone())
    pupil = student.start(taught.teacher, rows, config.layers)
    losses: list[float] = []
    with steps("training the student", config.steps) as advance:
        student.train(
            taught.teacher, pupil, rows, [marked[row] for row in often],
            torch.from_numpy(taught.targets[often]), config, _heard(losses, advance),
        )  # fmt: skip
    path = into / "small.safetensors"
    save_file(packed(pupil, rows), path)
    return {"name": "small", "path": str(path), "config": asdict(config), **_ends(losses)}


def packed(pupil: transformer.Transformer, rows: transformer.Quantized) -> dict[str, Tensor]:
    """The student's tensors as `octavo.ingest.transformer.load_small` reads them."""
    held = {"codes": rows.codes, "codebooks": rows.books.half(), "weights": rows.weights.half()}
    for name, weight in pupil.weights.items():
        layer = name.removesuffix(".weight")
        if weight.dim() == 2 and "_embeddings" not in name:
            codes, scales = nearest(weight, 8, None)
            held |= {f"{layer}.codes": codes, f"{layer}.scales": scales.flatten()}
        else:
            held[name] = (weight[: transformer.LONGEST] if "position" in name else weight).half()
    return {name: tensor.contiguous() for name, tensor in held.items()}


def _counts(told: table.Bags, pieces: int) -> Tensor:
    """How often each piece is met."""
    return torch.bincount(told.flat, minlength=pieces).float()


def _alone(told: transformer.Transformer, pieces: Sequence[str]) -> Vectors:
    """What the teacher says of each piece alone, (pieces, 384)."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return told.encode([piece.removeprefix(MARK) for piece in pieces])


def _timed(
    make: Callable[[Lesson, Path, bool, Steps], dict[str, Any]],
    taught: Lesson, into: Path, quick: bool, steps: Steps,
) -> dict[str, Any]:  # fmt: skip
    begun = time.perf_counter()
    record = make(taught, into, quick, steps)
    seconds = round(time.perf_counter() - begun, 1)
    return record | {"bytes": Path(record["path"]).stat().st_size, "seconds": seconds}


def _heard(losses: list[float], advance: Callable[[int], None]) -> Callable[[float], None]:
    def hear(loss: float) -> None:
        losses.append(loss)
        advance(1)

    return hear


def _ends(losses: Sequence[float], few: int = 20) -> dict[str, float]:
    return {"first_loss": fmean(losses[:few]), "last_loss": fmean(losses[-few:])}
