"""Sources that are followed: the file keeps its form, a failing source is left alone, lines for the
catalog are whole or not written, and papers that may be one are found."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo import catalog
from octavo.__main__ import main
from octavo.catalog import Paper, Tag
from octavo.errors import InputError
from octavo.ingest import curate, duplicates, follow, run, visits
from octavo.ingest.library import Library
from octavo.ingest.reading import Reading
from octavo.ingest.transport import Client, UnreachableError

FILE = """# What is followed.

[sources.one]  # the first
kind = "feed"
source = "https://one.example/feed"
name = "One"

# A query.
[sources.two]
kind = "arxiv"
source = 'abs:"low rank"'
name = "Two"
limit = 5
"""
NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A small catalog of its own."""
    made = tmp_path / "catalog"
    (made / "papers").mkdir(parents=True)
    (made / "methods").mkdir()
    shutil.copyfile(catalog.ROOT / "taxonomy.toml", made / "taxonomy.toml")
    (made / "sources.toml").write_text(FILE)
    return made


def test_adding_keeps_comments_order_and_all_else(root: Path) -> None:
    made = follow.add("feed", "https://blog.example.org/rss.xml", root=root)
    said = (root / "sources.toml").read_text()
    assert said.startswith(FILE)
    assert made.id == "blog-example-org"
    assert [each.id for each in catalog.sources(root)] == ["one", "two", "blog-example-org"]
    follow.remove("blog-example-org", root)
    assert (root / "sources.toml").read_text() == FILE


def test_removing_takes_one_table(root: Path) -> None:
    follow.remove("one", root)
    said = (root / "sources.toml").read_text()
    assert said.startswith("# What is followed.")
    assert [each.id for each in catalog.sources(root)] == ["two"]


@pytest.mark.parametrize(
    ("kind", "source", "options", "told"),
    [
        ("feeds", "https://x.example/feed", {}, "there are feed, arxiv"),
        ("feed", "https://one.example/feed", {}, "followed already, as one"),
        ("feed", "https://other.example/", {"own": "one"}, "is there already"),
        ("feed", "ftp://x.example/feed", {}, "no address of a feed"),
        ("feed", "https://x.example/feed", {"own": "No Id"}, "give --id"),
        ("feed", "https://x.example/feed", {"limit": 3}, "only for arxiv"),
        ("arxiv", "abs:x", {"limit": 0}, "1 or more"),
        ("text", "  ", {"own": "x"}, "empty source"),
    ],
)
def test_what_cannot_be_followed_is_refused_and_nothing_written(
    root: Path, kind: str, source: str, options: dict[str, object], told: str
) -> None:
    with pytest.raises(InputError, match=told):
        follow.add(kind, source, root=root, **options)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="there are one, two"):
        follow.remove("three", root)
    assert (root / "sources.toml").read_text() == FILE


@given(st.sampled_from(["feed", "arxiv"]), st.text(max_size=60))
def test_ids_made_of_sources_are_ids_or_asked_for(kind: str, source: str) -> None:
    made = follow.slug(kind, source)
    assert len(made) <= 46
    assert not made or follow.SLUG.fullmatch(made) or made == "arxiv-"


