"""arXiv's search API: ids and queries to papers, one request in three seconds.

The page's address and its parsing are those of the `arxiv` package; what lies between, asking
and believing, is ours: a page counts only if it is whole, is a feed, and holds what it announces.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlencode

import arxiv
from arxiv import _feed as package_feed
from lxml import etree

from octavo.catalog import identity
from octavo.catalog.records import Paper, Source
from octavo.errors import InputError
from octavo.ingest.linked import named
from octavo.ingest.outline import tidy
from octavo.ingest.reading import Reading, Rejection
from octavo.ingest.transport import Client

PAGE = 100
LIMIT = 100  # papers of a query, unless more are asked for
TRIES = 3  # of a page that came whole but wrong
NEWEST = {"sortBy": "submittedDate", "sortOrder": "descending"}
ATOM = "{http://www.w3.org/2005/Atom}"
WITHDRAWN = re.compile(
    r"\W*(?:(?:this|the|our)\s+)?(?:(?:paper|article|submission|manuscript|work|preprint|report)\s+)?"
    r"(?:(?:has|have)\s+been\s+|is\s+|was\s+|being\s+)?(?:temporarily\s+)?withdrawn\b",
    re.IGNORECASE,
)


class WrongPageError(Exception):
    """A whole answer that is not what was asked for."""


def read(
    source: str,
    client: Client,
    etag: str | None = None,
    modified: str | None = None,
    *,
    limit: int = LIMIT,
) -> Reading:
    """Papers of ids (or addresses), comma-separated, or of a query in arXiv's own syntax.

    Raises InputError where arXiv does not answer, or answers with something else.
    """
    ids = ids_of(source)
    pages = _id_pages(ids, client) if ids else _query_pages(source, client, limit)
    papers = [paper_of(result, source if not ids else None) for page in pages for result in page]
    rejected = _missing(ids, papers)
    kept = papers[: limit if not ids else len(papers)]
    return Reading(tuple(kept), 0, len(kept), rejected)


def ids_of(source: str) -> list[str]:
    """The ids a source lists, with their versions; none if it is a query.

    >>> ids_of("2006.05467v3, https://arxiv.org/abs/2004.10568")
    ['2006.05467v3', '2004.10568']
    >>> ids_of("cat:cs.LG AND abs:pruning")
    []
    """
    found = [identity.arxiv_id(part) for part in re.split(r"[,\s]+", source.strip()) if part]
    known = [each for each in found if each is not None]
    if len(known) < len(found):
        return []
    return [plain + (f"v{version}" if version else "") for plain, version in known]


class Page(NamedTuple):
    """One answer of the API: its results, and how many the whole query has."""

    results: list[Any]  # of arxiv.Result; the package carries no types
    total: int


def page_of(body: bytes) -> Page:
    """Read one answer of the API.

    Raises WrongPageError for an answer that is cut or no feed, InputError for arXiv's own error
    entry.
    """
    try:
        strict = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=False)
        root = etree.fromstring(body, strict)
    except etree.XMLSyntaxError as error:
        start = tidy(body[:200].decode("utf-8", "replace"))[:60]
        raise WrongPageError(f"no whole feed ({start!r}: {tidy(str(error))})") from None
    if root.tag != f"{ATOM}feed":
        raise WrongPageError(f"no feed but <{etree.QName(root).localname}>")
    parsed = package_feed.parse(body)
    for result in parsed.results:
        if "/api/errors" in result.entry_id:
            raise InputError(f"arXiv: {tidy(result.summary)}; see its user manual on queries")
    return Page(parsed.results, parsed.header.total_results)


def paper_of(result: Any, query: str | None) -> Paper:
    """The paper of one result."""
    found = identity.arxiv_id(result.entry_id)
    if found is None:
        raise InputError(f"arXiv: {result.entry_id!r} is no arXiv id")
    plain, version = found
    comment, abstract = result.comment or "", tidy(result.summary)
    withdrawn = WITHDRAWN.match(comment) or WITHDRAWN.match(abstract)
    url = f"https://arxiv.org/abs/{plain}"
    return named(
        Paper(
            id="",
            title=tidy(result.title),
            authors=tuple(tidy(author.name) for author in result.authors),
            authors_complete=bool(result.authors),
            year=result.published.year,
            venue=tidy(result.journal_ref) if result.journal_ref else None,
            arxiv=plain,
            arxiv_version=version,
            doi=identity.doi(result.doi or ""),
            url=url,
            abstract=abstract or None,
            categories=tuple(dict.fromkeys([result.primary_category, *result.categories])),
            status="withdrawn" if withdrawn else "active",
            sources=(Source("arxiv.org", url=url, section=query),),
        )
    )


def _id_pages(ids: Sequence[str], client: Client) -> Iterator[list[Any]]:
    for start in range(0, len(ids), PAGE):
        some = ids[start : start + PAGE]
        search = {"id_list": ",".join(some), "start": "0", "max_results": str(len(some))}
        yield _page(search, client).results  # unknown ids are left out, see _missing


def _query_pages(query: str, client: Client, limit: int) -> Iterator[list[Any]]:
    seen: set[str] = set()
    total, start = limit, 0
    while start < min(total, limit):
        size = min(PAGE, limit - start)
        search = {"search_query": query, "start": str(start), "max_results": str(size), **NEWEST}
        results, total = _page(search, client, start, size)
        fresh = [result for result in results if result.entry_id not in seen]
        if results and not fresh:
            raise InputError(f"arXiv: repeats a page of {query!r}; nothing taken, run again later")
        seen |= {result.entry_id for result in fresh}
        yield fresh
        start += max(len(results), 1)


def _page(search: dict[str, str], client: Client, start: int = 0, size: int = 0) -> Page:
    """A page that holds what it announces: `size` papers from `start`, or all that are left."""
    url = arxiv.Client.query_url_format.format(urlencode(search))
    for attempt in range(1, TRIES + 1):
        try:
            page = page_of(client.get(url).body)
            if len(page.results) < min(size, page.total - start):
                raise WrongPageError(f"{len(page.results)} of {page.total} papers")
        except WrongPageError as wrong:
            if attempt == TRIES:
                raise InputError(
                    f"arXiv: answered with {wrong} ({TRIES} tries); nothing taken, run again later"
                ) from None
            client.sleep(3.0 * 2**attempt)
        else:
            return page
    raise AssertionError("unreachable")


def _missing(ids: Sequence[str], papers: Sequence[Paper]) -> tuple[Rejection, ...]:
    have = {paper.arxiv for paper in papers}
    plain = {own: identity.arxiv_id(own) for own in ids}
    return tuple(
        Rejection(own, "arXiv knows no such paper")
        for own, found in plain.items()
        if found is not None and found[0] not in have
    )
