"""Which addresses lead to a paper, and the one name each paper's address comes down to.

A key such as ``neurips:7350`` stands for every address of that page (http or https, abstract or
PDF), so that two sources that link the same paper differently are seen to agree.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from octavo.catalog import identity
from octavo.catalog.records import Paper

LONGEST = 2000  # characters of an address that is still looked at
OPENREVIEW_ID = re.compile(r"[A-Za-z0-9_-]{9,12}")
PROCEEDINGS = (
    (
        re.compile(r"(?:papers|proceedings|dev)?\.?(?:nips|neurips)\.cc"),
        re.compile(r"/paper(?:_files/paper)?/(?:\d{4}/)?(?:hash|file)/([0-9a-f]{32})"),
        "neurips:{0}",
    ),
    (
        re.compile(r"(?:papers|proceedings|dev)?\.?(?:nips|neurips)\.cc"),
        re.compile(r"/paper/(\d+)-"),
        "neurips:{0}",
    ),
    (
        re.compile(r"(?:nips|neurips)\.cc"),
        re.compile(r"/virtual/\d{4}/\w+/\w+_([0-9a-f]{32})\.html"),
        "neurips:{0}",
    ),
    (
        re.compile(r"(icml|iclr|nips|neurips|colm|mlsys)(?:web)?\.(?:cc|org)"),
        re.compile(r"/virtual/(\d{4})/(?:\w+/)?(?:poster|oral|spotlight|paper)/(\d+)"),
        "{0}:{1}/{2}",
    ),
    (
        re.compile(r"proceedings\.mlr\.press"),
        re.compile(r"/(v\d+|r\d+)/([a-z0-9-]+)(?:/[^/]*)?(?:\.html|\.pdf)?"),
        "pmlr:{0}/{1}",
    ),
    (
        re.compile(r"aclanthology\.org|(?:www\.)?aclweb\.org"),
        re.compile(
            r"/(?:anthology/)?([A-Z]\d\d-\d{4}|\d{4}\.[a-z0-9_-]+\.\d+)(?:v\d+)?(?:\.pdf)?/?"
        ),
        "acl:{0}",
    ),
    (
        re.compile(r"openaccess\.thecvf\.com"),
        re.compile(r"/.*/([A-Za-z0-9_.-]+?_paper)(?:\.html|\.pdf)"),
        "cvf:{0}",
    ),
)


@dataclass(frozen=True)
class PaperLink:
    """An address that leads to a paper. ``key`` is its name, the ids are what it carries."""

    url: str
    key: str
    arxiv: str | None = None
    arxiv_version: int | None = None
    openreview: str | None = None
    doi: str | None = None


def paper_link(url: str) -> PaperLink | None:
    """Read an address; None where it leads to no paper.

    >>> paper_link("http://arxiv.org/abs/2505.12514v2").key
    'arxiv:2505.12514'
    >>> paper_link("https://papers.example.org/paper/4OsgYD7em5").key
    'openreview:4OsgYD7em5'
    >>> paper_link("http://papers.nips.cc/paper/7999-on-neuronal-capacity").key
    'neurips:7999'
    >>> paper_link("https://example.org/blog/pruning") is None
    True
    """
    if len(url) > LONGEST:
        return None
    try:
        parts = urlsplit(url.strip())
        host = (parts.hostname or "").removeprefix("www.")
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not host:
        return None
    clean = parts._replace(fragment="").geturl()
    return next((link for read in READERS if (link := read(clean, parts, host))), None)


def _arxiv(url: str, parts: SplitResult, host: str) -> PaperLink | None:
    """Read arXiv's own addresses, and mirrors that keep its ids (``/papers/2006.05467``)."""
    mirror = re.fullmatch(
        r"/(?:abs|pdf|html|papers?)/(\d{4}\.\d{4,5}(?:v\d+)?)(?:\.pdf)?/?", parts.path
    )
    found = identity.arxiv_id(mirror[1] if mirror else url)
    if found is None:
        return None
    return PaperLink(url, f"arxiv:{found[0]}", arxiv=found[0], arxiv_version=found[1])


def _doi(url: str, parts: SplitResult, host: str) -> PaperLink | None:
    found = identity.doi(url)
    return PaperLink(url, f"doi:{found}", doi=found) if found else None


def _proceedings(url: str, parts: SplitResult, host: str) -> PaperLink | None:
    for hosts, path, name in PROCEEDINGS:
        at = hosts.fullmatch(host.lower())
        found = path.match(parts.path) if at else None
        if at and found:
            return PaperLink(url, name.format(*at.groups(), *found.groups()).lower())
    return None


def _openreview(url: str, parts: SplitResult, host: str) -> PaperLink | None:
    """A forum or PDF of OpenReview, or a mirror whose address ends in such an id.

    ICLR's own pages do (``poster_SkgpBJrtvS.html``). On a mirror the id must look drawn by lot
    (capitals inside, not a word), or any ``/paper/attention`` would pass.
    """
    found = identity.openreview_id(url) or _mirrored(parts.path)
    return PaperLink(url, f"openreview:{found}", openreview=found) if found else None


def _mirrored(path: str) -> str | None:
    *folders, last = re.sub(r"\.(?:html|pdf)$", "", path.rstrip("/")).split("/")
    name = last.removeprefix("poster_")
    told = name != last or (folders and folders[-1] in ("paper", "papers", "forum", "poster"))
    return name if told and OPENREVIEW_ID.fullmatch(name) and _by_lot(name) else None


def _by_lot(name: str) -> bool:
    inside = name[1:]
    return any(c.isupper() for c in inside) and any(c.islower() or c.isdigit() for c in inside)


READERS = (_arxiv, _proceedings, _doi, _openreview)


def keys(paper: Paper) -> frozenset[str]:
    """Names that make two records one paper: ids and proceedings pages, its own and its links'.

    A paper without any of them has its title and first author (see octavo.catalog.identity).
    """
    pages = {link.key for url in (paper.url, *paper.links) if url and (link := paper_link(url))}
    own = {kind for kind in ("arxiv", "doi", "openreview") if getattr(paper, kind)}
    further = {key for key in pages if key.split(":")[0] not in own}
    named = identity.keys(paper)
    return frozenset(further | {key for key in named if not (further and key.startswith("title:"))})
