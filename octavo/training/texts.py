"""What the encoders are trained on: text that any machine has.

The catalog's own texts as the library encodes them, whole, by the sentence and in random spans of a
few words (a question is short); and the prose in the docstrings of the packages that are
installed. The judged queries (`catalog/queries.jsonl`) are never read here.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from octavo import catalog
from octavo.catalog import Technique, Theme
from octavo.ingest.documents import meaning, method_row, paper_row
from octavo.reference_impls.tasks import sentences

MOST = 200_000  # docstrings
SPAN = (3, 14)  # words of a span, least and most
EVERY = 6  # words of a text for a span drawn from it
_END = re.compile(r"(?<=[.!?;:])\s+|\n+")


def catalog_texts(root: Path = catalog.ROOT) -> Iterator[str]:
    """Documents of the catalog, their sentences, and spans of them."""
    draw = random.Random(0)
    for text in documents(root):
        yield text
        for sentence in _END.split(text):
            words = sentence.split()
            if len(words) >= SPAN[0]:
                yield " ".join(words)
            for _ in range(len(words) // EVERY):
                start, length = draw.randrange(len(words)), draw.randint(*SPAN)
                yield " ".join(words[start : start + length])


def documents(root: Path = catalog.ROOT) -> Iterator[str]:
    """What the library encodes: a text a paper and a text a method; and every shelf's own."""
    words, papers = catalog.taxonomy(root), catalog.papers(root)
    for paper in papers.values():
        yield meaning(paper_row(paper, None, words)["text"]).strip()
    for method in catalog.methods(root).values():
        yield meaning(method_row(method, papers, words, implemented=True)["text"]).strip()
    shelves: list[Theme | Technique] = [*words.themes.values(), *words.techniques.values()]
    for shelf in shelves:
        yield f"{shelf.name}. {shelf.description}"


def docstrings() -> Iterator[str]:
    """Sentences of every installed package, each once."""
    names = sorted(filter(_is_folder, metadata.packages_distributions()))
    seen: set[str] = set()
    for sentence in sentences.every(names):
        if sentence not in seen:
            seen.add(sentence)
            yield sentence


def _is_folder(name: str) -> bool:
    """Whether it is a package: of a module alone the folder would be everybody's."""
    spec = find_spec(name) if name.isidentifier() else None
    return spec is not None and spec.submodule_search_locations is not None
