"""`octavo ingest` and `octavo search`: what scripts rely on. Words only, so that it is quick."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from octavo.__main__ import main
from octavo.ingest import addresses

DATA = Path(__file__).parent / "data"


class Ran(NamedTuple):
    status: int
    out: str
    err: str


class Octavo:
    """The command line in this process, with a library that lives as long as the module."""

    def __init__(self, library: Path) -> None:
        self.library = library

    def __call__(self, capsys: pytest.CaptureFixture[str], *words: str) -> Ran:
        sys.argv = ["octavo", "--library", str(self.library), *words]
        try:
            main()
            status = 0
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
        said = capsys.readouterr()
        return Ran(status, said.out, said.err)


@pytest.fixture(scope="module")
def octavo(tmp_path_factory: pytest.TempPathFactory) -> Octavo:
    return Octavo(tmp_path_factory.mktemp("user") / "library")


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No network."""

    def nowhere(host: str, port: int, seconds: float) -> list[str]:
        raise addresses.DialError(f"no address for {host} (offline)")

    monkeypatch.setattr(addresses, "resolve", nowhere)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    monkeypatch.setattr(sys, "argv", sys.argv)


def test_the_second_time_there_is_nothing_new(
    octavo: Octavo, capsys: pytest.CaptureFixture[str]
) -> None:
    feed = str(DATA / "feed.xml")
    first = octavo(capsys, "ingest", "feed", feed, "--json")
    report = json.loads(first.out)
    assert (first.status, report["source"], report["posts"]) == (0, feed, 3)
    assert report["links"] == 12
    assert report["new"] + report["updated"] == 11  # two links lead to one paper of the catalog
    assert (report["unchanged"], report["rejected"]) == (0, [])
    second = octavo(capsys, "ingest", "feed", feed, "--json")
    report = json.loads(second.out)
    assert (second.status, second.err) == (3, "nothing new\n")
    assert (report["new"], report["updated"], report["unchanged"]) == (0, 0, 11)


def test_rejections_are_named(octavo: Octavo, capsys: pytest.CaptureFixture[str]) -> None:
    ran = octavo(capsys, "ingest", "bibtex", str(DATA / "library.bib"), "--json")
    report = json.loads(ran.out)
    assert (report["new"], report["updated"]) == (2, 1)  # the feed has told of one of them
    assert [set(each) for each in report["rejected"]] == [{"what", "why"}] * 4


@pytest.mark.parametrize(
    "words",
    [
        ("ingest", "feed", "/no/such/file"),
        ("ingest", "feed", "file:///etc/passwd"),
        ("ingest", "feed", str(DATA / "library.bib")),
        ("ingest", "feed", "https://blog.example/feed"),
        ("ingest", "arxiv", "2101.00001"),
        ("ingest", "poems", "x"),
        ("search", " "),
        ("search", "leaf", "--theme", "nope"),
        ("search", "leaf", "--year", "soon"),
    ],
)
def test_an_error_is_one_line(
    octavo: Octavo, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    ran = octavo(capsys, *words)
    assert (ran.status, ran.out) == (1, "")
    assert len(ran.err.strip().split("\n")) == 1


def test_a_command_without_a_source_is_wrong_usage(
    octavo: Octavo, capsys: pytest.CaptureFixture[str]
) -> None:
    assert octavo(capsys, "ingest", "feed").status == 2


def test_followed_sources_offline_are_one_line(
    octavo: Octavo, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = octavo(capsys, "ingest", "followed")
    assert ran.status == 3
    assert ran.err.startswith("none of ")
    assert ran.err.endswith("\nnothing new\n")
    assert ran.err.count("\n") == 2


def test_search_prints_one_document(octavo: Octavo, capsys: pytest.CaptureFixture[str]) -> None:
    ran = octavo(capsys, "search", "strips of a filter", "--limit", "5", "--json")
    document = json.loads(ran.out)
    assert (ran.status, document["query"]) == (0, "strips of a filter")
    assert {"kind", "id", "title", "score"} <= set(document["hits"][0])
    assert (document["encoder"], ran.err) == ("static", "")


def test_finding_nothing_is_no_error(octavo: Octavo, capsys: pytest.CaptureFixture[str]) -> None:
    ran = octavo(capsys, "search", "xyzzyplugh", "--year", "1900")
    assert (ran.status, ran.out) == (0, "nothing found\n")
