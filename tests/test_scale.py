"""Ten thousand papers that nobody wrote, and the themes of each list: what the benches stand on."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from typer.testing import CliRunner

from octavo import catalog, emerging, scale
from octavo.__main__ import app
from octavo.catalog import Paper, Source
from octavo.ingest.library import Library
from octavo.ingest.run import ingest

SEEDS = [
    Paper("a", "Pruning of {braces} & 50 %", summary="Weights leave early"),
    Paper("b", "Nets"),
]


def test_neighbours_are_the_same_in_every_run_and_of_another_seed_others() -> None:
    one, again = (list(scale.neighbours(40, SEEDS)) for _ in range(2))
    assert one == again
    assert one != list(scale.neighbours(40, SEEDS, seed=1))
    assert len({paper.arxiv for paper in one}) == len({paper.id for paper in one}) == 40
    words = {word for paper in one for word in (paper.title + paper.abstract[:-1]).lower().split()}
    assert words >= {"pruning", "weights", "leave", "early", "nets"}
    assert not any("{" in word or "%" in word for word in words)


def test_the_bibliography_is_taken_in_whole(tmp_path: Path) -> None:
    papers = list(scale.neighbours(30, SEEDS))
    file = tmp_path / "neighbours.bib"
    file.write_text(scale.bibliography(papers))
    library = Library(tmp_path / "library")
    report = ingest("bibtex", [str(file)], library)[0]
    assert (report.new, report.rejected) == (30, ())
    taken = {paper.arxiv: paper for paper in library.papers()}
    for paper in papers:
        got = taken[paper.arxiv]
        assert (got.title, got.year, got.abstract) == (paper.title, paper.year, paper.abstract)
        assert got.authors == paper.authors


def test_a_list_with_enough_papers_is_a_shelf_of_its_own() -> None:
    def listed(number: int, name: str) -> Paper:
        return Paper(f"{name}-{number}", "X", sources=(Source(f"list:{name}"),))

    papers = [listed(n, "large") for n in range(emerging.FEWEST)]
    papers += [listed(n, "small") for n in range(emerging.FEWEST - 1)]
    papers += [Paper("gone", "X", status="withdrawn", sources=(Source("list:large"),))]
    made = emerging.shelves({paper.id: paper for paper in papers})
    assert {name: len(each) for name, each in made.items()} == {
        emerging.ALL: 2 * emerging.FEWEST - 1,
        "list:large": emerging.FEWEST,
    }


def test_the_recorded_themes_are_of_the_shelves_there_are() -> None:
    for run in catalog.theme_runs()[-1:]:
        for shelf in run["shelves"]:
            sizes = Counter(theme["name"] for theme in shelf["themes"])
            assert max(sizes.values()) == 1, shelf["of"]
            assert sum(theme["size"] for theme in shelf["themes"]) <= shelf["papers"]
            assert -1 <= shelf["stability"] <= 1


def test_what_is_measured_by_itself_is_named_alone() -> None:
    run = CliRunner().invoke(app, ["bench", "scale", "synflow"])
    assert "scale is measured by itself" in str(run.exception)
