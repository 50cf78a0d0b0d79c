"""Papers, methods and the whole catalog in schema.org's words, as JSON-LD."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from octavo.catalog import Method, Paper
from octavo.site.doors import address
from octavo.site.holdings import Holdings

Node = dict[str, Any]
CONTEXT = "https://schema.org"
LICENCE = "https://www.apache.org/licenses/LICENSE-2.0"
ABOUT = (
    "Papers on neural-network compression and efficient deep learning, the methods in them, and "
    "each method's claims: what the paper reports beside what was measured."
)


def paper(record: Paper, holdings: Holdings) -> Node:
    """A paper as ScholarlyArticle."""
    here = address.page(f"papers/{record.id}")
    ids = {"arXiv": record.arxiv, "DOI": record.doi, "OpenReview": record.openreview}
    same = [
        record.arxiv and f"https://arxiv.org/abs/{record.arxiv}",
        record.doi and f"https://doi.org/{record.doi}",
        record.openreview and f"https://openreview.net/forum?id={record.openreview}",
        record.url,
    ]
    return _filled(
        {
            "@type": "ScholarlyArticle",
            "@id": here,
            "url": here,
            "name": record.title,
            "headline": record.title,
            "author": [{"@type": "Person", "name": author} for author in record.authors],
            "datePublished": str(record.year) if record.year else None,
            "abstract": record.abstract,
            "description": record.summary,
            "publication": {"@type": "PublicationEvent", "name": record.venue}
            if record.venue
            else None,
            "identifier": [
                {"@type": "PropertyValue", "propertyID": kind, "value": value}
                for kind, value in ids.items()
                if value
            ],
            "sameAs": list(dict.fromkeys(each for each in same if each)),
            "keywords": _names({tag.id for tag in record.tags}, holdings),
            "creativeWorkStatus": "withdrawn" if record.status == "withdrawn" else None,
        }
    )


def method(record: Method, holdings: Holdings) -> Node:
    """A method that runs as SoftwareSourceCode; one that is only described as TechArticle."""
    here = address.page(f"methods/{record.id}")
    module = holdings.module(record.id)
    code: Node = {"@type": "TechArticle", "about": record.name}
    if module is not None:
        code = {
            "@type": "SoftwareSourceCode",
            "programmingLanguage": "Python",
            "codeSampleType": "full (compile ready) solution",
            "encoding": {
                "@type": "MediaObject",
                "contentUrl": here + module.name,
                "encodingFormat": "text/x-python",
            },
        }
    return _filled(
        code
        | {
            "@id": here,
            "url": here,
            "name": record.name,
            "description": record.idea,
            "license": LICENCE,
            "keywords": _names({record.theme, *record.techniques}, holdings),
            "citation": [
                {"@type": "ScholarlyArticle", "@id": address.page(f"papers/{p}"), "name": q.title}
                for p in record.papers
                if (q := holdings.papers.get(p))
            ],
        }
    )


def dataset(holdings: Holdings, files: Mapping[str, tuple[str, str]] | None = None) -> Node:
    """The whole catalog as Dataset; ``files`` maps paths of downloads to media type and name."""
    found = [
        {
            "@type": "DataDownload",
            "name": name,
            "contentUrl": address.file(path),
            "encodingFormat": media,
        }
        for path, (media, name) in (files or {}).items()
    ]
    return _filled(
        {
            "@type": "Dataset",
            "@id": address.page("data"),
            "url": address.page("data"),
            "name": "Octavo",
            "description": ABOUT,
            "license": LICENCE,
            "isAccessibleForFree": True,
            "creator": {"@type": "Organization", "name": "The Octavo authors"},
            "keywords": [theme.name for theme in holdings.taxonomy.themes.values()],
            "distribution": found,
        }
    )


def plain(path: str, name: str, about: str) -> Node:
    """Any other page as WebPage."""
    here = address.page(path)
    return _filled({"@type": "WebPage", "@id": here, "url": here, "name": name} | {"about": about})


def document(nodes: Iterable[Node]) -> str:
    r"""A document of one node, or a graph of several; safe inside a script element.

    >>> document([{"@type": "Dataset", "name": "</script>"}])
    '{"@context": "https://schema.org", "@type": "Dataset", "name": "\\u003c/script>"}'
    """
    each = list(nodes)
    inner = each[0] if len(each) == 1 else {"@graph": each}
    said = json.dumps({"@context": CONTEXT, **inner}, ensure_ascii=False)
    return said.replace("<", "\\u003c")


def _names(ids: Iterable[str], holdings: Holdings) -> list[str]:
    known = holdings.taxonomy.themes | holdings.taxonomy.techniques
    return sorted(known[each].name for each in ids if each in known)


def _filled(node: Node) -> Node:
    return {name: value for name, value in node.items() if value not in (None, [], "")}
