"""The reader's library: the catalog and everything taken in, in one LanceDB table.

Text and vectors stand in the same row, a change is one commit, and a reader sees either the table
before it or after it. A row is made from the catalog and from what sources said (`found`), so a
new catalog rebuilds the table and re-encodes only texts that changed.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from octavo import catalog
from octavo.catalog import Paper, Taxonomy, paper_from_json
from octavo.errors import InputError
from octavo.ingest import encode, table
from octavo.ingest.absorb import Known, Shelves, names
from octavo.ingest.documents import FORM, Row, meaning, method_row, paper_row
from octavo.ingest.linked import UNIDENTIFIED
from octavo.ingest.progress import Steps, silent
from octavo.ingest.ranking import Hit, Wanted, ranked
from octavo.ingest.recognise import as_known, recognise
from octavo.ingest.table import Table
from octavo.ingest.tag import shelved
from octavo.ingest.tag import version as tagger_version

LOCK_SECONDS = 30.0
STATE = "state.json"


@dataclass(frozen=True)
class Change:
    """What an upsert did, in papers."""

    new: int
    updated: int
    unchanged: int


class Library:
    """A folder with the table. Opening it costs nothing; the first use brings it up to date.

    Its vectors are those of one encoder (see `octavo.ingest.encode`): the one that was asked for
    last, at first the default. Asking for another encodes every text again.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        root: Path = catalog.ROOT,
        steps: Steps = silent,
        encoder: str | None = None,
    ) -> None:
        self.path = Path(path)
        self._root, self._steps, self._asked = root, steps, encoder

    def upsert(self, papers: Iterable[Paper]) -> Change:
        """Take papers in, merging each with the paper it already is; all of them in one commit.

        A paper of the catalog that no source had told of yet counts as updated.
        """
        with self._writing() as rows:
            shelves = self._shelves(rows)
            for paper in papers:
                shelves.put(paper)
            before = table.column(rows, "found", shelves.found.keys() | shelves.gone)
            words = catalog.taxonomy(self._root)
            made = list(_told(shelves, words))
            changed = [row for row in made if before.get(row["id"]) != row["found"]]
            self._commit(rows, changed, [f"paper:{own}" for own in shelves.gone & before.keys()])
        new = sum(row["id"] not in before for row in changed)
        return Change(new, len(changed) - new, len(made) - len(changed))

    def search(
        self,
        query: str,
        *,
        theme: str | None = None,
        tag: str | None = None,
        years: tuple[int | None, int | None] = (None, None),
        method_only: bool = False,
        limit: int = 10,
        mode: str = "hybrid",
    ) -> list[Hit]:
        """Papers and methods for a question in plain words, best first.

        Raises InputError for an empty query or a theme or mode that does not exist.
        """
        wanted = Wanted(query, theme, tag, years, method_only, limit, mode)
        wanted.check(catalog.taxonomy(self._root).themes)
        rows = self._current()
        vector = None if mode == "words" else self.encoder.encode([wanted.text])[0]
        return ranked(rows, wanted, vector)

    def recognised(self, papers: Iterable[Paper]) -> list[Paper]:
        """The papers, those known by their abstract alone with the name of the paper they are."""
        given = list(papers)
        unknown = [p for p in given if p.abstract and p.title.startswith(UNIDENTIFIED)]
        if not unknown:
            return given
        rows = self._current()
        vectors = self.encoder.encode([p.abstract or "" for p in unknown])
        found = {
            p.id: recognise(rows, p.abstract or "", vector)
            for p, vector in zip(unknown, vectors, strict=True)
        }
        known = {own: paper for own in found.values() if own and (paper := self.paper(own))}
        return [as_known(p, known[own]) if (own := found.get(p.id)) in known else p for p in given]

    def paper(self, paper_id: str) -> Paper | None:
        """One paper as the library knows it."""
        record = table.column(self._current(), "record", [paper_id]).get(paper_id)
        return paper_from_json(json.loads(record)) if record else None

    def papers(self) -> Iterator[Paper]:
        """Every paper, by id."""
        query = self._current().search().where("kind = 'paper'").select(["id", "record"])
        found = query.limit(None).to_arrow().sort_by("id")
        return (paper_from_json(json.loads(text)) for text in found["record"].to_pylist())

    @cached_property
    def encoder(self) -> encode.Encoder:
        """What gives the vectors."""
        return encode.load(self._name)

    @cached_property
    def _name(self) -> str:
        """The encoder asked for, or else the one that the library was made with."""
        kept = self._state().get("encoder")
        return self._asked or (kept if kept in encode.NAMES else encode.DEFAULT)

    def _current(self) -> Table:
        """The table, brought up to date first where the catalog or the encoder has changed."""
        if self._is_current():
            return table.opened(self.path, self.encoder.width)
        with self._writing() as rows:
            return rows

    def _is_current(self) -> bool:
        return self._state() == self._wanted()

    def _wanted(self) -> dict[str, str]:
        """What the table is to be made from."""
        return {
            "catalog": digest(self._root),
            "encoder": self._name,
            "vectors": encode.mark(self._name),
        }

    def _state(self) -> dict[str, str]:
        """What the table was made from, nothing where that is not known."""
        try:
            state = json.loads((self.path / STATE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return state if isinstance(state, dict) else {}

    @contextmanager
    def _writing(self) -> Iterator[Table]:
        """Hold the library alone, its table up to date."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with FileLock(self.path / "lock", timeout=LOCK_SECONDS):
                rows = table.opened(self.path, self.encoder.width)
                if not self._is_current():
                    self._rebuild(rows)
                    rows = table.opened(self.path, self.encoder.width)
                yield rows
        except Timeout:
            raise InputError(
                f"{self.path}: another process writes to this library; wait for it to end"
            ) from None
        except OSError as error:
            raise InputError(f"{self.path}: {error}; choose another with --library") from None

    def _shelves(self, rows: Table) -> Shelves:
        filed = rows.search().where("kind = 'paper'").select(["id", "names"])
        known = Known()
        for row in filed.limit(None).to_arrow().to_pylist():
            known.add(row["id"], row["names"])

        def said(paper_id: str) -> Paper | None:
            found = table.column(rows, "found", [paper_id]).get(paper_id)
            return paper_from_json(json.loads(found)) if found else None

        return Shelves(catalog.papers(self._root), known, said)

    def _rebuild(self, rows: Table) -> None:
        """Make the table what the catalog and the reader's own papers now say."""
        have = rows.search().select(["key", "digest", "record", "found"]).limit(None).to_arrow()
        before = {row["key"]: row for row in have.to_pylist()}
        made = {row["key"]: row for row in self._rows(before.values())}
        if self._state().get("vectors") == encode.mark(self._name):
            changed = [row for key, row in made.items() if not _same(row, before.get(key))]
            self._commit(rows, changed, before.keys() - made.keys())
        else:
            (self.path / STATE).unlink(missing_ok=True)  # who comes now waits for the end
            table.replaced(self.path, self._encoded(list(made.values()), {}), self.encoder.width)
        write_whole(self.path / STATE, json.dumps(self._wanted()))

    def _rows(self, before: Iterable[Row]) -> Iterator[Row]:
        """Rows of every paper and method: the catalog's, with the reader's on top."""
        papers = catalog.papers(self._root)
        known = Known()
        for paper in papers.values():
            known.add(paper.id, names(paper))
        shelves = Shelves(papers, known, lambda _: None)
        for found in sorted(row["found"] for row in before if row["found"]):
            shelves.put(paper_from_json(json.loads(found)))
        words = catalog.taxonomy(self._root)
        yield from _told(shelves, words)
        yield from (paper_row(p, None, words) for p in papers.values() if p.id not in shelves.found)
        for method in catalog.methods(self._root).values():
            runs = catalog.implemented(method.id, self._root)
            yield method_row(method, papers, words, implemented=runs)

    def _commit(self, rows: Table, changed: list[Row], gone: Iterable[str]) -> None:
        known = table.vectors(rows, {row["digest"] for row in changed})
        table.commit(rows, self._encoded(changed, known), list(gone))

    def _encoded(self, changed: list[Row], known: Mapping[str, Any]) -> list[Row]:
        """Rows with their vectors, where these are not known by the digest of the text."""
        late = (row for row in changed if row["digest"] not in known)
        texts = {row["digest"]: meaning(row["text"]) for row in late}
        vectors = dict(known)
        if texts:
            with self._steps("encoding texts", len(texts)) as advance:
                made = self.encoder.encode(list(texts.values()), advance)
            vectors.update(zip(texts, made, strict=True))
        return [{**row, "vector": vectors[row["digest"]]} for row in changed]


def _told(shelves: Shelves, words: Taxonomy) -> Iterator[Row]:
    """Rows of the papers that sources told of. The tagger shelves those the catalog lacks."""
    records = [shelves.record(own) for own in shelves.found]
    new = shelved([record for record in records if record.id not in shelves.catalog], words)
    tagged = {record.id: record for record in new}
    for record in records:
        yield paper_row(tagged.get(record.id, record), shelves.found[record.id], words)


def search(
    query: str,
    *,
    theme: str | None = None,
    tag: str | None = None,
    years: tuple[int | None, int | None] = (None, None),
    method_only: bool = False,
    limit: int = 10,
    library: Path | str | None = None,
) -> list[Hit]:
    """Search the library (OCTAVO_LIBRARY, or the user's data folder) as `octavo search` does."""
    return Library(library or default_path()).search(
        query, theme=theme, tag=tag, years=years, method_only=method_only, limit=limit
    )


def default_path() -> Path:
    """Where the library lives unless it is said."""
    from typer import get_app_dir

    named = os.environ.get("OCTAVO_LIBRARY")
    return Path(named) if named else Path(get_app_dir("octavo")) / "library"


def digest(root: Path) -> str:
    """Fingerprint of a catalog: its records and words, which methods run, how rows are made."""
    mark = hashlib.sha256(FORM + tagger_version().encode())
    for path in sorted([root / "taxonomy.toml", *root.glob("papers/*"), *root.glob("methods/*")]):
        mark.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
        mark.update(bytes([path.suffix == ".toml" and catalog.implemented(path.stem, root)]))
    return mark.hexdigest()


def _same(row: Row, before: Row | None) -> bool:
    return before is not None and all(row[k] == before[k] for k in ("digest", "record", "found"))


def write_whole(path: Path, text: str) -> None:
    """Replace a file whole or not at all."""
    aside = path.with_suffix(f".{os.getpid()}")
    with aside.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    aside.replace(path)
