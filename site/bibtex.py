"""A paper as a BibTeX entry: keys in a fixed order, TeX's special characters escaped."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from octavo.catalog import Paper

SPECIAL = {"\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}"}
SPECIAL |= {"^": r"\textasciicircum{}"} | {c: "\\" + c for c in "&%$#_"}


def escape(value: str) -> str:
    r"""Text as TeX reads it literally.

    >>> print(escape("R&D at 50 % of $x_1$"))
    R\&D at 50 \% of \$x\_1\$
    """
    return "".join(SPECIAL.get(c, c) for c in value)


def key(paper: Paper) -> str:
    """Citation key: first author's surname, year, first long word of the title; else the id."""
    words = re.findall(r"[a-z0-9]+", _plain(paper.title))
    word = next((w for w in words if len(w) > 3), words[0] if words else "")
    surname = re.sub(r"[^a-z]", "", _plain(paper.authors[0].split()[-1])) if paper.authors else ""
    return f"{surname}{paper.year or ''}{word}" if surname else paper.id


def keys(papers: Iterable[Paper]) -> dict[str, str]:
    """A citation key for each paper, by id; where several would have one, a letter follows.

    >>> keys([Paper("b", "Nets", ("A. Li",), year=2020), Paper("a", "Nets", ("B. Li",), year=2020)])
    {'a': 'li2020netsa', 'b': 'li2020netsb'}
    """
    sharing: dict[str, list[str]] = {}
    for paper in papers:
        sharing.setdefault(key(paper), []).append(paper.id)
    return {
        paper_id: plain if len(ids) == 1 else plain + _letters(place)
        for plain, ids in sharing.items()
        for place, paper_id in enumerate(sorted(ids))
    }


def _letters(place: int) -> str:
    return (_letters(place // 26 - 1) if place >= 26 else "") + chr(ord("a") + place % 26)


def entry(paper: Paper, named: str) -> str:
    """The entry: ``@inproceedings`` where a conference is known, else ``@misc``."""
    authors = list(paper.authors) + (
        [] if paper.authors_complete or not paper.authors else ["others"]
    )
    venue = paper.venue or ""
    published = bool(venue) and not venue.lower().startswith("arxiv")
    fields = [
        ("title", "{" + escape(paper.title) + "}"),
        ("author", " and ".join(a if a == "others" else escape(a) for a in authors)),
        ("booktitle" if published else "note", escape(venue)),
        ("year", str(paper.year or "")),
        ("eprint", paper.arxiv or ""),
        ("archivePrefix", "arXiv" if paper.arxiv else ""),
        ("primaryClass", paper.categories[0] if paper.arxiv and paper.categories else ""),
        ("doi", paper.doi or ""),
        ("url", paper.url or (f"https://arxiv.org/abs/{paper.arxiv}" if paper.arxiv else "")),
    ]
    lines = [f"  {name} = {{{value}}}," for name, value in fields if value]
    kind = "inproceedings" if published else "misc"
    return "\n".join([f"@{kind}{{{named},", *lines, "}"])


def _plain(value: str) -> str:
    folded = unicodedata.normalize("NFKD", value)
    return folded.encode("ascii", "ignore").decode().lower()
