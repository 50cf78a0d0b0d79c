"""From the library to the catalog: lines for a pull request, of papers that are worth keeping."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from octavo import catalog
from octavo.catalog import Paper, paper_to_json
from octavo.errors import InputError
from octavo.ingest.duplicates import near_duplicates, of_each
from octavo.ingest.library import Library, write_whole
from octavo.ingest.linked import UNIDENTIFIED, untitled
from octavo.ingest.reading import Rejection


@dataclass(frozen=True)
class Curated:
    """What was written, by id and by file, and what was left out with the reason."""

    written: tuple[str, ...]
    files: tuple[str, ...]
    left: tuple[Rejection, ...]

    def __str__(self) -> str:
        where = f" to {', '.join(self.files)}" if self.files else ""
        return f"{len(self.written)} papers written{where}; {len(self.left)} left in the library"


def curate(library: Library, root: Path = catalog.ROOT) -> Curated:
    """Write the library's papers that the catalog lacks to ``papers/<year>.jsonl``, all or none.

    Kept is what has a title, authors, an id that others know, and a shelf of the taxonomy; what
    looks like a paper of the catalog is left for a person. Lines that are there stay as they are.
    Raises InputError where a line would break the schema; then nothing is written.
    """
    known = catalog.papers(root)
    fresh = [paper for paper in library.papers() if paper.id not in known]
    twins = of_each(near_duplicates([*known.values(), *fresh]))
    words = catalog.taxonomy(root)
    shelves = words.themes.keys() | words.techniques.keys()
    reasons = {}
    for paper in fresh:
        like = [other for other, _ in twins.get(paper.id, ()) if other in known]
        reasons[paper.id] = _why_not(paper, like, shelves)
    kept = [paper for paper in fresh if reasons[paper.id] is None]
    texts = _files(kept, root)
    _checked(texts, root)
    for name, said in texts.items():
        write_whole(root / "papers" / name, said)
    left = tuple(Rejection(own, why) for own, why in reasons.items() if why is not None)
    files = tuple(f"catalog/papers/{name}" for name in texts)
    return Curated(tuple(paper.id for paper in kept), files, left)


def _why_not(paper: Paper, like: Sequence[str], shelves: Set[str]) -> str | None:
    checks = [
        (untitled(paper) or paper.title.startswith(UNIDENTIFIED), "has no title yet"),
        (not paper.authors, "has no authors yet"),
        (not (paper.arxiv or paper.doi or paper.openreview), "has no arXiv id, DOI or OpenReview"),
        (shelves.isdisjoint(tag.id for tag in paper.tags), "stands on no shelf of the taxonomy"),
        (bool(like), f"looks like {', '.join(like)}, which is there"),
    ]
    return next((why for fails, why in checks if fails), None)


def _files(papers: Sequence[Paper], root: Path) -> dict[str, str]:
    """The new text of each file that changes: its lines and the new ones, sorted by id."""
    added: dict[str, list[Paper]] = defaultdict(list)
    for paper in papers:
        added[f"{paper.year or 'unknown'}.jsonl"].append(paper)
    texts = {}
    for name, its in sorted(added.items()):
        path = root / "papers" / name
        before = path.read_text(encoding="utf-8").split("\n") if path.is_file() else []
        lines = {json.loads(line)["id"]: line for line in before if line}
        lines |= {p.id: json.dumps(paper_to_json(p), ensure_ascii=False) for p in its}
        texts[name] = "".join(lines[own] + "\n" for own in sorted(lines))
    return texts


def _checked(texts: Mapping[str, str], root: Path) -> None:
    """Raise InputError where the papers, with these files, would have a problem."""
    with tempfile.TemporaryDirectory() as aside:
        trial = Path(aside) / "catalog"
        (trial / "papers").mkdir(parents=True)
        shutil.copyfile(root / "taxonomy.toml", trial / "taxonomy.toml")
        for path in (root / "papers").glob("*.jsonl"):
            shutil.copyfile(path, trial / "papers" / path.name)
        for name, said in texts.items():
            (trial / "papers" / name).write_text(said, encoding="utf-8")
        problems = catalog.check_papers(trial)
    if problems:
        raise InputError(f"ingest --curate: {problems[0]}; nothing is written")
