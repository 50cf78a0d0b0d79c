"""What the house holds, gathered and counted once: the pages only read it."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import octavo.catalog as catalog
from octavo.catalog import Followed, Method, Paper, Result, Taxonomy
from octavo.ingest import duplicates
from octavo.ingest.digest import Desk, Digest
from octavo.ingest.duplicates import Pair
from octavo.site import bibtex

VERDICTS = ("holds", "trend only", "not reproduced")
NEWEST_WEEKS = 12  # that have a digest
BUSY = 5  # papers of an older week that has one, too
KERNEL_FILES = (".py", ".cpp")


@dataclass(frozen=True)
class Holdings:
    """Papers, methods, vocabulary and runs, with the folders that hold the code.

    ``latest`` gives for each method the newest result of each of its claims, ``speeds`` for each
    kernel its newest recorded run; ``models``, ``searches`` and ``tagger`` hold the newest run of
    whole models, of the search page and of the tagger's evaluation, if any, ``encoders``, ``scale``
    and ``emerging`` those of search with each encoder, of ten thousand papers and of the themes
    that clustering finds; ``history`` every result of each method that has one.
    """

    papers: Mapping[str, Paper]
    methods: Mapping[str, Method]
    taxonomy: Taxonomy
    latest: Mapping[str, Mapping[str, Result]]
    impls: Path
    kernels_dir: Path
    followed: tuple[Followed, ...] = ()
    speeds: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    models: Sequence[Mapping[str, Any]] = ()
    searches: Sequence[Mapping[str, Any]] = ()
    history: Mapping[str, tuple[Result, ...]] = field(default_factory=dict)
    tagger: Sequence[Mapping[str, Any]] = ()
    encoders: Sequence[Mapping[str, Any]] = ()
    scale: Sequence[Mapping[str, Any]] = ()
    emerging: Sequence[Mapping[str, Any]] = ()

    def module(self, method_id: str) -> Path | None:
        """The module that implements a method, if there is one."""
        path = self.impls / f"{method_id.replace('-', '_')}.py"
        return path if path.is_file() else None

    def stale(self, method_id: str) -> bool:
        """Whether the code has changed since a recorded run."""
        path = self.module(method_id)
        runs = self.latest.get(method_id, {})
        if path is None or not runs:
            return False
        return {run.code_hash for run in runs.values()} != {catalog.code_hash(path)}

    @cached_property
    def implemented(self) -> list[str]:
        """Ids of the methods that can be run, in order."""
        return sorted(m for m in self.methods if self.module(m))

    @cached_property
    def kernels(self) -> dict[str, Path]:
        """Folders of the kernels (each has a ``reference`` in its ``__init__.py``), by name."""
        if not self.kernels_dir.is_dir():
            return {}
        homes = (p for p in sorted(self.kernels_dir.iterdir()) if (p / "__init__.py").is_file())
        return {p.name: p for p in homes if _is_kernel(p)}

    @cached_property
    def methods_of_paper(self) -> dict[str, list[str]]:
        """Methods by the papers they come from."""
        found: dict[str, list[str]] = defaultdict(list)
        for method in self.methods.values():
            for paper in method.papers:
                found[paper].append(method.id)
        return found

    @cached_property
    def alike(self) -> dict[str, list[tuple[str, Pair]]]:
        """Papers that may be the same as another, with the pair, by id."""
        return duplicates.of_each(duplicates.near_duplicates(self.papers.values()))

    @cached_property
    def citation_keys(self) -> dict[str, str]:
        """BibTeX key of each paper, by id."""
        return bibtex.keys(self.papers.values())

    @cached_property
    def papers_by_year(self) -> dict[int | None, list[Paper]]:
        """Papers by year, newest first, those without a year last; by title inside."""
        shelves: dict[int | None, list[Paper]] = defaultdict(list)
        for paper in sorted(self.papers.values(), key=lambda p: (p.title.lower(), p.id)):
            shelves[paper.year].append(paper)
        years = sorted(shelves, key=lambda y: (y is None, -(y or 0)))
        return {year: shelves[year] for year in years}

    @cached_property
    def papers_by_tag(self) -> dict[str, list[Paper]]:
        """Papers by each of their tags (themes and techniques alike), newest first."""
        shelves: dict[str, list[Paper]] = defaultdict(list)
        for papers in self.papers_by_year.values():
            for paper in papers:
                for tag in sorted({tag.id for tag in paper.tags}):
                    shelves[tag].append(paper)
        return shelves

    def papers_of_theme(self, theme: str) -> list[Paper]:
        """Papers tagged with a theme or with one of its techniques, newest first."""
        below = {t.id for t in self.taxonomy.techniques.values() if t.theme == theme} | {theme}
        found = {p.id: p for tag in below for p in self.papers_by_tag.get(tag, ())}
        return sorted(found.values(), key=newest_first)

    @cached_property
    def digests(self) -> list[Digest]:
        """The newest weeks that hold a paper, and the busy ones before them, newest first."""
        desk = Desk(self.papers.values(), self.methods, self.taxonomy, set(self.implemented))
        weeks = {*desk.weeks(1)[:NEWEST_WEEKS], *desk.weeks(BUSY)}
        made = desk.digests(sorted(weeks, key=str, reverse=True))
        return [digest for digest in made if digest.picks]

    @cached_property
    def verdicts(self) -> Counter[str]:
        """How many recorded claims have each verdict."""
        return Counter(run.verdict for runs in self.latest.values() for run in runs.values())

    @cached_property
    def claims(self) -> int:
        """How many claims are written down, run or not."""
        return sum(len(m.claims) for m in self.methods.values())

    @cached_property
    def sources(self) -> Counter[str]:
        """How many papers each source gave."""
        return Counter(s for p in self.papers.values() for s in {source.id for source in p.sources})


def newest_first(paper: Paper) -> tuple[bool, int, str, str]:
    """Sort key: newest year first, no year last, then the title."""
    return (paper.year is None, -(paper.year or 0), paper.title.lower(), paper.id)


def gather(root: Path = catalog.ROOT) -> Holdings:
    """Read the whole catalog at ``root`` and find the code that lies beside it."""
    methods = catalog.methods(root)
    return Holdings(
        papers=catalog.papers(root),
        methods=methods,
        taxonomy=catalog.taxonomy(root),
        latest={method_id: catalog.latest(method_id, root) for method_id in methods},
        impls=root.parent / "reference_impls",
        kernels_dir=root.parent / "kernels",
        followed=catalog.sources(root),
        speeds=_speeds(root),
        models=catalog.model_runs(root)[-1:],
        searches=catalog.page_runs(root)[-1:],
        tagger=catalog.tagger_runs(root)[-1:],
        encoders=catalog.search_runs(root)[-1:],
        scale=catalog.scale_runs(root)[-1:],
        emerging=catalog.theme_runs(root)[-1:],
        history={m: runs for m in methods if (runs := tuple(catalog.results(m, root)))},
    )


def _speeds(root: Path) -> dict[str, Mapping[str, Any]]:
    """The newest recorded run of each kernel that has one."""
    names = sorted(path.stem for path in (root / "results" / "kernels").glob("*.jsonl"))
    return {name: runs[-1] for name in names if (runs := catalog.kernel_runs(name, root))}


def _is_kernel(folder: Path) -> bool:
    source = (folder / "__init__.py").read_text(encoding="utf-8")
    return re.search(r"^def reference\(|^from .*import .*\breference\b", source, re.M) is not None
