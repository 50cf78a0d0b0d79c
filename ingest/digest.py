"""The week's overview: which papers are new, what they are about, why each was picked.

A paper is of a week by the day its arXiv number tells (see `weeks`). Papers come in this order:
those told of by someone (a feed, an overview) before those that only a list or an archive holds;
compression before the rest of the field; then by how sure their shelves are and how new they are
to the library. Nothing is fetched and nothing is generated: what is said of a paper are its tags,
its nearest methods, and sentences of its authors.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from octavo import catalog
from octavo.catalog import Method, Paper, Taxonomy
from octavo.errors import InputError
from octavo.ingest import encode
from octavo.ingest.sentences import Quote, quotes
from octavo.ingest.static import Vectors
from octavo.ingest.tag import OTHER, shelved, told
from octavo.ingest.weeks import SLACK, Week, day_of

NEAREST = 2  # methods named beside a paper
NEAR = 0.35  # cosine from which a method is near
REST = "reasoning-rl"  # the first theme of the taxonomy that is not about compression


@dataclass(frozen=True)
class Near:
    """A method of the catalog near a paper, and the command that runs it, if one does."""

    id: str
    name: str
    cosine: float
    command: str | None


@dataclass(frozen=True)
class Pick:
    """A paper of the week. ``novelty`` is 1 less the cosine to its nearest older paper."""

    id: str
    title: str
    theme: str
    why: str
    tags: tuple[str, ...]
    day: str
    novelty: float
    nearest_paper: str | None
    methods: tuple[Near, ...]
    summary: tuple[Quote, ...]
    no_summary: str | None
    url: str | None


@dataclass(frozen=True)
class Digest:
    """The picks of a week, best first. ``note`` says what is missing, and why."""

    week: str
    first: str
    last: str
    theme: str | None
    papers: int
    picks: tuple[Pick, ...]
    note: str

    @cached_property
    def by_theme(self) -> dict[str, list[Pick]]:
        """The picks by theme, in the order of the first of each."""
        shelves: dict[str, list[Pick]] = {}
        for pick in self.picks:
            shelves.setdefault(pick.theme, []).append(pick)
        return shelves


class Desk:
    """Where digests are made: papers, methods and vocabulary, and the vectors of all, made once.

    ``runs`` are the ids of the methods that can be run.
    """

    def __init__(
        self,
        papers: Iterable[Paper],
        methods: Mapping[str, Method],
        words: Taxonomy,
        runs: Collection[str],
    ) -> None:
        self.papers = [paper for paper in papers if paper.status == "active"]
        self.words = words
        self._methods, self._runs = list(methods.values()), runs
        self._shelved: dict[int, Paper] = {}  # with the tagger's tags, as far as it was asked
        self._rooms = {name: each.theme for name, each in words.techniques.items()}

    def digest(self, week: Week, theme: str | None = None) -> Digest:
        """The overview of a week, of one theme where that is asked for.

        Raises InputError for a theme that does not exist.
        """
        if theme is not None and theme not in self.words.themes:
            raise InputError(f"no theme {theme!r}; themes are {', '.join(self.words.themes)}")
        new = self._new(week)
        picks = self._picked(new, week)
        kept = tuple(pick for pick in picks if theme in (None, pick.theme, *pick.tags))
        days = (week.first.isoformat(), week.last.isoformat())
        note = _note(self._days, len(new), kept, week, theme)
        return Digest(str(week), *days, theme, len(self.papers), kept, note)

    def digests(self, weeks: Iterable[Week]) -> list[Digest]:
        """The overviews of several weeks; their papers are tagged all at once."""
        given = list(weeks)
        self._tag({at for week in given for at in self._new(week)})
        return [self.digest(week) for week in given]

    def weeks(self, fewest: int) -> list[Week]:
        """Weeks in which at least this many papers came, newest first."""
        counts = Counter(Week(*day.isocalendar()[:2]) for day in self._days if day)
        busy = (week for week, count in counts.items() if count >= fewest)
        return sorted(busy, key=lambda week: (-week.year, -week.number))

    def _new(self, week: Week) -> list[int]:
        """Places of the papers that may be of a week."""
        span = (week.first - SLACK).toordinal(), (week.last + SLACK).toordinal()
        return [at for day in range(span[0], span[1] + 1) for at in self._of_day.get(day, ())]

    def _tag(self, places: Iterable[int]) -> None:
        late = [at for at in sorted(places) if at not in self._shelved]
        if late:
            made = shelved([self.papers[at] for at in late], self.words)
            self._shelved.update(zip(late, made, strict=True))

    def _picked(self, new: Sequence[int], week: Week) -> list[Pick]:
        """Papers on a shelf of the taxonomy, best first."""
        ranked, nearest = [], self._nearest(new, week)
        self._tag(new)
        for at, (novelty, nearby) in zip(new, nearest, strict=True):
            paper = self._shelved[at]
            theme = next(self._themes(paper), None)
            if theme is None:
                continue
            near = self._near(self._vectors[at])
            inside = week.first <= _day(paper) <= week.last
            place = (
                not inside,
                not _spoken_of(paper),
                list(self.words.themes).index(theme) >= self._rest,
                -round(_surest(paper), 2),
                -novelty,
                paper.id,
            )
            shown = _Shown(paper, theme, novelty, nearby, near, inside)
            ranked.append((place, _pick(shown, self._rooms.keys())))
        return [pick for _, pick in sorted(ranked, key=lambda each: each[0])]

    def _themes(self, paper: Paper) -> Iterator[str]:
        """Themes of a paper, surest first: its own, then those of its techniques."""
        surest = sorted(paper.tags, key=lambda tag: -_score(tag.origin))
        own = [tag.id for tag in surest if tag.id in self.words.themes]
        above = [self._rooms[tag.id] for tag in surest if tag.id in self._rooms]
        return (each for each in dict.fromkeys([*own, *above]) if each != OTHER)

    def _nearest(self, new: Sequence[int], week: Week) -> list[tuple[float, str | None]]:
        """For each paper 1 less the cosine to the nearest older one, and that one's id.

        A paper is older by its day, or else its year; one without a year is not.
        """
        older = self._came < (week.first - SLACK).toordinal()
        if not new or not older.any():
            return [(1.0, None)] * len(new)
        cosines = np.where(older, self._vectors[[*new]] @ self._vectors.T, -1.0)  # (new, papers)
        best = cosines.argmax(axis=1).tolist()
        return [
            (round(float(1 - row[at]), 3), self.papers[at].id)
            for row, at in zip(cosines, best, strict=True)
        ]

    def _near(self, vector: Vectors) -> tuple[Near, ...]:
        """The nearest methods."""
        if not self._methods:
            return ()
        cosines = self._stories @ vector
        best = [int(at) for at in np.argsort(-cosines)[:NEAREST] if cosines[at] >= NEAR]
        return tuple(self._method(self._methods[at], float(cosines[at])) for at in best)

    def _method(self, method: Method, cosine: float) -> Near:
        command = f"octavo run {method.id}" if method.id in self._runs else None
        return Near(method.id, method.name, round(cosine, 3), command)

    @cached_property
    def _days(self) -> list[date | None]:
        """The day of each paper, as far as it is known."""
        return [day_of(paper) for paper in self.papers]

    @cached_property
    def _of_day(self) -> dict[int, list[int]]:
        """Places of the papers of each day, days as ordinals."""
        shelves: dict[int, list[int]] = {}
        for at, day in enumerate(self._days):
            if day:
                shelves.setdefault(day.toordinal(), []).append(at)
        return shelves

    @cached_property
    def _came(self) -> npt.NDArray[np.int64]:
        """The day by which each paper had come, as an ordinal, (papers,)."""
        ends = (date(paper.year, 12, 31) if paper.year else date.max for paper in self.papers)
        days = (day or end for day, end in zip(self._days, ends, strict=True))
        return np.array([day.toordinal() for day in days], np.int64)

    @cached_property
    def _rest(self) -> int:
        return list(self.words.themes).index(REST) if REST in self.words.themes else 0

    @cached_property
    def _vectors(self) -> Vectors:
        return encode.load("static").encode([told(paper) for paper in self.papers])

    @cached_property
    def _stories(self) -> Vectors:
        return encode.load("static").encode([_story(method) for method in self._methods])


def desk(papers: Iterable[Paper], root: Path = catalog.ROOT) -> Desk:
    """A desk over papers and the catalog's methods."""
    methods = catalog.methods(root)
    runs = {own for own in methods if catalog.implemented(own, root)}
    return Desk(papers, methods, catalog.taxonomy(root), runs)


