"""Themes of a library: found where they are, the same from every seed, and named by their words."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from octavo import catalog
from octavo.__main__ import app
from octavo.catalog import Paper, Source
from octavo.errors import InputError
from octavo.ingest import clusters

SHELVES = {
    "pruning": ("Filter pruning", "Channel pruning", "Weight pruning", "Pruning of heads"),
    "distillation": ("Knowledge distillation", "Distilling a teacher", "Student and teacher"),
    "cache": ("Key-value cache eviction", "KV cache compression", "Cache of keys and values"),
}
ENDINGS = ("for transformers", "on small devices", "at scale", "in practice", "revisited")


def made() -> list[Paper]:
    """Papers of three plain themes."""
    return [
        Paper(
            f"{theme}-{at}-{end}",
            f"{start} {ending}",
            year=2020 + end % 3,
            venue="NeurIPS 2020" if theme == "cache" else None,
            sources=(Source(f"feed:{theme}"),),
        )
        for theme, starts in SHELVES.items()
        for at, start in enumerate(starts)
        for end, ending in enumerate(ENDINGS)
    ]


def test_plain_themes_are_found_from_every_seed() -> None:
    papers = made()
    found = clusters.cluster(papers, 3)
    assert found.stability > 0.9
    assert str(found) == f"3 research themes and {len(papers)} papers"
    for each in found.themes:
        homes = {own.partition("-")[0] for own in each.members}
        assert len(homes) == 1, each
        assert sum(each.years.values()) == each.size == len(each.members)
    assert {own for each in found.themes for own in each.members} == {p.id for p in papers}


def test_the_same_seed_gives_the_same_themes() -> None:
    papers = made()
    assert clusters.cluster(papers, seed=3) == clusters.cluster(papers, seed=3)


def test_a_source_and_a_venue_are_told_apart() -> None:
    papers = made()
    assert {p.id.partition("-")[0] for p in clusters.chosen(papers, "feed:pruning")} == {"pruning"}
    assert {p.id.partition("-")[0] for p in clusters.chosen(papers, venue="neurips")} == {"cache"}
    with pytest.raises(InputError, match="0 papers of source 'none' and venue 'x'"):
        clusters.chosen(papers, "none", "x")
    with pytest.raises(InputError, match="give 2 to"):
        clusters.cluster(papers, 1)


@given(st.integers(6, 5000))
def test_numbers_of_themes_that_are_tried_fit_the_papers(papers: int) -> None:
    tried = clusters.candidates(papers)
    assert tried
    assert all(2 <= number <= papers // 2 for number in tried)


@given(st.lists(st.lists(st.sampled_from(["sparse maps", "dense maps", "maps"]), max_size=5)))
def test_a_name_repeats_no_word(groups: list[list[str]]) -> None:
    for its in clusters.distinguishing(groups):
        words = [word for term in its for word in term.split()]
        assert len(words) == len(set(words))


def test_directions_are_unit_vectors() -> None:
    rows = np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32)
    assert np.allclose(np.linalg.norm(clusters.directions(rows, 0), axis=1), 1)


def test_command_tells_of_the_catalog(tmp_path: Path) -> None:
    line = ["--library", str(tmp_path), "themes", "--source", "Awesome-Pruning", "--json"]
    run = CliRunner().invoke(app, line)
    assert run.exit_code == 0, run.output
    told = json.loads(run.stdout)
    mine = [p for p in catalog.papers().values() if "Awesome-Pruning" in str(p.sources)]
    assert told["papers"] == len(mine)
    assert told["summary"] == f"{len(told['themes'])} research themes and {len(mine)} papers"
    assert 0 < told["stability"] <= 1
    assert all(each["name"] and each["papers"] for each in told["themes"])
