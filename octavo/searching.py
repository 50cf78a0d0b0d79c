"""What search finds with each encoder, and what the encoder costs: every one that is here."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from itertools import cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from octavo import bench, catalog
from octavo.ingest import encode, judged
from octavo.ingest.library import Library
from octavo.training import texts

WORDS = 170  # of an abstract
TIMED = {"static": 4096, "static-float": 4096}  # abstracts; of the slow ones fewer
FEW = 96
ONCE = 512  # abstracts of a timing


def names() -> list[str]:
    """The encoders that can be loaded here."""
    return [name for name in encode.NAMES if encode.is_here(name)]


def measure(advance: Callable[[int], None] = lambda done: None) -> dict[str, Any]:
    """Judge search with every encoder in `names`, and time each: `encoders` and `rows`."""
    encoders, rows = [], []
    for name in names():
        with TemporaryDirectory() as folder:
            library = Library(Path(folder), encoder=name)
            rows += [{"encoder": name, **asdict(score)} for score in judged.measure(library)]
        encoders.append(_cost(encode.load(name)))
        advance(1)
    return {"encoders": encoders, "rows": rows}


def record(document: Mapping[str, Any]) -> None:
    """Append a run to `catalog/results/search.jsonl`."""
    facts = bench.provenance("search")
    bench.append(catalog.ROOT / "results" / "search.jsonl", [facts | dict(document)])


def table(document: Mapping[str, Any]) -> Any:
    """A run as a table for the terminal."""
    from rich.table import Table

    shown = Table("encoder", "half", "mode", "nDCG@10", "MRR@10", "recall@10", box=None)
    for row in document["rows"]:
        means = (f"{row[key]:.3f}" for key in ("ndcg", "mrr", "recall"))
        shown.add_row(row["encoder"], row["half"], row["mode"], *means)
    for each in document["encoders"]:
        rate = f"{each['abstracts_per_second']:.0f} abstracts a second of one core"
        shown.add_row(each["name"], "", f"{each['bytes'] / 1e6:.2f} MB", rate)
    return shown


def abstracts(count: int) -> list[str]:
    """Texts as long as an abstract, of the catalog's own documents one after another."""
    words = cycle(word for text in texts.documents() for word in text.split())
    return [" ".join(islice(words, WORDS)) for _ in range(count)]


def _cost(encoder: encode.Encoder) -> dict[str, Any]:
    """Bytes of the weights, and abstracts a second of processor time, on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        said = abstracts(TIMED.get(encoder.name, FEW))
        encoder.encode(said[:FEW])  # words that recur are known from here on
        best = min(_seconds(encoder, part) / len(part) for part in _parts(said))
    finally:
        torch.set_num_threads(threads)
    return {
        "name": encoder.name,
        "origin": encoder.origin,
        "width": encoder.width,
        "bytes": encode.size(encoder.name),
        "abstracts_per_second": round(1 / best, 1),
    }


def _parts(said: list[str]) -> Iterator[list[str]]:
    size = min(ONCE, max(1, len(said) // 3))
    return (said[start : start + size] for start in range(0, len(said) - size + 1, size))


def _seconds(encoder: encode.Encoder, said: list[str]) -> float:
    start = time.process_time()
    encoder.encode(said)
    return time.process_time() - start
