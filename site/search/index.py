"""The index of the search page: files under ``search/`` that a browser fetches as it needs them.

    facts.json              what stands where, and the facets of every page (fetched first)
    data/<mark>/encoder/    books and rows of the encoder's table (see wordpieces.py)
    data/<mark>/vectors/    books and codes of the pages' vectors (see quantizer.py)
    data/<mark>/entries/    titles, addresses and first words of the pages, 64 to a file
    data/<mark>/files.json  all that a page needs to go on without a network

``mark`` is a hash of the content: an open page never mixes files of two builds.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from octavo.ingest.ranking import DEPTH, K
from octavo.ingest.static import Static
from octavo.ingest.wordpiece import UNKNOWN, VOCABULARY
from octavo.site.holdings import Holdings
from octavo.site.search import facets, quantizer, wordpieces
from octavo.site.search.entries import Entry, read

PER_FILE = 64
SKIPPED = ("pagefind-highlight.js", "wasm.unknown.pagefind")  # of Pagefind's, never asked for


@dataclass(frozen=True)
class Form:
    """How vectors are stored: so many pieces, with books of so many entries."""

    pieces: int = 96
    size: int = 16


def write(site: Path, holdings: Holdings, encoder: Static, form: Form = Form()) -> None:
    """Write the index of a built and indexed site."""
    entries = read(site, holdings)
    files = dict(_files(entries, encoder, form))
    known = {
        "k": K,
        "depth": DEPTH,
        "per_file": PER_FILE,
        "encoder": encoder_facts(encoder),
        "vectors": {"count": len(entries), "width": encoder.width, **asdict(form)},
        "pages": [entry.page for entry in entries],
        "papers": papers_of_methods(entries, holdings),
        **facets.columns(entries, holdings),
    }
    mark = hashlib.sha256(b"".join([compact(known), *files.values()])).hexdigest()[:12]
    folder = site / "search" / "data" / mark
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (site / "search" / "facts.json").write_bytes(compact({"folder": f"data/{mark}", **known}))
    (folder / "files.json").write_bytes(compact(sorted(_wanted(site))))


def _files(entries: Sequence[Entry], encoder: Static, form: Form) -> Iterator[tuple[str, bytes]]:
    for place in range(0, len(entries), PER_FILE):
        some = entries[place : place + PER_FILE]
        shown = [[each.url, each.title, each.kind, each.about, each.gist] for each in some]
        yield f"entries/{place // PER_FILE}.json", compact(shown)
    vectors = torch.from_numpy(encoder.encode([entry.text for entry in entries]))
    books = quantizer.fit(vectors, form.pieces, form.size)
    codes = quantizer.encode(vectors, books)
    yield "vectors/books.bin", bytes(books.half().numpy())
    yield "vectors/codes.bin", quantizer.packed(codes, form.size)
    yield "encoder/books.bin", encoder.books.astype(np.float16).tobytes()
    pieces = VOCABULARY.read_text(encoding="utf-8").splitlines()
    weights = encoder.weights.astype(np.float16)
    for number, content in wordpieces.files(pieces, encoder.codes, weights):
        yield f"encoder/{number}.bin", content


def encoder_facts(encoder: Static) -> dict[str, Any]:
    """What the page must know of the encoder."""
    parts, size, _ = encoder.books.shape
    return {
        "name": encoder.name,
        "width": encoder.width,
        "parts": parts,
        "size": size,
        "shelves": wordpieces.SHELVES,
        "unknown": UNKNOWN,
    }


def papers_of_methods(entries: Sequence[Entry], holdings: Holdings) -> list[list[Any]]:
    """For each method: its place, whether it runs, and the places of its papers."""
    place = {entry.own: at for at, entry in enumerate(entries) if entry.kind == "Paper"}
    return [
        [
            at,
            int(entry.own in holdings.implemented),
            [place[p] for p in holdings.methods[entry.own].papers if p in place],
        ]
        for at, entry in enumerate(entries)
        if entry.kind == "Method"
    ]


def _wanted(site: Path) -> Iterator[str]:
    """Addresses, from the root of the site, of what a search without a network needs."""
    yield from ("search/", "search/facts.json")
    for folder in ("assets", "search/data", "pagefind"):
        for path in (site / folder).rglob("*"):
            beside = path.suffix == ".pf_fragment" or path.suffix == ".pf_filter"
            if path.is_file() and not beside and path.name not in SKIPPED:
                yield path.relative_to(site).as_posix()


def compact(value: Any) -> bytes:
    """JSON without spaces."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
