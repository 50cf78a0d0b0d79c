"""``citation_*`` tags in a paper's page: what Zotero's connector and scholarly crawlers read."""

from __future__ import annotations

from octavo.catalog import Paper
from octavo.site.doors import address


def tags(paper: Paper) -> list[tuple[str, str]]:
    """Names and contents, an author a tag; a paper without authors has no author tag.

    >>> tags(Paper("x", "X", year=2020, arxiv="2006.05467", venue="NeurIPS 2020"))[:2]
    [('citation_title', 'X'), ('citation_publication_date', '2020')]
    """
    venue = paper.venue or ""
    published = bool(venue) and not venue.lower().startswith("arxiv")
    pairs = [("citation_title", paper.title)]
    pairs += [("citation_author", author) for author in paper.authors]
    pairs += [
        ("citation_publication_date", str(paper.year or "")),
        ("citation_conference_title", venue if published else ""),
        ("citation_arxiv_id", paper.arxiv or ""),
        ("citation_doi", paper.doi or ""),
        ("citation_pdf_url", f"https://arxiv.org/pdf/{paper.arxiv}" if paper.arxiv else ""),
        ("citation_public_url", paper.url or address.page(f"papers/{paper.id}")),
        ("citation_abstract", paper.abstract or ""),
    ]
    return [(name, value) for name, value in pairs if value]
