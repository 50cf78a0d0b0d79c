"""What can be found: one entry for each page that Pagefind indexed, with its text for the encoder.

Pagefind names pages by a hash; the fragment of each page says which one it is.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from octavo.catalog import Paper
from octavo.ingest.documents import meaning, method_row, paper_row
from octavo.site.holdings import Holdings

MAGIC = b"pagefind_dcd"  # stands before the JSON of a fragment
KINDS = ("Method", "Paper", "Kernel", "Technique", "Theme", "Guide")
GIST = 180  # characters of an abstract that a hit shows


@dataclass(frozen=True)
class Entry:
    """A page that can be found. ``own`` is the id of its record, ``text`` what is encoded."""

    url: str
    page: str
    kind: str
    own: str
    title: str
    about: str
    gist: str
    text: str


def read(site: Path, holdings: Holdings) -> list[Entry]:
    """Entries of a built and indexed site, in the order they are listed when nothing is asked.

    Methods come first, what runs before what does not; then papers, newest first.
    """
    texts = dict(_texts(holdings))
    found = [_entry(known, texts, holdings.papers) for known in _fragments(site / "pagefind")]
    return sorted(found, key=lambda entry: _place(entry, holdings))


def _fragments(folder: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.glob("fragment/*.pf_fragment")):
        known = json.loads(gzip.decompress(path.read_bytes()).removeprefix(MAGIC))
        yield {**known, "page": path.stem}


def _entry(
    known: Mapping[str, Any], texts: Mapping[str, str], papers: Mapping[str, Paper]
) -> Entry:
    meta, url = known["meta"], known["url"].lstrip("/")
    own = url.strip("/").rpartition("/")[2]
    kind, title = meta.get("kind", "Guide"), meta.get("title", url)
    gist = meta.get("gist", "").strip()
    if kind == "Paper":
        gist = gist or shortened(papers[own].summary or papers[own].abstract or "")
    text = texts.get(f"{kind}:{own}", f"{title}\n{gist}")
    return Entry(url, known["page"], kind, own, title, meta.get("about", ""), gist, text)


def _texts(holdings: Holdings) -> Iterator[tuple[str, str]]:
    """The same texts that ``octavo search`` encodes."""
    words = holdings.taxonomy
    for paper in holdings.papers.values():
        yield f"Paper:{paper.id}", meaning(paper_row(paper, None, words)["text"])
    for method in holdings.methods.values():
        row = method_row(method, holdings.papers, words, implemented=True)
        yield f"Method:{method.id}", meaning(row["text"])


def shortened(said: str) -> str:
    """The beginning of a text, cut between words.

    >>> shortened("word " * 100)[-6:]
    'word …'
    """
    flat = " ".join(said.split())
    return flat if len(flat) <= GIST else flat[:GIST].rpartition(" ")[0] + " …"


def _place(entry: Entry, holdings: Holdings) -> tuple[int, bool, int, str, str]:
    idle = entry.kind == "Method" and entry.own not in holdings.implemented
    paper = holdings.papers.get(entry.own) if entry.kind == "Paper" else None
    year = paper.year or 0 if paper else 0
    return KINDS.index(entry.kind), idle, -year, entry.title.lower(), entry.url
