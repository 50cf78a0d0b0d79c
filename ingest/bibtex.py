"""Bibliographies through bibtexparser: whole entries become papers, broken ones are reported."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from bibtexparser.entrypoint import parse_string
from bibtexparser.model import (
    DuplicateBlockKeyBlock,
    DuplicateFieldKeyBlock,
    Entry,
    ParsingFailedBlock,
)
from pylatexenc.latex2text import LatexNodes2Text
from pylatexenc.latexwalker import LatexWalker, get_default_latex_context_db

from octavo.catalog import identity
from octavo.catalog.records import Paper, Source
from octavo.errors import InputError
from octavo.ingest.linked import named
from octavo.ingest.links import paper_link
from octavo.ingest.outline import tidy
from octavo.ingest.reading import Document, Reading, Rejection, fetch, within
from octavo.ingest.transport import Client

SECONDS = 60.0
TEX = re.compile(r"[\\{}$%~&#^_`]|''|--")  # without any of these a value is its own text
WHOLE = re.compile(  # what reaches over spaces
    r"\\[A-Za-z]+\*?\s|\\[\"'`^~=.]\s|\\[\s()\[\]]|(?<!\\)%|\$\$|\\begin|\\end|\\verb"
)
MARKS = re.compile(r"\\.|[{}$]|\s+", re.S)
SWALLOWED = re.compile(r"[}\"]\s*\n?\s*([A-Za-z_-]+)\s*=\s*[{\"\d]")


def read(
    source: str, client: Client, etag: str | None = None, modified: str | None = None
) -> Reading:
    """Papers of a BibTeX file or address.

    Raises InputError where no entry can be found at all.
    """
    document = fetch(source, client, etag, modified)
    if document.unchanged:
        return Reading((), etag=etag, modified=modified, unchanged=True)
    entries, rejected = entries_of(document)
    papers: list[Paper] = []
    for entry in entries:
        fields = {name: str(field.value) for name, field in entry.fields_dict.items()}
        why = broken(fields)
        if why:
            where = f"{document.name}:{_line(entry, fields)}: {entry.key}"
            rejected.append(Rejection(where, why))
        else:
            papers.append(paper_of(fields, Source(_name(document), url=document.url)))
    if not papers and not rejected:
        raise InputError(f"{document.name}: no BibTeX entry in it; entries begin with @article{{…")
    links = sum(bool(paper.arxiv or paper.doi or paper.openreview) for paper in papers)
    order = tuple(sorted(rejected, key=lambda each: _number(each.what)))
    return Reading(tuple(papers), len(papers), links, order, document.etag, document.modified)


def entries_of(document: Document) -> tuple[list[Entry], list[Rejection]]:
    """Entries that parse, in file order (a repeated key is no fault), and those that do not."""
    logging.getLogger("bibtexparser").setLevel(logging.CRITICAL)  # what it says is in `rejected`
    parsed = within(SECONDS, document.name, lambda: parse_string(document.text))
    entries = list(parsed.entries)
    rejected: list[Rejection] = []
    for block in parsed.failed_blocks:
        inner = block.ignore_error_block if isinstance(block, ParsingFailedBlock) else None
        if isinstance(block, DuplicateBlockKeyBlock | DuplicateFieldKeyBlock) and isinstance(
            inner, Entry
        ):
            entries.append(inner)
        else:
            start = re.match(r"\s*(@\w+\s*\{?\s*[^\s,]*)", block.raw or "")
            what = f"{document.name}:{(block.start_line or 0) + 1}: {start[1] if start else '@'}"
            rejected.append(Rejection(what, "not closed, or a brace too many; the entry is broken"))
    return sorted(entries, key=lambda entry: entry.start_line or 0), rejected


def broken(fields: Mapping[str, str]) -> str | None:
    """What is wrong with an entry that parses: a lost comma makes a field swallow the next one."""
    for name, value in fields.items():
        swallowed = SWALLOWED.search(value)
        if swallowed:
            return f"no comma after {name}, so {swallowed[1]} is lost in it; the entry is broken"
    return None if fields.get("title", "").strip(' {}"') else "no title; the entry is broken"


def paper_of(fields: Mapping[str, str], source: Source) -> Paper:
    """The paper of whole fields, TeX made text; arXiv id and DOI wherever they are given.

    >>> made = paper_of({"title": "{BERT} for all", "author": "Doe, Jane and others"}, Source("x"))
    >>> made.title, made.authors, made.authors_complete
    ('BERT for all', ('Jane Doe',), False)
    """
    names = [
        plain(name) for name in re.split(r"\s+and\s+", fields.get("author", "")) if name.strip()
    ]
    authors = tuple(_in_order(name) for name in names if name.lower() not in ("others", "et al."))
    year = re.search(r"\b(19|20)\d\d\b", fields.get("year", "") or fields.get("date", ""))
    venue = fields.get("booktitle") or fields.get("journal") or fields.get("journaltitle")
    link = paper_link(fields.get("url", "").strip())
    arxiv = _arxiv(fields)
    return named(
        Paper(
            id="",
            title=plain(fields["title"]),
            authors=authors,
            authors_complete=bool(authors) and len(authors) == len(names),
            year=int(year[0]) if year else None,
            venue=plain(venue) if venue else None,
            arxiv=arxiv[0] if arxiv else (link.arxiv if link else None),
            arxiv_version=arxiv[1] if arxiv else (link.arxiv_version if link else None),
            doi=identity.doi(fields.get("doi", "")) or (link.doi if link else None),
            openreview=link.openreview if link else None,
            url=link.url if link else None,
            abstract=plain(fields["abstract"]) if fields.get("abstract") else None,
            sources=(source,),
        )
    )


def plain(tex: str) -> str:
    """Text of a TeX value, its formulas kept as they are.

    Reading TeX costs ten microseconds a character, so only the words that hold some are read.
    """
    if TEX.search(tex) is None:
        return tidy(tex)
    parts = [tex] if WHOLE.search(tex) else pieces(tex)
    try:
        text = "".join(_read(part) if TEX.search(part) else part for part in parts)
    except Exception:  # the value is someone's TeX; as it stands it is still readable
        text = tex
    return tidy(re.sub(r"[{}]", "", text))


def pieces(tex: str) -> list[str]:
    r"""The value cut at spaces outside braces and formulas, each space with the piece before it.

    Where braces or formulas do not close it is one piece.

    >>> pieces(r"the {Two Words} of $a + b$, 5\,\% each")
    ['the ', '{Two Words} ', 'of ', '$a + b$, ', '5\\,\\% ', 'each']
    """
    found, start, depth, formula = [], 0, 0, False
    for mark in MARKS.finditer(tex):
        sign = mark[0]
        depth += {"{": 1, "}": -1}.get(sign, 0)
        formula ^= sign == "$"
        if depth < 0:
            return [tex]
        if sign.isspace() and depth == 0 and not formula:
            found.append(tex[start : mark.end()])
            start = mark.end()
    return [tex] if depth or formula else [*found, tex[start:]]


def _read(tex: str) -> str:
    walker = LatexWalker(tex, latex_context=_words_of_tex())
    return str(_to_text().nodelist_to_text(walker.get_latex_nodes()[0]))


@cache
def _to_text() -> LatexNodes2Text:
    return LatexNodes2Text(math_mode="verbatim")


@cache
def _words_of_tex() -> Any:
    return get_default_latex_context_db()


def _arxiv(fields: Mapping[str, str]) -> tuple[str, int | None] | None:
    told = [fields.get("eprint", "")] if "arxiv" in _archive(fields) else []
    told += [fields.get(name, "") for name in ("journal", "note", "url", "howpublished", "doi")]
    return next((found for text in told if (found := identity.arxiv_id(text))), None)


def _archive(fields: Mapping[str, str]) -> str:
    return (fields.get("archiveprefix") or fields.get("eprinttype") or "arxiv").lower()


def _in_order(name: str) -> str:
    family, comma, given = name.partition(",")
    return f"{given.rpartition(',')[2].strip()} {family.strip()}".strip() if comma else name


def _name(document: Document) -> str:
    return f"bibtex:{(document.url or document.name).rstrip('/').rsplit('/', 1)[-1]}"


def _line(entry: Entry, fields: Mapping[str, str]) -> int:
    for name, value in fields.items():
        if SWALLOWED.search(value):
            line = entry.fields_dict[name].start_line
            return (line if line is not None else entry.start_line or 0) + 1
    return (entry.start_line or 0) + 1


def _number(where: str) -> int:
    found = re.search(r":(\d+):", where)
    return int(found[1]) if found else 0
