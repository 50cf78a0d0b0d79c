"""The teacher's vectors, made once: this is most of what training costs.

MiniLM runs in bfloat16 on short texts, a process a core. Every chunk is kept in a file named by
its texts, so that a run that was stopped goes on where it was.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from octavo.ingest import encode
from octavo.ingest.static import Vectors

CHUNK = 2048
NAME = "minilm"


def vectors(
    texts: Sequence[str], folder: Path, advance: Callable[[int], None] = lambda _: None
) -> Vectors:
    """Unit vectors of the teacher, (texts, 384); what `folder` holds is not made again."""
    folder.mkdir(parents=True, exist_ok=True)
    chunks = [texts[start : start + CHUNK] for start in range(0, len(texts), CHUNK)]
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn"), _one_thread) as pool:
        made = []
        paths = pool.map(_chunk, chunks, [folder] * len(chunks))
        for chunk, path in zip(chunks, paths, strict=True):
            made.append(np.load(path))
            advance(len(chunk))
    found: Vectors = np.concatenate(made).astype(np.float32)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    return found


def _one_thread() -> None:
    torch.set_num_threads(1)


def _chunk(texts: Sequence[str], folder: Path) -> Path:
    key = hashlib.sha256("\0".join(texts).encode("utf-8", errors="replace")).hexdigest()[:24]
    path = folder / f"{key}.npy"
    if not path.exists():
        with torch.autocast("cpu", dtype=torch.bfloat16):
            made = encode.load(NAME).encode(texts)
        aside = path.with_suffix(f".{os.getpid()}")
        with aside.open("wb") as stream:
            np.save(stream, made.astype(np.float16))
        aside.replace(path)
    return path
