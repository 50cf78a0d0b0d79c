"""The digest of a week: its papers first, each with reasons, and only the authors' own words."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from octavo import catalog
from octavo.__main__ import app
from octavo.catalog import Paper, Tag
from octavo.errors import InputError
from octavo.ingest.digest import Desk, desk
from octavo.ingest.digest_text import markdown
from octavo.ingest.library import Library
from octavo.ingest.sentences import PARTS, quotes, sentences
from octavo.ingest.tag_lessons import unrelated
from octavo.ingest.weeks import Week, before, day_of, week_of

WEEK = week_of("2019-W42")
FOUR = {"1910.06961", "1910.06466", "1910.06188", "1910.06360"}  # of that week's overview
ABSTRACT = (
    "Large video models are too slow for phones. We propose TinyThing, e.g. a network of 3.5 "
    "layers. Experiments show that it is 10x faster at the same accuracy. Code is there."
)


PHRASES = (
    *("We propose it. ", "However, this is slow! ", "Results improve by 3.5 %. ", "e.g. ", "A. "),
    *("see Fig. 2, ", "(which is 2x faster.) ", "\n", "é", "…  ", "Is it? ", "no end", "."),
)


def four() -> list[Paper]:
    return [paper for paper in catalog.papers().values() if paper.arxiv in FOUR]


def neighbours() -> list[Paper]:
    """Papers of the same days about other things, and papers on compression of other days."""
    titles = [each["title"] for each in unrelated("test")]
    same_days = [
        Paper(f"other-{at}", title, ("A. Body",), year=2019, arxiv=f"1910.0{6000 + 7 * at}")
        for at, title in enumerate(titles[-130:])
    ]
    early = [
        Paper(f"early-{at}", f"Pruning networks, part {at}", year=2019, arxiv=f"1909.{at:05}")
        for at in range(30)
    ]
    late = [
        Paper(f"late-{at}", f"Quantizing networks, part {at}", year=2019, arxiv=f"1911.{at:05}")
        for at in range(30)
    ]
    undated = [
        Paper(f"undated-{at}", f"Distilling teachers, part {at}", year=2019) for at in range(30)
    ]
    return [*same_days, *early, *late, *undated]


def test_the_four_of_the_week_come_first_among_unrelated_papers(tmp_path: Path) -> None:
    around = neighbours()
    assert len(around) >= 200
    Library(tmp_path).upsert([*around[:100], *four(), *around[100:]])
    line = ["--library", str(tmp_path), "digest", "--week", "2019-W42", "--json"]
    run = CliRunner().invoke(app, line)
    assert run.exit_code == 0, run.output
    told = json.loads(run.stdout)
    assert told["week"] == "2019-W42"
    assert {pick["id"] for pick in told["picks"][:4]} == {paper.id for paper in four()}
    assert len(told["picks"]) < 20
    for pick in told["picks"]:
        assert pick["theme"] in catalog.taxonomy().themes
        assert pick["why"]


def test_the_four_come_first_without_any_other_paper_and_without_tags() -> None:
    bare = [Paper(p.id, p.title, p.authors, year=2019, arxiv=p.arxiv) for p in four()]
    picks = desk([*neighbours(), *bare]).digest(WEEK).picks
    assert {pick.id for pick in picks[:4]} == {paper.id for paper in bare}


def test_picks_say_why_and_quote_only_what_stands_in_the_abstract() -> None:
    paper = Paper("tiny", "Pruning video models", year=2019, arxiv="1910.06500", abstract=ABSTRACT)
    old = Paper("old", "Pruning image models", year=2018, arxiv="1810.06500")
    told = desk([paper, old]).digest(WEEK)
    (pick,) = told.picks
    assert [quote.part for quote in pick.summary] == list(PARTS)
    assert all(quote.sentence in ABSTRACT for quote in pick.summary)
    assert pick.nearest_paper == "old"
    assert 0 < pick.novelty < 1
    assert "pruning" in pick.why
    text = markdown(told, catalog.taxonomy().themes)
    assert text.startswith("# Week 2019-W42")
    assert "“Large video models are too slow for phones.” (the authors, abstract)" in text


def test_without_an_abstract_it_says_so() -> None:
    (pick,) = desk([Paper("tiny", "Pruning video models", arxiv="1910.06500")]).digest(WEEK).picks
    assert pick.summary == ()
    assert "no abstract" in (pick.no_summary or "")
    assert pick.nearest_paper is None
    assert pick.novelty == 1


def test_a_theme_keeps_its_own_and_an_unknown_one_is_an_error() -> None:
    at = desk(four())
    only = at.digest(WEEK, "quantization").picks
    assert [pick.title for pick in only] == ["Q8BERT: Quantized 8Bit BERT"]
    with pytest.raises(InputError, match="no theme 'bees'"):
        at.digest(WEEK, "bees")


def test_an_empty_week_says_so_and_that_nothing_was_fetched(tmp_path: Path) -> None:
    line = ["--library", str(tmp_path), "digest", "--week", "1999-W01", "--json"]
    run = CliRunner().invoke(app, line)
    told = json.loads(run.stdout)
    assert told["picks"] == []
    assert "no paper of 1999-W01" in told["note"]
    assert "nothing was fetched" in told["note"]
    assert "nothing was fetched" in str(run.exception)


def test_a_paper_withdrawn_or_on_no_shelf_is_not_picked() -> None:
    gone = Paper("gone", "Pruning networks", arxiv="1910.06500", status="withdrawn")
    bees = Paper("bees", "Wing beats of bees", arxiv="1910.06501", tags=(Tag("other", "curated"),))
    assert desk([gone, bees]).digest(WEEK).picks == ()


def test_a_desk_without_methods_or_papers_works() -> None:
    empty = Desk([], {}, catalog.taxonomy(), ())
    assert empty.digest(WEEK).picks == ()
    assert empty.weeks(1) == []


@given(st.integers(2000, 2100), st.integers(1, 52))
def test_weeks_are_written_as_they_are_read(year: int, number: int) -> None:
    week = Week(year, number)
    assert week_of(str(week)) == week
    assert week.last - week.first == timedelta(days=6)
    assert before(week.first + timedelta(days=7)) == week


@pytest.mark.parametrize("text", ["2019", "2019-42", "2019-W54", "2019-W00", "", "W42"])
def test_what_is_no_week_is_an_error(text: str) -> None:
    with pytest.raises(InputError, match="give an ISO week"):
        week_of(text)


@given(st.integers(8, 25), st.integers(1, 12), st.integers(1, 99999), st.integers(0, 5000))
def test_days_follow_numbers_within_their_month(year: int, month: int, at: int, on: int) -> None:
    one, other = (
        day_of(Paper("x", "X", arxiv=f"{year:02}{month:02}.{min(number, 99999):05}"))
        for number in (at, at + on)
    )
    assert one is not None
    assert other is not None
    assert one <= other
    assert (one.year, one.month) == (other.year, other.month) == (2000 + year, month)


def test_what_has_no_number_has_no_day() -> None:
    old, bare = Paper("x", "X", arxiv="cs/0112017"), Paper("x", "X", year=2019)
    assert day_of(old) is None
    assert day_of(bare) is None


@given(st.lists(st.sampled_from(PHRASES), max_size=12).map("".join))
def test_sentences_are_the_text_and_quotes_are_sentences(text: str) -> None:
    cut = sentences(text)
    assert " ".join(cut).split() == text.split()
    told = quotes(text)
    assert len({quote.part for quote in told}) == len(told) <= 3
    assert all(quote.sentence in cut for quote in told)
