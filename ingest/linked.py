"""From links on a page to papers: one paper an address, every place it is linked kept."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from octavo.catalog.records import Paper, Source
from octavo.errors import InputError
from octavo.ingest.links import keys, paper_link
from octavo.ingest.outline import Anchor

NOT_TITLES = re.compile(
    r"(?:the|this|that|these|here|our|see|read|check|another|an?|link|click|paper|source|code|"
    r"project|pdf|arxiv|blog|slides|video|website)\b|.*\bet\.? ?al\b|.*https?:",
    re.IGNORECASE,
)
UNIDENTIFIED = "Unidentified: "  # begins the stand-in title of a paper known by its abstract
KEYED = re.compile(r"(?:arxiv|doi|openreview|neurips|icml|iclr|colm|mlsys|pmlr|acl|cvf):\S+")


def paper_at(url: str, *, title: str = "", **facts: Any) -> Paper:
    """A paper known by its address. Without a title it is called by its key, never by a guess.

    >>> paper_at("https://arxiv.org/abs/2006.05467v2").title
    'arxiv:2006.05467'
    """
    link = paper_link(url)
    if link is None:
        raise InputError(f"{url}: no address of a paper; give an arXiv, OpenReview, DOI … page")
    return named(
        Paper(
            id="",
            title=title or link.key,
            arxiv=link.arxiv,
            arxiv_version=link.arxiv_version,
            openreview=link.openreview,
            doi=link.doi,
            url=link.url,
            **facts,
        )
    )


def named(paper: Paper) -> Paper:
    """The paper with an id made from its first key, or from its title where it has no other.

    >>> named(Paper("", "X", arxiv="2006.05467")).id
    'arxiv-2006-05467'
    """
    key = min(keys(paper), key=lambda k: ("arxiv doi openreview".find(k.split(":")[0]) % 99, k))
    kind, rest = key.split(":", 1)
    words = kebab(rest if kind == "title" else f"{kind}-{rest}")[:60].strip("-")
    exact = kind not in ("title", "doi") and rest == rest.lower()
    mark = "" if exact else "-" + hashlib.sha256(key.encode()).hexdigest()[:6]
    return replace(paper, id=(words or kind) + mark)


def untitled(paper: Paper) -> bool:
    """Whether no source has told the title yet, so that something stands in for it."""
    return paper.title.startswith(UNIDENTIFIED) or KEYED.fullmatch(paper.title) is not None


def linked_papers(anchors: Iterable[Anchor], source: Source) -> list[Paper]:
    """One paper for each distinct address, in the order of first links.

    Each place becomes a Source with the section (``Pruning > At initialisation``) and the anchor
    text. The title is the text of a link that is a heading, else an anchor that reads like one.
    """
    places: dict[str, list[tuple[Anchor, str]]] = {}
    under: dict[tuple[str, ...], set[str]] = {}
    for anchor in anchors:
        link = paper_link(anchor.href)
        if link is not None:
            places.setdefault(link.key, []).append((anchor, link.url))
            under.setdefault(anchor.section, set()).add(link.key)
    alone = {section for section, found in under.items() if len(found) == 1}
    return [_paper(found, source, alone) for found in places.values()]


def _paper(places: list[tuple[Anchor, str]], source: Source, alone: set[tuple[str, ...]]) -> Paper:
    sources = [
        replace(source, section=" > ".join(anchor.section) or None, anchor=anchor.text or None)
        for anchor, _ in places
    ]
    return paper_at(
        places[0][1],
        title=_title([anchor for anchor, _ in places], alone),
        sources=tuple(dict.fromkeys(sources)),
    )


def _title(anchors: list[Anchor], alone: set[tuple[str, ...]]) -> str:
    """Take a heading that is the link, or an anchor that reads like a title.

    Else the heading above a bare address that is the only paper under it.
    """
    headings = [a.text for a in anchors if a.in_heading and len(a.text.split()) > 1]
    titles = [a.text for a in anchors if reads_like_a_title(a.text)]
    above = [
        a.section[-1] for a in anchors if a.section and a.text == a.href and a.section in alone
    ]
    return next(iter(headings + titles + [t for t in above if reads_like_a_title(t)]), "")


def reads_like_a_title(text: str) -> bool:
    """Whether an anchor text can be taken for a paper's title: long enough, and no remark.

    >>> reads_like_a_title("Pruning neural networks without any data")
    True
    >>> reads_like_a_title("this paper by Frankle et al. on lottery tickets")
    False
    """
    words = text.split()
    begins = text[:1].isupper() or text[:1].isdigit()
    return 4 < len(words) < 40 and begins and text[-1] not in ".,;" and not NOT_TITLES.match(text)


def kebab(text: str) -> str:
    """Lower-case words joined by hyphens.

    >>> kebab("Pruning at Initialisation!")
    'pruning-at-initialisation'
    """
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