def _score(origin: str) -> float:
    """How sure a tag is: what people said is 1."""
    return float(origin.rpartition(":")[2]) if origin.startswith("model:") else 1.0


def _surest(paper: Paper) -> float:
    return max(_score(tag.origin) for tag in paper.tags)


def _spoken_of(paper: Paper) -> list[str]:
    """Feeds and overviews that told of a paper; a list or an archive only holds it."""
    return sorted({s.id for s in paper.sources if s.id.split(":")[0] in ("feed", "text")})


def _day(paper: Paper) -> date:
    day = day_of(paper)
    assert day is not None  # only papers of a week come here
    return day


def _story(method: Method) -> str:
    return f"{method.name}\n{' '.join(filter(None, (method.problem, method.idea)))}"


class _Shown(NamedTuple):
    """What is known of a picked paper."""

    paper: Paper
    theme: str
    novelty: float
    nearest: str | None
    near: tuple[Near, ...]
    inside: bool


def _pick(shown: _Shown, techniques: Collection[str]) -> Pick:
    paper = shown.paper
    said = tuple(quotes(paper.abstract))
    return Pick(
        id=paper.id,
        title=paper.title,
        theme=shown.theme,
        why=_why(shown, techniques),
        tags=tuple(dict.fromkeys(tag.id for tag in paper.tags)),
        day=_day(paper).isoformat(),
        novelty=shown.novelty,
        nearest_paper=shown.nearest,
        methods=shown.near,
        summary=said,
        no_summary=None if said else _unquoted(paper),
        url=f"https://arxiv.org/abs/{paper.arxiv}" if paper.arxiv else paper.url,
    )


