"""From sources to the library: read each, take it in whole, say what happened."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from octavo import catalog
from octavo.catalog import Followed
from octavo.errors import InputError
from octavo.ingest import arxiv, bibtex, feed, text, visits
from octavo.ingest.library import Library
from octavo.ingest.progress import Steps, silent
from octavo.ingest.reading import Reading, Rejection
from octavo.ingest.transport import Client, UnreachableError
from octavo.ingest.visits import Visit


class Reader(Protocol):
    """Reads one source; `etag` and `modified` are what the server said last time."""

    def __call__(
        self, source: str, client: Client, etag: str | None = None, modified: str | None = None
    ) -> Reading:
        """Read the source whole."""


READERS: Mapping[str, Reader] = {
    "feed": feed.read,
    "arxiv": arxiv.read,
    "bibtex": bibtex.read,
    "text": text.read,
}


@dataclass(frozen=True)
class Report:
    """What sources gave. The fields are the keys of `octavo ingest --json`."""

    source: str
    posts: int = 0
    links: int = 0
    new: int = 0
    updated: int = 0
    unchanged: int = 0
    rejected: tuple[Rejection, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether the library is different now."""
        return bool(self.new or self.updated)

    def __str__(self) -> str:
        counts = f"{self.new} new, {self.updated} updated, {self.unchanged} unchanged"
        posts = f"{self.posts} posts, " if self.posts else ""
        return f"{posts}{self.links} links to papers: {counts}, {len(self.rejected)} rejected"


def ingest(
    kind: str,
    sources: Sequence[str],
    library: Library,
    *,
    client: Client | None = None,
    steps: Steps = silent,
    limit: int | None = None,
) -> list[Report]:
    """Take sources of one kind into the library, each in one commit.

    Raises InputError at the first source that cannot be read; those before it stay taken.
    """
    if kind not in READERS:
        raise InputError(f"no ingester {kind!r}; there are {', '.join(READERS)} and followed")
    read = READERS[kind]
    if kind == "arxiv":
        sources = _together(sources)
        read = partial(arxiv.read, limit=limit or arxiv.LIMIT)
    client = client or Client()
    reports = []
    with steps(f"reading {kind}", len(sources)) as advance:
        for source in sources:
            reports.append(_one(read, source, library, client))
            advance(1)
    return reports


def followed(
    library: Library,
    *,
    client: Client | None = None,
    steps: Steps = silent,
    root: Path = catalog.ROOT,
) -> list[Report]:
    """Take in every source of the catalog's sources.toml.

    One that fails is a line in `rejected` and does not stop the others; a host that could not be
    reached is not asked again, and a source that failed three times in a row is left alone until
    it is unparked. Failures to connect count only where some other source was reached: a machine
    that is offline parks nothing.
    """
    client = client or Client(tries=2)
    entries = catalog.sources(root)
    known, silent_hosts = visits.visits(library.path), set[str]()
    reports: list[Report] = []
    unreached: dict[str, str] = {}
    answered = False
    with steps("reading followed sources", len(entries)) as advance:
        for entry in entries:
            host = urlsplit(entry.source).hostname or entry.kind
            try:
                _may_ask(entry, known.get(entry.source, Visit()), host in silent_hosts)
                given = [entry.source]
                reports += ingest(entry.kind, given, library, client=client, limit=entry.limit)
                visits.reached(library.path, entry.source, client.now())
                answered = True
            except InputError as error:
                if isinstance(error, UnreachableError):
                    silent_hosts.add(host)
                    unreached[entry.source] = str(error)
                elif not isinstance(error, _NotAskedError):
                    visits.failed(library.path, entry.source, client.now(), str(error))
                    answered = True
                reports.append(Report(entry.source, rejected=(Rejection(entry.id, str(error)),)))
            advance(1)
    for source, why in unreached.items() if answered else ():
        visits.failed(library.path, source, client.now(), why)
    return reports


class _NotAskedError(InputError):
    """A source was left out of this round."""


def _may_ask(entry: Followed, last: Visit, host_is_silent: bool) -> None:
    if last.parked:
        raise _NotAskedError(
            f"parked after {last.failures} failures, the last: {last.why}; "
            f"`octavo follow unpark {entry.id}` asks it again"
        )
    if host_is_silent:
        raise _NotAskedError("its host was not reached a moment ago; not asked again")


def total(reports: Iterable[Report], name: str) -> Report:
    """Several reports as one."""
    each = list(reports)
    counts = ("posts", "links", "new", "updated", "unchanged")
    sums = {count: sum(getattr(report, count) for report in each) for count in counts}
    rejected = tuple(rejection for report in each for rejection in report.rejected)
    return Report(name, rejected=rejected, **sums)


def complaints(reports: Sequence[Report]) -> list[str]:
    """A line for each rejection; one line where no source at all was reached."""
    rejected = total(reports, "").rejected
    if len(reports) > 1 and all(r.rejected and not r.posts and not r.links for r in reports):
        return [f"none of {len(reports)} sources was reached; the first: {rejected[0].why}"]
    return [f"{each.what}: {each.why}" for each in rejected]


def _one(read: Reader, source: str, library: Library, client: Client) -> Report:
    last = visits.visits(library.path).get(source, Visit())
    reading = read(source, client, last.etag, last.modified)
    if reading.unchanged:
        return Report(source)
    change = library.upsert(library.recognised(reading.papers))
    if reading.etag or reading.modified:
        now = replace(last, etag=reading.etag, modified=reading.modified)
        visits.note(library.path, source, now)
    return Report(
        source,
        reading.posts,
        reading.links,
        change.new,
        change.updated,
        change.unchanged,
        reading.rejected,
    )


def _together(sources: Sequence[str]) -> list[str]:
    """All arXiv ids as one source (one request a hundred), queries each by itself."""
    ids = [own for source in sources for own in arxiv.ids_of(source)]
    queries = [source for source in sources if not arxiv.ids_of(source)]
    return ([",".join(ids)] if ids else []) + queries
