"""Which papers are already known: names, and the merging of records that share one.

Two records are one paper when they share an id or a proceedings page. A record that lacks such a
name is known by title and first author, and where one side has no authors by its title alone,
as long as no id contradicts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from octavo.catalog import identity
from octavo.catalog.records import Paper
from octavo.ingest.linked import untitled
from octavo.ingest.links import keys

STRENGTH = ("arxiv", "doi", "openreview")  # a paper has one of each at most
FEWEST_WORDS = 3  # of a title that may stand for its paper


def names(paper: Paper) -> frozenset[str]:
    """Everything a paper is found by: its keys and its title with first author."""
    if untitled(paper):
        return keys(paper)
    first = identity.surname(paper.authors[0]) if paper.authors else ""
    return keys(paper) | {f"title:{identity.normalise_title(paper.title)}|{first}"}


def united(one: Paper, other: Paper) -> Paper:
    """One record of two; a title told by a source beats a key standing in for it."""
    if untitled(one) != untitled(other):
        told = other.title if untitled(one) else one.title
        one, other = replace(one, title=told), replace(other, title=told)
    return identity.merge(one, other)


def on_top_of(known: Paper, found: Paper) -> Paper:
    """A catalog's record with what sources add; its id and title stay."""
    return united(known, replace(found, id=known.id, title=known.title))


@dataclass
class Known:
    """Papers by all their names. ``of`` maps an id to the names of its paper."""

    of: dict[str, frozenset[str]] = field(default_factory=dict)
    _by_name: dict[str, set[str]] = field(default_factory=dict)
    _by_title: dict[str, set[str]] = field(default_factory=dict)

    def add(self, paper_id: str, its_names: Iterable[str]) -> None:
        """File a paper under its names (again, if it has gained some)."""
        its_names = frozenset(its_names)
        self.of[paper_id] = its_names
        for name in its_names:
            self._by_name.setdefault(name, set()).add(paper_id)
            if name.startswith("title:"):
                self._by_title.setdefault(_title(name), set()).add(paper_id)

    def drop(self, paper_id: str) -> None:
        """Forget a paper."""
        for name in self.of.pop(paper_id, ()):
            self._by_name[name].discard(paper_id)
            if name.startswith("title:"):
                self._by_title[_title(name)].discard(paper_id)

    def same(self, its_names: frozenset[str]) -> list[str]:
        """Ids of the known papers that these names belong to, the surest first."""
        found: dict[str, int] = {}
        for name in its_names:
            if not name.startswith("title:"):
                for paper_id in self._by_name.get(name, ()):
                    found[paper_id] = min(found.get(paper_id, 9), _strength(name))
        for paper_id in self._titled(its_names):
            found.setdefault(paper_id, 9)
        return sorted(found, key=lambda paper_id: (found[paper_id], paper_id))

    def _titled(self, its_names: frozenset[str]) -> list[str]:
        fit = [
            paper_id
            for name in its_names
            if name.startswith("title:") and len(_title(name).split()) >= FEWEST_WORDS
            for paper_id in self._by_title.get(_title(name), ())
            if _authors_agree(name, self.of[paper_id])
            and not _at_odds(its_names, self.of[paper_id])
        ]
        if len(set(fit)) == 1:
            return fit
        return sorted(paper_id for paper_id in set(fit) if its_names & self.of[paper_id])[:1]


def _title(name: str) -> str:
    return name.removeprefix("title:").rpartition("|")[0]


def _strength(name: str) -> int:
    kind = name.split(":", 1)[0]
    return STRENGTH.index(kind) if kind in STRENGTH else len(STRENGTH)


def _authors_agree(name: str, others: Iterable[str]) -> bool:
    mine = name.rpartition("|")[2]
    theirs = {
        n.rpartition("|")[2] for n in others if _title(n) == _title(name) and n[:6] == "title:"
    }
    return not mine or mine in theirs or "" in theirs


def _at_odds(some: Iterable[str], others: Iterable[str]) -> bool:
    """Whether two sets of names hold different ids of one kind."""
    mine, theirs = _ids(some), _ids(others)
    return any(kind in theirs and mine[kind].isdisjoint(theirs[kind]) for kind in mine)


def _ids(its_names: Iterable[str]) -> dict[str, set[str]]:
    ids: dict[str, set[str]] = {}
    for name in its_names:
        kind = name.split(":", 1)[0]
        if kind in STRENGTH:
            ids.setdefault(kind, set()).add(name)
    return ids


@dataclass
class Shelves:
    """Where papers are put as they come in: the catalog's below, what sources said on top.

    ``fetch(id)`` gives what sources said of a paper before; ``found`` collects what they say now,
    and ``gone`` the ids that another paper has taken over.
    """

    catalog: Mapping[str, Paper]
    known: Known
    fetch: Callable[[str], Paper | None]
    found: dict[str, Paper] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)

    def put(self, paper: Paper) -> None:
        """Merge a paper into the one it is, or file it as a new one."""
        hits = self.known.same(names(paper))
        base = next((hit for hit in hits if hit in self.catalog), None)
        merged = [hit for hit in hits if hit == base or hit not in self.catalog]
        for hit in sorted(merged):
            said = self.found.pop(hit, None) or self.fetch(hit)
            paper = united(said, paper) if said is not None else paper
        if base is not None:
            paper = replace(paper, id=base)
        elif paper.id in self.known.of and paper.id not in hits:
            paper = replace(paper, id=f"{paper.id}-{len(self.known.of)}")
        its_names = names(paper)
        for hit in merged:
            its_names |= self.known.of[hit]
            self.known.drop(hit)
        self.gone |= {hit for hit in merged if hit != paper.id}
        self.gone.discard(paper.id)
        self.found[paper.id] = paper
        self.known.add(paper.id, its_names)

    def record(self, paper_id: str) -> Paper:
        """The whole record of a paper that was put: the catalog's word first."""
        found, below = self.found[paper_id], self.catalog.get(paper_id)
        return found if below is None else on_top_of(below, found)
