"""Which paper an abstract is of.

The catalog keeps no abstracts, so an abstract is compared with titles and summaries. It is taken
for the paper that shares most words with it (BM25), if that paper stands clear of the next by
MARGIN and means the same (cosine of the vectors at least NEAR). Abstracts of papers that are not
there stay below: their best match is one of many alike.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from octavo.catalog.records import Paper
from octavo.ingest.table import Table, closest

MARGIN = 1.3
NEAR = 0.6
WORDS_MARGIN = 1.6  # where there are no vectors


def recognise(table: Table, abstract: str, vector: Any | None) -> str | None:
    """Id of the paper an abstract is of, None if that is not clear."""
    best = closest(table, abstract, 2)
    if not best:
        return None
    ratio = best[0]["_score"] / best[1]["_score"] if len(best) > 1 else float("inf")
    if vector is None or best[0]["vector"] is None:
        return str(best[0]["id"]) if ratio >= WORDS_MARGIN else None
    near = float(np.dot(np.asarray(best[0]["vector"]), vector))
    return str(best[0]["id"]) if ratio >= MARGIN and near >= NEAR else None


def as_known(paper: Paper, known: Paper) -> Paper:
    """The known paper's name with what is new: the abstract and where it was found."""
    return Paper(
        id=known.id,
        title=known.title,
        authors=known.authors,
        authors_complete=known.authors_complete,
        arxiv=known.arxiv,
        doi=known.doi,
        openreview=known.openreview,
        url=known.url,
        abstract=paper.abstract,
        sources=paper.sources,
    )
