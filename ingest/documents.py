"""What is searched: one row a paper and one a method, with its text, shelves and names."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from octavo.catalog import Method, Paper, Taxonomy, Technique, Theme, paper_to_json
from octavo.ingest.absorb import names
from octavo.ingest.linked import untitled

Row = dict[str, Any]
FORM = b"2"  # of the texts; a library with texts of another form is made anew
ASIDE = "\f"  # in a text: from here on it is read for its words, and not by the encoder

SCHEMA = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),  # "paper:<id>" or "method:<id>"
        pa.field("kind", pa.string(), nullable=False),
        pa.field("id", pa.string(), nullable=False),
        pa.field("title", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),  # what full text and encoder read
        pa.field("digest", pa.string(), nullable=False),  # of the text: same text, same vector
        pa.field("tags", pa.list_(pa.string())),
        pa.field("year", pa.int32()),
        pa.field("papers", pa.list_(pa.string())),  # of a method: the ids of its papers
        pa.field("implemented", pa.bool_()),
        pa.field("names", pa.list_(pa.string())),  # of a paper: see octavo.ingest.absorb
        pa.field("record", pa.string()),  # the whole record as JSON
        pa.field("found", pa.string()),  # what sources said, before the catalog's word
    ]
)


def schema(width: int) -> pa.Schema:
    """The columns with vectors of this width."""
    return SCHEMA.append(pa.field("vector", pa.list_(pa.float32(), width)))


def paper_row(paper: Paper, found: Paper | None, words: Taxonomy) -> Row:
    """Row of a paper: title, summary, abstract and shelves are its text."""
    told = "" if untitled(paper) else paper.title
    anchors = {source.anchor for source in paper.sources if source.anchor} if not told else set()
    text = "\n".join(filter(None, (told, *sorted(anchors), paper.summary, paper.abstract)))
    return _row(
        "paper",
        paper.id,
        paper.title,
        (text or paper.title) + "\n" + _shelves((tag.id for tag in paper.tags), words),
        tags=sorted({tag.id for tag in paper.tags}),
        year=paper.year,
        names=sorted(map(sound, names(paper))),
        record=dumped(paper),
        found=dumped(found) if found is not None else None,
    )


def method_row(
    method: Method, papers: Mapping[str, Paper], words: Taxonomy, *, implemented: bool
) -> Row:
    """Row of a method: its name and four texts, and the names of its shelves and papers."""
    its_papers = [papers[each] for each in method.papers if each in papers]
    shelves = _shelves((method.theme, *method.techniques), words)
    titles = [paper.title for paper in its_papers]
    story = [method.problem, method.idea, method.takeaway]
    text = "\n".join(filter(None, (method.name, *titles, *story, shelves)))
    years = [paper.year for paper in its_papers if paper.year is not None]
    facets = {value for values in method.facets.values() for value in values}
    shown: Row = {
        "tags": sorted({method.theme, *method.techniques, *facets}),
        "year": min(years, default=None),
        "papers": list(method.papers),
        "implemented": implemented,
    }
    record = json.dumps({"title": method.name, **shown})
    return _row("method", method.id, method.name, text, record=record, **shown)


def meaning(text: str) -> str:
    """The part of a text that the encoder reads.

    >>> meaning("SynFlow. Pruning" + ASIDE + "Removing weights.")
    'SynFlow. Pruning'
    """
    return text.rpartition(ASIDE)[0] or text


def dumped(paper: Paper) -> str:
    """A paper as one line of JSON."""
    return sound(json.dumps(paper_to_json(paper), ensure_ascii=False))


def sound(text: str) -> str:
    """Text that can be stored: a lone surrogate (JSON can carry one) becomes a question mark."""
    return text.encode("utf-8", errors="replace").decode("utf-8")


def _shelves(ids: Iterable[str], words: Taxonomy) -> str:
    """Names of shelves, and aside what is on them: many papers are known by title alone.

    A description is one for a whole shelf. It helps to match words, and would make the vectors of
    all that stands there alike.
    """
    known: dict[str, Theme | Technique] = {**words.themes, **words.techniques}
    shelves = [known[each] for each in sorted(set(ids)) if each in known]
    names = ", ".join(shelf.name for shelf in shelves)
    return names + ASIDE + " ".join(shelf.description for shelf in shelves)


def _row(kind: str, own: str, title: str, text: str, **more: Any) -> Row:
    empty = dict.fromkeys(SCHEMA.names)
    text = sound(text)
    digest = hashlib.sha256(text.encode()).hexdigest()
    named = {"key": f"{kind}:{own}", "kind": kind, "id": own, "title": sound(title)}
    return {**empty, **named, "text": text, "digest": digest, **more}
