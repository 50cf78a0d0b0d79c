"""Themes that show by themselves in the catalog and in each list it was read from, recorded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from octavo import bench, catalog
from octavo.catalog import Paper
from octavo.ingest.clusters import Clusters, cluster

FEWEST = 24  # papers of a list that is shown
ALL = "catalog"
RECORDED = Path("results") / "themes.jsonl"


def shelves(papers: Mapping[str, Paper]) -> dict[str, list[Paper]]:
    """All papers, then those of each source with enough of them, the largest first."""
    active = [paper for paper in papers.values() if paper.status == "active"]
    counts = Counter(name for paper in active for name in {s.id for s in paper.sources})
    made = {ALL: active}
    for name, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])):
        if count >= FEWEST:
            made[name] = [p for p in active if name in {s.id for s in p.sources}]
    return made


def measure(shelf: Mapping[str, Sequence[Paper]], advance: Callable[[str], None]) -> dict[str, Any]:
    """The themes of each shelf, as one JSON-ready document."""
    shown = []
    for name, papers in shelf.items():
        shown.append({"of": name, **_brief(cluster(papers))})
        advance(name)
    return {"shelves": shown}


def _brief(found: Clusters) -> dict[str, Any]:
    """Clusters without the whole list of each one's papers."""
    told = asdict(found)
    for each in told["themes"]:
        del each["members"]
    return {"summary": str(found), **told}


def record(document: Mapping[str, Any], root: Path = catalog.ROOT) -> None:
    """Append a run to `catalog/results/themes.jsonl`."""
    bench.append(root / RECORDED, [bench.provenance("themes") | dict(document)])


def table(document: Mapping[str, Any]) -> Any:
    """A row a shelf for the terminal."""
    from rich.table import Table

    shown = Table("of", "themes and papers", "adjusted Rand index", "largest", box=None)
    for each in document["shelves"]:
        largest = "; ".join(theme["name"] for theme in each["themes"][:3])
        shown.add_row(each["of"], each["summary"], f"{each['stability']:.2f}", largest)
    return shown
