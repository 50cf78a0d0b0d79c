"""When each source was last asked and what came of it: validators, failures in a row, parking.

The file lies in the reader's library, so that a catalog shared by many says nothing about one
reader's network.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from pathlib import Path

from octavo.ingest.library import write_whole

PATIENCE = 3  # failures in a row before a source is left alone
NAME = "seen.json"


@dataclass(frozen=True)
class Visit:
    """The last visit to a source. ``etag`` and ``modified`` are what the server said of it."""

    etag: str | None = None
    modified: str | None = None
    tried: str | None = None
    reached: str | None = None
    failures: int = 0
    why: str | None = None

    @property
    def parked(self) -> bool:
        """Whether the source is left alone until it is unparked."""
        return self.failures >= PATIENCE


def visits(folder: Path) -> dict[str, Visit]:
    """Every visit, by source; what cannot be read counts as never visited."""
    known = {each.name for each in fields(Visit)}
    with suppress(OSError, ValueError, TypeError, AttributeError):
        found = json.loads((folder / NAME).read_text(encoding="utf-8"))
        return {
            source: Visit(**{name: value for name, value in last.items() if name in known})
            for source, last in found.items()
        }
    return {}


def note(folder: Path, source: str, visit: Visit) -> None:
    """Keep the last visit to a source."""
    told = {each: asdict(last) for each, last in (visits(folder) | {source: visit}).items()}
    bare = {s: {k: v for k, v in last.items() if v} for s, last in sorted(told.items())}
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / NAME, json.dumps(bare, ensure_ascii=False, indent=1))


def reached(folder: Path, source: str, now: datetime) -> None:
    """The source answered."""
    day = now.isoformat(timespec="seconds")
    last = visits(folder).get(source, Visit())
    note(folder, source, replace(last, tried=day, reached=day, failures=0, why=None))


def failed(folder: Path, source: str, now: datetime, why: str) -> None:
    """The source did not answer, or not with what it should."""
    last = visits(folder).get(source, Visit())
    day = now.isoformat(timespec="seconds")
    note(folder, source, replace(last, tried=day, failures=last.failures + 1, why=why))


def unpark(folder: Path, source: str) -> None:
    """Ask the source again next time."""
    last = visits(folder).get(source, Visit())
    note(folder, source, replace(last, failures=0))
