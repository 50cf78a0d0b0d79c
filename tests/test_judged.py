"""The judged queries and what is computed from them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octavo import catalog
from octavo.errors import InputError
from octavo.ingest import judged
from octavo.ingest.library import Library
from octavo.ingest.ranking import MODES, Hit

ASKED = judged.queries()
THEMES = {
    *("pruning", "quantization", "distillation", "low-rank", "data-free", "architecture-search"),
    *("adaptive-inference", "embedding-compression", "attention", "efficient-training"),
    *("kv-cache", "efficient-prompting", "neural-codec"),
}
GRADES = st.lists(st.integers(0, 3), max_size=30)


def test_enough_queries_in_two_halves_of_one_size() -> None:
    halves = [each.half for each in ASKED]
    assert len(ASKED) >= 130
    assert abs(halves.count("dev") - halves.count("test")) <= 1


def test_no_query_twice() -> None:
    assert len({each.id for each in ASKED}) == len(ASKED)
    assert len({judged.content_words(each.query) for each in ASKED}) == len(ASKED)


def test_every_compression_theme_is_asked_for_in_both_halves() -> None:
    for half in judged.HALVES:
        assert {each.id.rpartition("-")[0] for each in ASKED if each.half == half} >= THEMES


@pytest.mark.parametrize("asked", ASKED, ids=lambda asked: asked.id)
def test_graded_records_exist_and_share_no_word_with_the_query(asked: judged.Judged) -> None:
    papers, methods = catalog.papers(), catalog.methods()
    assert asked.relevant.keys() <= papers.keys() | methods.keys()
    assert set(asked.relevant.values()) <= {1, 2, 3}
    for own in asked.best:
        title = papers[own].title if own in papers else methods[own].name
        assert not judged.content_words(asked.query) & judged.content_words(title), title


@given(GRADES)
def test_scores_are_shares_and_the_ideal_order_is_worth_one(gains: list[int]) -> None:
    grades = [gain for gain in gains if gain] or [3]
    ideal = sorted(grades, reverse=True)
    assert 0 <= judged.ndcg(gains, grades) <= judged.ndcg(ideal, grades) == pytest.approx(1)
    assert 0 <= judged.recall(gains, [*grades, 3]) <= 1
    assert judged.mrr(gains) in {0, *(1 / rank for rank in range(1, 11))}


@given(GRADES, st.integers(0, 8))
def test_a_better_hit_further_up_never_lowers_ndcg(gains: list[int], at: int) -> None:
    grades, moved = [gain for gain in gains if gain] or [3], list(gains)
    if at + 1 < len(moved) and moved[at] < moved[at + 1]:
        moved[at], moved[at + 1] = moved[at + 1], moved[at]
    assert judged.ndcg(moved, grades) >= judged.ndcg(gains, grades)


def test_hits_past_the_tenth_count_for_nothing() -> None:
    late = [0] * 10 + [3]
    assert (judged.ndcg(late, [3]), judged.mrr(late), judged.recall(late, [3])) == (0, 0, 0)


def test_a_method_stands_for_its_paper_and_counts_once() -> None:
    hits = [
        Hit("paper", "b", "B", 0.3),
        Hit("method", "m", "M", 0.2, papers=("a", "b")),
        Hit("paper", "a", "A", 0.1),
    ]
    assert judged.gains_of(hits, {"a": 3, "b": 2}) == [2, 3, 0]


@pytest.mark.parametrize("line", ["{", "{}", '{"id": "a"}', "[]", "7"])
def test_a_broken_line_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "queries.jsonl").write_text(line + "\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"queries.jsonl:1: "):
        judged.queries(tmp_path)


def test_a_half_and_what_is_best_are_demanded(tmp_path: Path) -> None:
    for change in ({"half": "third"}, {"relevant": {"a": 2}}):
        line = {"id": "a", "half": "dev", "query": "x", "relevant": {"a": 3}} | change
        (tmp_path / "queries.jsonl").write_text(json.dumps(line), encoding="utf-8")
        with pytest.raises(InputError, match="grade 3"):
            judged.queries(tmp_path)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    return Library(tmp_path_factory.mktemp("library"))


def test_every_mode_is_measured_on_both_halves(library: Library) -> None:
    scores = judged.measure(library)
    asked = [(half, mode) for half in judged.HALVES for mode in MODES]
    assert [(score.half, score.mode) for score in scores] == asked
    assert sum(score.queries for score in scores if score.mode == "words") == len(ASKED)
    assert all(0 < score.ndcg < 1 and 0 < score.recall < 1 for score in scores)


def test_an_unknown_half_or_mode_is_refused(library: Library) -> None:
    with pytest.raises(InputError, match="half"):
        judged.evaluate(library, "third", MODES[0])
    with pytest.raises(InputError, match="mode"):
        judged.evaluate(library, "dev", "sparse")
