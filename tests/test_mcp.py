"""The server for language models, asked by the official client over a subprocess's pipes."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from octavo import catalog
from octavo import mcp as home
from octavo.catalog import Result, documents, query
from octavo.errors import InputError

sdk = pytest.importorskip("mcp", reason="the MCP SDK is not installed")
ROOT = Path(__file__).resolve().parents[1]
CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "coverage": ("coverage", {}),
    "search": ("search", {"query": "prune before training without any data", "limit": 3}),
    "paper": ("get_paper", {"id": "synflow"}),
    "method": ("get_method", {"id": "synflow"}),
    "few bits": ("list_methods", {"where": "bits <= 4", "theme": "quantization"}),
    "holding": ("list_methods", {"runnable_only": True, "holds": True}),
    "no such paper": ("get_paper", {"id": "no-such-paper"}),
    "no such test": ("list_methods", {"where": "bits"}),
    "no such method": ("run_claims", {"method": "no-such-method"}),
    "too long": ("run_claims", {"method": "synflow", "seconds": 1e9}),
    "cut short": ("run_claims", {"method": "synflow", "seconds": 0.2}),
    "bad argument": ("search", {"query": "x", "limit": "many"}),
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The tools, and what each call is answered, in one session."""
    library = str(tmp_path_factory.mktemp("library") / "x")
    line = ["-m", "octavo", "--library", library, "mcp"]
    started = sdk.StdioServerParameters(
        command=sys.executable, args=line, cwd=ROOT, env=dict(os.environ)
    )

    async def ask() -> dict[str, Any]:
        async with sdk.Client(started) as client:
            found: dict[str, Any] = {"tools": (await client.list_tools()).tools}
            for name, (tool, given) in CALLS.items():
                found[name] = await client.call_tool(tool, given)
            return found

    with ThreadPoolExecutor(1) as apart:  # a browser's driver may hold this thread's loop
        return apart.submit(asyncio.run, ask()).result()


def said(answer: Any) -> dict[str, Any]:
    assert not answer.is_error, answer.content
    document: dict[str, Any] = answer.structured_content
    assert json.loads(answer.content[0].text) == document
    return document


def test_every_tool_is_offered_and_described(answers: dict[str, Any]) -> None:
    tools = {tool.name: tool for tool in answers["tools"]}
    assert tools.keys() == {tool for tool, _ in CALLS.values()}
    assert all(tool.description for tool in tools.values())
    assert tools["search"].input_schema["required"] == ["query"]


def test_coverage_counts_what_is_there(answers: dict[str, Any]) -> None:
    known = said(answers["coverage"])
    runs = [run for m in catalog.methods() for run in catalog.latest(m).values()]
    assert known["papers"] == len(catalog.papers())
    assert known["methods"] == sum(known["themes"].values()) == len(catalog.methods())
    assert sum(known["verdicts"].values()) == len(runs)
    assert f"{len(catalog.papers()):,} papers" in known["statement"]
    assert "does not hold" in known["statement"]


def test_records_are_those_of_octavo_show(answers: dict[str, Any]) -> None:
    for name in ("paper", "method"):
        plain = json.loads(json.dumps(documents.find(f"{name}s/synflow")))
        assert said(answers[name]) == plain


def test_search_finds_the_method(answers: dict[str, Any]) -> None:
    hits = said(answers["search"])["hits"]
    assert len(hits) == 3
    assert hits[0]["id"] == "synflow"


def test_methods_are_listed_by_constraint(answers: dict[str, Any]) -> None:
    listed = [row["id"] for row in said(answers["few bits"])["methods"]]
    assert listed == [m.id for m in query.select("quantization", (), "bits <= 4")]
    for row in said(answers["holding"])["methods"]:
        assert row["implemented"]
        assert {line["verdict"] for line in row["results"]} == {"holds"}


@pytest.mark.parametrize(
    ("call", "told"),
    [
        ("no such paper", "did you mean|octavo search"),
        ("no such test", "write comparisons such as"),
        ("no such method", "implemented are"),
        ("too long", "600 at most"),
        ("bad argument", "limit"),
    ],
)
def test_a_refusal_says_what_to_do(answers: dict[str, Any], call: str, told: str) -> None:
    assert answers[call].is_error
    assert re.search(told, answers[call].content[0].text)


def test_claims_end_with_their_time(answers: dict[str, Any]) -> None:
    ledger = said(answers["cut short"])
    assert not ledger["finished"]
    claims = {claim.id for claim in catalog.methods()["synflow"].claims}
    assert {row["id"] for row in ledger["claims"]} | set(ledger["not_measured"]) == claims


def results() -> list[Result]:
    return list(catalog.latest("synflow").values())[:2]


def finishes(method: str, seed: int, out: Any) -> None:
    for each in [*results(), None]:
        out.send(each)


def is_slow(method: str, seed: int, out: Any) -> None:
    out.send(results()[0])
    time.sleep(60)


def fails(method: str, seed: int, out: Any) -> None:
    out.send(RuntimeError("ValueError: no"))


def dies(method: str, seed: int, out: Any) -> None:
    os._exit(7)


@pytest.fixture
def forked(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The measuring process as a fork, so that a stand-in for the measuring can run in it."""
    fork = multiprocessing.get_context("fork")
    monkeypatch.setattr(home.multiprocessing, "get_context", lambda kind: fork)
    return monkeypatch


def test_what_was_measured_in_time_is_returned(forked: pytest.MonkeyPatch) -> None:
    forked.setattr(home, "_measure", finishes)
    ledger = home.Answers(Path("unused")).run_claims("synflow", seconds=30)
    assert ledger["finished"]
    assert [row["measured"] for row in ledger["claims"]] == [each.value for each in results()]
    forked.setattr(home, "_measure", is_slow)
    found, whole = home._measured("synflow", 0, 1.0)
    assert [asdict(each) for each in found] == [asdict(results()[0])]
    assert not whole


def test_a_method_that_fails_is_told_in_one_line(forked: pytest.MonkeyPatch) -> None:
    forked.setattr(home, "_measure", fails)
    with pytest.raises(InputError, match="synflow failed: ValueError: no"):
        home._measured("synflow", 0, 30.0)
    forked.setattr(home, "_measure", dies)
    with pytest.raises(InputError, match="ended without an answer"):
        home._measured("synflow", 0, 30.0)
