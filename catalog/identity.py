"""Which records are the same paper.

arXiv id, DOI and OpenReview id are aliases of one paper; a paper without any of them is known by
its normalised title and the surname of its first author.
"""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import parse_qs, unquote, urlsplit

from octavo.catalog.merging import merge
from octavo.catalog.records import Paper

__all__ = [
    "arxiv_id",
    "doi",
    "keys",
    "merge",
    "normalise_title",
    "openreview_id",
    "surname",
]

_MONTH = r"\d{2}(?:0[1-9]|1[0-2])"
_ARXIV = re.compile(
    r"(?:^\s*(?:arxiv\s*:\s*)?|arxiv\.org/[a-z]+/|alphaxiv\.org/[a-z]+/|10\.48550/arxiv\."
    r"|huggingface\.co/papers/|ar5iv(?:\.labs\.arxiv)?\.org/(?:html/|abs/)?|\barxiv:\s*)"
    rf"({_MONTH}\.\d{{4,5}}|[a-z]+(?:-[a-z]+)?(?:\.[a-z]{{2}})?/{_MONTH}\d{{3}})"
    r"(?:v(\d+))?(?![\dv])",
    re.IGNORECASE,
)
_DOI = re.compile(
    r"(?:^\s*|doi:\s*|doi\.org/|/doi/(?:abs/|full/|pdf/|epdf/)?)(10\.\d{4,9}/[^\s?#]+)",
    re.IGNORECASE,
)
_FORUM = re.compile(r"[A-Za-z0-9_-]{8,16}")


def arxiv_id(text: str) -> tuple[str, int | None] | None:
    """Plain arXiv id without version, and the version if given, of an id or any arXiv address.

    >>> arxiv_id("https://arxiv.org/pdf/2006.05467v3.pdf"), arxiv_id("arXiv:cs.LG/0102003")
    (('2006.05467', 3), ('cs/0102003', None))
    >>> arxiv_id("https://example.org/2006.05467") is None
    True
    """
    found = _ARXIV.search(unquote(text))
    if found is None:
        return None
    plain = re.sub(r"\.[a-z]{2}/", "/", found[1].lower())
    return plain, int(found[2]) if found[2] else None


def doi(text: str) -> str | None:
    """DOI in lower case, of a DOI or an address that carries one; arXiv's own DOIs are not taken.

    >>> doi("https://doi.org/10.1145/3447548.3467262"), doi("10.48550/arXiv.2006.05467")
    ('10.1145/3447548.3467262', None)
    """
    found = _DOI.search(unquote(text))
    if found is None or found[1].lower().startswith("10.48550/arxiv"):
        return None
    return found[1].lower().rstrip(".,;/").removesuffix(".pdf")


def openreview_id(text: str) -> str | None:
    """OpenReview's id in a forum or PDF address, also behind a mirror that keeps the address.

    >>> openreview_id("https://openreview.net/forum?noteId=x&id=Nf8yfPDFTl")
    'Nf8yfPDFTl'
    >>> openreview_id("https://mirror.example/openreview.net/pdf/Nf8yfPDFTl.pdf")
    'Nf8yfPDFTl'
    """
    plain = unquote(text).strip()
    if "openreview" not in plain.lower() and not re.search(r"/(?:forum|pdf)/?\?", plain):
        return None
    named = parse_qs(urlsplit(plain).query).get("id", [])
    named += re.findall(r"[?&]id=([^&#\s]+)", plain)
    named += re.findall(r"/(?:forum|pdf|attachment)/([^/?#.]+)", plain)
    return next((each for each in named if _FORUM.fullmatch(each)), None)


def normalise_title(title: str) -> str:
    r"""Title without case, TeX, punctuation, dashes: words and single spaces. Twice is once.

    >>> normalise_title(r"{BERT}: Pre--training of $\ell_1$ ‘Deep’ Nets in G\"odel's Caf\'e")
    'bert pre training of ell1 deep nets in godels cafe'
    """
    text = unicodedata.normalize("NFKC", title)
    text = re.sub(r"\\-|\u00ad|\u200b", "", text)
    text = re.sub(r"\\[\"'`^~=.](?=\{?\\?[A-Za-z])", "", text)
    text = re.sub(r"\\(?:text\w*|emph|math\w+)(?=\{)", "", text)
    text = re.sub(r"\\([A-Za-z]+)[ \t]*", r"\1", text)
    return _words(re.sub(r"[{}$^_'’‘`´]", "", text))


def surname(author: str) -> str:
    """Family name of an author, without case and accents, of either writing order.

    >>> surname("Hidenori Tanaka"), surname("Müller, Jürgen"), surname("van den Oord, A.")
    ('tanaka', 'muller', 'oord')
    """
    family = author.split(",")[0] if "," in author else author
    return (_words(family).split() or [""])[-1]


def keys(paper: Paper) -> frozenset[str]:
    """Aliases of a paper; two records with one in common are the same paper.

    >>> sorted(keys(Paper("x", "X", arxiv="2006.05467", openreview="Nf8yfPDFTl")))
    ['arxiv:2006.05467', 'openreview:Nf8yfPDFTl']
    >>> sorted(keys(Paper("x", "Up, or Down?", authors=("Markus Nagel",))))
    ['title:up or down|nagel']
    """
    named = {"arxiv": paper.arxiv, "doi": paper.doi, "openreview": paper.openreview}
    known = {f"{kind}:{value}" for kind, value in named.items() if value}
    first = surname(paper.authors[0]) if paper.authors else ""
    return frozenset(known or {f"title:{normalise_title(paper.title)}|{first}"})


def _words(text: str) -> str:
    """Lower-case letters and digits of any script, without accents; all else is space."""
    bare = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    bare = "".join(each for each in bare if not unicodedata.combining(each))
    bare = unicodedata.normalize("NFKC", bare).casefold()
    return " ".join("".join(each if each.isalnum() else " " for each in bare).split())
