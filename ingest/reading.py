"""What a source gives: papers, and an account of what was read and what was not taken."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from octavo.catalog.records import Paper
from octavo.errors import InputError
from octavo.ingest.transport import Client

T = TypeVar("T")


@dataclass(frozen=True)
class Rejection:
    """Something that was not taken, and the reason."""

    what: str
    why: str


@dataclass(frozen=True)
class Reading:
    """One source, read whole. ``links`` counts distinct papers linked, ``posts`` entries."""

    papers: tuple[Paper, ...]
    posts: int = 0
    links: int = 0
    rejected: tuple[Rejection, ...] = ()
    etag: str | None = None
    modified: str | None = None
    unchanged: bool = False  # the server says so: nothing was sent


@dataclass(frozen=True)
class Document:
    """The bytes of a source and where they came from. ``url`` is None for a file."""

    name: str
    url: str | None
    body: bytes
    content_type: str | None = None
    etag: str | None = None
    modified: str | None = None
    unchanged: bool = False

    @property
    def text(self) -> str:
        """The bytes as UTF-8, a damaged character shown as the replacement mark."""
        return self.body.decode("utf-8-sig", errors="replace")


def fetch(
    source: str, client: Client, etag: str | None = None, modified: str | None = None
) -> Document:
    """Read a web address through the client, or a file.

    Raises InputError where it is neither, or larger than the client's cap.
    """
    if "://" in source:
        answer = client.get(source, etag=etag, modified=modified)
        return Document(
            source,
            answer.url,
            answer.body,
            answer.headers.get("content-type"),
            answer.etag,
            answer.modified,
            answer.status == 304,
        )
    return Document(source, None, _file(Path(source), client.cap))


def _file(path: Path, cap: int) -> bytes:
    if not path.is_file():
        raise InputError(f"{path}: no such file; give a file or an http(s) address")
    with path.open("rb") as stream:
        body = stream.read(cap + 1)
    if len(body) > cap:
        raise InputError(f"{path}: larger than {cap} bytes; refused")
    return body


def within(seconds: float, name: str, parse: Callable[[], T]) -> T:
    """What `parse` returns, if it does in time; whatever it raises becomes one line.

    For parsers of other people's formats: they are known to raise nearly anything, and to hang.
    """
    done: list[T] = []
    failed: list[Exception] = []

    def work() -> None:
        try:
            done.append(parse())
        except Exception as error:
            failed.append(error)

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    worker.join(seconds)
    if failed:
        raise InputError(f"{name}: cannot be read ({' '.join(str(failed[0]).split())[:200]})")
    if not done:
        raise InputError(f"{name}: not read within {seconds:.0f} s; given up")
    return done[0]
