"""The LanceDB table under the library: opening, looking up, one commit a change, tidying."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pyarrow as pa
from lancedb.index import FTS

from octavo.errors import InputError
from octavo.ingest.documents import Row, schema, sound

Table = Any  # lancedb.table.Table; its package carries no types

NAME = "documents"
KEPT = timedelta(minutes=10)  # a reader may still be looking at a version that was replaced
FRAGMENTS = 8  # files of rows before they are joined
AT_ONCE = 500  # values in one IN (...)


def opened(path: Path, width: int) -> Table:
    """The table of a library folder, made for vectors of this width where there is none.

    Raises InputError where the folder holds something else or something broken.
    """
    try:
        table = _found(path) or lancedb.connect(path).create_table(
            NAME, schema=schema(width), exist_ok=True
        )
        same = table.schema.names == schema(width).names
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(
            f"{path}: the library cannot be opened ({_line(error)}); "
            "move the folder away and ingest again, or choose another with --library"
        ) from None
    if not same:
        raise InputError(
            f"{path}: made by another version of Octavo; move it away and ingest again"
        )
    return table


def _found(path: Path) -> Table | None:
    """The table as it is: its vectors may have another width than the encoder asked for."""
    home = lancedb.connect(path)
    return home.open_table(NAME) if NAME in home.list_tables().tables else None


def column(table: Table, name: str, values: Collection[str], by: str = "id") -> dict[str, Any]:
    """One column of the papers with these ids (or other `by` values), as far as they exist."""
    found: dict[str, Any] = {}
    for some in _portions(sorted(values)):
        among = f"kind = 'paper' AND {by} IN ({_quoted(some)})"
        rows = table.search().where(among).select([by, name]).limit(None).to_arrow()
        found.update(zip(rows[by].to_pylist(), rows[name].to_pylist(), strict=True))
    return found


def vectors(table: Table, digests: Collection[str]) -> dict[str, list[float]]:
    """Vectors that texts with these digests already have."""
    found: dict[str, list[float]] = {}
    for some in _portions(sorted(digests)):
        among = f"vector IS NOT NULL AND digest IN ({_quoted(some)})"
        rows = table.search().where(among).select(["digest", "vector"]).limit(None).to_arrow()
        found.update(zip(rows["digest"].to_pylist(), rows["vector"].to_pylist(), strict=True))
    return found


def commit(table: Table, rows: Sequence[Row], gone: Collection[str]) -> None:
    """Insert or replace rows by key and delete the keys in `gone`, as one version."""
    if rows or gone:
        data = pa.Table.from_pylist(list(rows), schema=table.schema)
        merge = table.merge_insert("key").when_matched_update_all().when_not_matched_insert_all()
        if gone:
            merge = merge.when_not_matched_by_source_delete(f"key IN ({_quoted(sorted(gone))})")
        merge.execute(data, on_bad_vectors="null")
        tidy(table)


def replaced(path: Path, rows: Sequence[Row], width: int) -> None:
    """Put other rows, with vectors of this width, in place of all there are, as one version."""
    made = schema(width)
    data = pa.Table.from_pylist(list(rows), schema=made)
    tidy(lancedb.connect(path).create_table(NAME, data=data, schema=made, mode="overwrite"))


def tidy(table: Table) -> None:
    """Every few commits: index new texts, join small files and drop versions nobody looks at.

    Until then the new rows are searched without the index.
    """
    indexed = any(index.columns == ["text"] for index in table.list_indices())
    if not indexed:
        english = FTS(stem=True, remove_stop_words=True, ascii_folding=True, with_position=False)
        table.create_index("text", config=english)
    if not indexed or table.stats()["fragment_stats"]["num_fragments"] > FRAGMENTS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            table.optimize(cleanup_older_than=KEPT)


def by_words(table: Table, text: str, where: str | None, limit: int) -> list[Row]:
    """Rows whose text shares words with `text`, best first."""
    query = table.search(text, query_type="fts")
    return _run(query, where, limit)


def by_vector(
    table: Table, vector: np.ndarray[Any, Any], where: str | None, limit: int
) -> list[Row]:
    """Rows whose vectors point where `vector` does, nearest first."""
    return _run(table.search(vector).distance_type("cosine"), where, limit)


def closest(table: Table, text: str, limit: int) -> list[Row]:
    """Papers that share most words with `text`: id, BM25 score and vector."""
    query = table.search(text, query_type="fts").where("kind = 'paper'", prefilter=True)
    rows: list[Row] = query.limit(limit).to_arrow().to_pylist()
    return rows


SHOWN = ["key", "kind", "id", "title", "year", "papers", "implemented"]


def _run(query: Any, where: str | None, limit: int) -> list[Row]:
    if where:
        query = query.where(where, prefilter=True)
    rows: list[Row] = query.limit(limit).to_arrow().select(SHOWN).to_pylist()
    return rows


def quote(text: str) -> str:
    """A string as SQL.

    >>> quote("it's")
    "'it''s'"
    """
    return "'" + sound(text).replace("'", "''") + "'"


def _quoted(values: Sequence[str]) -> str:
    return ", ".join(quote(value) for value in values)


def _portions(values: Sequence[str]) -> Iterator[Sequence[str]]:
    return (values[start : start + AT_ONCE] for start in range(0, len(values), AT_ONCE))


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
