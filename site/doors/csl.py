"""A paper as a CSL-JSON item, the form that Zotero, Pandoc and citeproc read."""

from __future__ import annotations

from typing import Any

from octavo.catalog import Paper

PARTICLES = {"da", "de", "del", "den", "der", "di", "du", "la", "le", "ten", "ter", "van", "von"}


def item(paper: Paper, key: str) -> dict[str, Any]:
    """The item; what is not known is absent. An incomplete list of authors ends in *others*."""
    venue = paper.venue or ""
    published = bool(venue) and not venue.lower().startswith("arxiv")
    authors = [name(author) for author in paper.authors]
    if authors and not paper.authors_complete:
        authors.append({"literal": "others"})
    facts: dict[str, Any] = {
        "id": paper.id,
        "citation-key": key,
        "type": "paper-conference" if published else "article",
        "title": paper.title,
        "author": authors,
        "issued": {"date-parts": [[paper.year]]} if paper.year else None,
        "container-title": venue if published else None,
        "archive": "arXiv" if paper.arxiv else None,
        "number": f"arXiv:{paper.arxiv}" if paper.arxiv else None,
        "DOI": paper.doi,
        "URL": paper.url or (f"https://arxiv.org/abs/{paper.arxiv}" if paper.arxiv else None),
        "abstract": paper.abstract,
        "status": "withdrawn" if paper.status == "withdrawn" else None,
    }
    return {name: value for name, value in facts.items() if value}


def name(author: str) -> dict[str, str]:
    """An author's name in parts; one word stays as it stands.

    >>> name("Aaron van den Oord")
    {'family': 'Oord', 'given': 'Aaron', 'non-dropping-particle': 'van den'}
    >>> name("Han, Song"), name("DeepSeek-AI")
    ({'family': 'Han', 'given': 'Song'}, {'literal': 'DeepSeek-AI'})
    """
    family, comma, given = (part.strip() for part in author.partition(","))
    if comma and family and given:
        return {"family": family, "given": given}
    words = author.split()
    if len(words) < 2:
        return {"literal": author}
    first = len(words) - 1
    while first > 1 and words[first - 1].lower() in PARTICLES:
        first -= 1
    parts = {"family": words[-1], "given": " ".join(words[:first])}
    particle = " ".join(words[first:-1])
    return parts | ({"non-dropping-particle": particle} if particle else {})