class Web:
    """Readers that answer as they are told, and who was asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.says: dict[str, Exception | Reading] = {}
        self.asked: list[tuple[str, str | None]] = []
        readers = {**run.READERS, "feed": self.read, "arxiv": self.read}
        monkeypatch.setattr(run, "READERS", readers)
        monkeypatch.setattr(run.arxiv, "read", self.read)

    def read(
        self,
        source: str,
        client: Client,
        etag: str | None = None,
        modified: str | None = None,
        limit: int = 0,
    ) -> Reading:
        self.asked.append((source, etag))
        answer = self.says.get(source, Reading((), unchanged=True))
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Web:
    return Web(monkeypatch)


def rounds(count: int, library: Library, root: Path) -> list[run.Report]:
    client = Client(now=lambda: NOW)
    return [run.followed(library, client=client, root=root) for _ in range(count)][-1]


ONE, TWO = "https://one.example/feed", 'abs:"low rank"'


def test_three_failures_park_and_unparking_asks_again(root: Path, web: Web, tmp_path: Path) -> None:
    library = Library(tmp_path / "library")
    web.says[ONE] = InputError("not a feed")
    reports = rounds(4, library, root)
    assert [asked for asked, _ in web.asked].count(ONE) == 3
    assert [asked for asked, _ in web.asked].count(TWO) == 4
    assert "octavo follow unpark one" in reports[0].rejected[0].why
    visit = visits.visits(library.path)[ONE]
    assert (visit.parked, visit.failures, visit.why) == (True, 3, "not a feed")
    visits.unpark(library.path, ONE)
    del web.says[ONE]
    rounds(1, library, root)
    assert visits.visits(library.path)[ONE] == visits.Visit(
        tried=NOW.isoformat(), reached=NOW.isoformat()
    )


def test_a_machine_that_is_offline_parks_nothing(root: Path, web: Web, tmp_path: Path) -> None:
    library = Library(tmp_path / "library")
    web.says = {ONE: UnreachableError("no network"), TWO: UnreachableError("no network")}
    rounds(5, library, root)
    assert visits.visits(library.path) == {}
    del web.says[TWO]
    rounds(3, library, root)
    assert visits.visits(library.path)[ONE].parked


def test_validators_are_sent_back_and_kept_through_failures(
    root: Path, web: Web, tmp_path: Path
) -> None:
    library = Library(tmp_path / "library")
    web.says[ONE] = Reading(papers=(), etag='"a"', modified="Tue")
    rounds(1, library, root)
    web.says[ONE] = InputError("broken")
    rounds(2, library, root)
    assert [etag for asked, etag in web.asked if asked == ONE] == [None, '"a"', '"a"']
    assert visits.visits(library.path)[ONE].failures == 2


def test_a_damaged_state_is_no_state(tmp_path: Path) -> None:
    for said in ("", "[1]", '{"x": 3}', '{"x": {"etag": 1, "later": 2}}'):
        (tmp_path / visits.NAME).write_text(said)
        assert visits.visits(tmp_path).get("y") is None


def fresh(own: str, **facts: object) -> Paper:
    given: dict[str, object] = {
        "title": f"A fresh idea called {own}",
        "authors": ("Ada Writer",),
        "year": 2026,
        "arxiv": f"2601.0{len(own):04}",
        "tags": (Tag("pruning", "source:test"),),
    }
    return Paper(own, **given | facts)  # type: ignore[arg-type]


@pytest.fixture
def library(root: Path, tmp_path: Path) -> Library:
    line = {"id": "known", "title": "A known idea about thin networks", "year": 2026}
    (root / "papers" / "2026.jsonl").write_text(json.dumps(line | {"doi": "10.1000/k"}) + "\n")
    made = Library(tmp_path / "library", root=root)
    made.upsert(
        [
            fresh("good"),
            fresh("z-good-too", year=None),
            fresh("nobody", authors=()),
            fresh("nowhere", arxiv=None, title="An idea without an id"),
            fresh("off-topic", tags=()),
            fresh("known-as", title="A known idea about thin network", arxiv="2601.12345"),
        ]
    )
    return made


def test_only_what_is_worth_keeping_becomes_sorted_lines(library: Library, root: Path) -> None:
    before = (root / "papers" / "2026.jsonl").read_text()
    made = curate.curate(library, root)
    assert sorted(made.written) == ["good", "z-good-too"]
    assert set(made.files) == {"catalog/papers/2026.jsonl", "catalog/papers/unknown.jsonl"}
    left = {each.what: each.why for each in made.left}
    assert left["nobody"] == "has no authors yet"
    assert "arXiv" in left["nowhere"]
    assert "shelf" in left["off-topic"]
    assert "looks like known" in left["known-as"]
    lines = (root / "papers" / "2026.jsonl").read_text()
    assert before in lines
    assert [json.loads(line)["id"] for line in lines.splitlines()] == ["good", "known"]
    assert catalog.check_papers(root / "..") == []


def test_a_line_that_breaks_the_schema_leaves_every_file_alone(
    library: Library, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path.name: path.read_bytes() for path in (root / "papers").iterdir()}
    broken = replace(fresh("good"), kind="poem")
    monkeypatch.setattr(Library, "papers", lambda self: iter([broken, fresh("z")]))
    with pytest.raises(InputError, match=r"kind.*nothing is written"):
        curate.curate(library, root)
    assert {path.name: path.read_bytes() for path in (root / "papers").iterdir()} == before


TITLE = "Pruning neural networks without any data by conserving synaptic flow"


def paper(own: str, title: str = TITLE, **facts: object) -> Paper:
    return Paper(own, title, **{"authors": ("H. Tanaka",), "year": 2020} | facts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("other", "kind"),
    [
        (paper("b", TITLE.replace("any ", "")), "edited title"),
        (paper("b", f"SynFlow: {TITLE}"), "edited title"),
        (paper("b", TITLE.upper(), authors=()), "same title"),
        (paper("b", TITLE, doi="10.1000/x", year=2021), "preprint and venue"),
    ],
)
def test_near_duplicates_are_found(other: Paper, kind: str) -> None:
    one = paper("a", arxiv="2006.05467" if kind == "preprint and venue" else None)
    pairs = duplicates.near_duplicates([one, other])
    assert [(pair.one, pair.other, pair.kind) for pair in pairs] == [("a", "b", kind)]
    assert duplicates.near_duplicates([other, one]) == pairs


@pytest.mark.parametrize(
    "other",
    [
        paper("b", authors=("Ada Writer",)),
        paper("b", year=2025),
        paper("b", f"{TITLE} 2"),
        paper("b", "Pruning convolutional networks without labels by keeping gradients"),
    ],
)
def test_papers_that_differ_are_no_near_duplicates(other: Paper) -> None:
    assert duplicates.near_duplicates([paper("a"), other]) == []


@pytest.fixture
def command(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, Any]]:
    """The command line on the small catalog."""
    for name in ("add", "remove"):
        monkeypatch.setattr(follow, name, partial(getattr(follow, name), root=root))
    find = follow.one
    monkeypatch.setattr(follow, "one", lambda own, given=root: find(own, given))
    listed = catalog.sources
    monkeypatch.setattr(catalog, "sources", lambda given=root: listed(given))

    def call(*words: str) -> tuple[int, Any]:
        monkeypatch.setattr(
            sys, "argv", ["octavo", "--library", str(tmp_path / "own"), *words, "--json"]
        )
        try:
            main()
            status = 0
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
        said = capsys.readouterr().out
        return status, json.loads(said) if said else {}

    return call


def test_the_commands_follow_list_unpark_and_remove(
    command: Callable[..., tuple[int, Any]], root: Path
) -> None:
    status, made = command("follow", "add", "arxiv", 'abs:"tiny"', "--limit", "7")
    assert (status, made["id"], made["limit"]) == (0, "arxiv-tiny", 7)
    library = root.parent / "own"
    for _ in range(3):
        visits.failed(library, 'abs:"tiny"', NOW, "429")
    _, shown = command("follow", "list")
    rows = {row["id"]: row for row in shown["sources"]}
    assert list(rows) == ["one", "two", "arxiv-tiny"]
    assert (rows["arxiv-tiny"]["parked"], rows["one"]["parked"]) == (True, False)
    assert command("follow", "unpark", "arxiv-tiny")[0] == 0
    assert not visits.visits(library)['abs:"tiny"'].parked
    assert command("follow", "remove", "arxiv-tiny")[0] == 0
    assert command("follow", "remove", "arxiv-tiny")[0] == 1
    assert (root / "sources.toml").read_text() == FILE