def _why(shown: _Shown, techniques: Collection[str]) -> str:
    """The reasons in one line."""
    paper, near = shown.paper, shown.near
    named = dict.fromkeys(tag.id for tag in paper.tags if tag.id in techniques)
    by = {tag.origin.partition(":")[0] for tag in paper.tags}
    who = "by people" if by & {"curated", "source"} else f"by the tagger, {_surest(paper):.2f} sure"
    shelves = f" ({', '.join(named)})" if named else ""
    parts = [f"on {shown.theme}{shelves}, tagged {who}"]
    parts += [f"told of by {', '.join(spoken)}"] if (spoken := _spoken_of(paper)) else []
    parts += [f"nearest method {near[0].id} ({near[0].cosine:.2f})"] if near else []
    parts += [] if shown.inside else [f"its number tells {_day(paper)}, beside this week"]
    parts.append(f"novelty {shown.novelty:.2f} against {shown.nearest or 'an empty library'}")
    return "; ".join(parts)


def _unquoted(paper: Paper) -> str:
    if not paper.abstract:
        return "no abstract in the library; `octavo ingest arxiv` brings it"
    return "no sentence of the abstract says problem, idea or result in so many words"


def _note(
    days: Sequence[date | None], new: int, picks: Sequence[Pick], week: Week, theme: str | None
) -> str:
    """What the digest rests on, or why there is nothing in it."""
    undated = sum(day is None for day in days)
    rests = f"from {len(days):,} papers of the library ({undated:,} of them without a day)"
    offline = "nothing was fetched; `octavo ingest` brings newer papers"
    if picks:
        return f"{rests}; days are told from arXiv numbers, two days more or less; {offline}"
    if not new:
        return f"no paper of {week}, {rests}; {offline}"
    about = f"on {theme}" if theme else "on a shelf of the taxonomy"
    return f"{new} papers of {week}, none {about}; {offline}"
