"""arXiv answers, bibliographies, lists and files of abstracts, as papers."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pylatexenc.latex2text import LatexNodes2Text

from octavo.errors import InputError
from octavo.ingest import arxiv, bibtex, text
from octavo.ingest.linked import untitled
from octavo.ingest.outline import tidy
from octavo.ingest.reading import Document
from octavo.ingest.transport import Answer, Client

DATA = Path(__file__).parent / "data"
ATOM = (DATA / "arxiv.xml").read_bytes()


@dataclass
class Recorded(Client):
    """A client that answers from memory, and fails the test when an answer is left unused."""

    answers: list[bytes] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def get(
        self, url: str, *, etag: str | None = None, modified: str | None = None, tries: int = 0
    ) -> Answer:
        self.asked.append(url)
        return Answer(url, 200, {}, self.answers.pop(0))


@pytest.fixture
def recorded() -> Callable[..., Recorded]:
    return lambda *answers: Recorded(answers=list(answers), sleep=lambda _: None)


def test_ids_become_papers(recorded: Callable[..., Recorded]) -> None:
    client = recorded(ATOM)
    reading = arxiv.read("2101.00001v3,cs/0102003,2101.99999", client)
    first, second = reading.papers
    assert (first.arxiv, first.arxiv_version, first.title) == (
        "2101.00001",
        3,
        "Folding a Sheet Three Times",
    )
    assert first.abstract == "We fold where $a<b$ and $c>d$."
    assert first.authors == ("Ada Folder", "Bo Leaf")
    assert (first.doi, first.categories, first.year) == (
        "10.1145/1111111.2222222",
        ("cs.LG", "stat.ML"),
        2021,
    )
    assert (second.arxiv, second.status, first.status) == ("cs/0102003", "withdrawn", "active")
    assert [rejection.what for rejection in reading.rejected] == ["2101.99999"]
    assert "id_list=2101.00001v3%2Ccs%2F0102003%2C2101.99999" in client.asked[0]


def test_a_query_reads_page_after_page(
    recorded: Callable[..., Recorded], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arxiv, "PAGE", 2)
    total = ATOM.replace(b"Results>2<", b"Results>3<")
    last = total.replace(b"2101.00001v3", b"2101.00007v1").replace(b"cs/0102003v2", b"cs/0102009v1")
    client = recorded(total, last)
    reading = arxiv.read("cat:cs.LG AND abs:folding", client, limit=3)
    assert [paper.arxiv for paper in reading.papers] == ["2101.00001", "cs/0102003", "2101.00007"]
    assert [url.split("start=")[1].split("&")[0] for url in client.asked] == ["0", "2"]
    assert reading.papers[0].sources[0].section == "cat:cs.LG AND abs:folding"


def test_a_page_that_repeats_stops_the_query(
    recorded: Callable[..., Recorded], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arxiv, "PAGE", 2)
    endless = ATOM.replace(b"Results>2<", b"Results>9<")
    with pytest.raises(InputError, match="repeats a page"):
        arxiv.read("abs:x", recorded(endless, endless), limit=9)


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        b"Rate exceeded.",
        b"<html><body>maintenance</body></html>",
        b"<!DOCTYPE html><p>Please <br> log in",
        b'{"error": 1}',
        ATOM[: len(ATOM) // 2],
        ATOM.replace(b"Results>2<", b"Results>5<"),
    ],
    ids=["empty", "rate", "html", "tag soup", "json", "cut", "fewer than announced"],
)
def test_a_wrong_200_is_asked_again_and_never_taken(
    recorded: Callable[..., Recorded], wrong: bytes
) -> None:
    assert len(arxiv.read("abs:x", recorded(wrong, ATOM)).papers) == 2
    with pytest.raises(InputError, match="3 tries"):
        arxiv.read("abs:x", recorded(wrong, wrong, wrong))


def test_no_results_is_an_answer(recorded: Callable[..., Recorded]) -> None:
    empty = ATOM[: ATOM.index(b"<entry>")].replace(b"Results>2<", b"Results>0<") + b"</feed>"
    assert arxiv.read("abs:x", recorded(empty)).papers == ()


def test_arxivs_own_error_is_told(recorded: Callable[..., Recorded]) -> None:
    error = ATOM.replace(b"abs/2101.00001v3", b"api/errors#bad").replace(
        b"We fold where", b"incorrect id format for"
    )
    with pytest.raises(InputError, match="incorrect id format"):
        arxiv.read("2101.00001", recorded(error))


@pytest.mark.parametrize(
    ("comment", "withdrawn"),
    [
        ("This paper has been withdrawn", True),
        ("Withdrawn due to an error", True),
        ("The article was withdrawn by its authors", True),
        ("12 pages; replaces a withdrawn paper", False),
        ("Funds were withdrawn in the experiment", False),
    ],
)
def test_withdrawals_are_read_from_the_comment(comment: str, withdrawn: bool) -> None:
    assert bool(arxiv.WITHDRAWN.match(comment)) is withdrawn


def test_whole_entries_are_taken_and_broken_ones_named_with_their_line() -> None:
    path = str(DATA / "library.bib")
    reading = bibtex.read(path, Client())
    assert [paper.title for paper in reading.papers] == [
        "Folding a Sheet Three Times",
        r"Café Leaves and $\ell_1$ Norms",
        "Another Paper Under a Used Key",
    ]
    assert [rejection.what.removeprefix(path) for rejection in reading.rejected] == [
        ":14: comma",
        ":20: swallowed",
        ":25: @misc{open",
        ":39: untitled",
    ]
    assert "year is lost" in reading.rejected[0].why
    assert "title is lost" in reading.rejected[1].why


def test_ids_authors_and_strings_of_an_entry() -> None:
    first, second, _ = bibtex.read(str(DATA / "library.bib"), Client()).papers
    assert (first.arxiv, first.arxiv_version) == ("2101.00001", 2)
    assert (first.authors, first.authors_complete) == (("Ada Folder", "Bo Leaf"), False)
    assert (first.venue, first.year) == ("Conference on Folding", 2020)
    assert (second.authors, second.doi) == (("Jürgen Müller",), "10.1145/3333333.4444444")


@given(st.integers(0, 1200), st.sampled_from(["", "{", "}", ",", '"', "@", "\n@article{x,", "="]))
@settings(max_examples=80, deadline=None)
def test_a_damaged_bibliography_still_reads(at: int, put: str) -> None:
    whole = (DATA / "library.bib").read_text()
    document = Document("x.bib", None, (whole[:at] + put + whole[at + 1 :]).encode())
    entries, _ = bibtex.entries_of(document)
    for entry in entries:
        fields = {name: str(each.value) for name, each in entry.fields_dict.items()}
        if bibtex.broken(fields) is None:
            assert bibtex.paper_of(fields, bibtex.Source("x")).title


def test_a_list_gives_its_sections_as_tags() -> None:
    reading = text.read(str(DATA / "list.md"), Client())
    first, second, third = reading.papers
    assert first.title == "Folding a Sheet Three Times"
    assert {tag.id for tag in first.tags} == {"a-list-of-folds", "pruning-at-the-edge"}
    assert {tag.origin for tag in first.tags} == {"source:file:list.md"}
    assert second.openreview == "Qq1rRt2sS3"
    assert {tag.id for tag in second.tags} == {"a-list-of-folds", "quantization", "weight-only"}
    assert (third.arxiv, third.title) == ("2101.00002", "Rounding Again With Fewer Bits Still")


def test_an_html_page_reads_like_a_markdown_one(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(
        '<!DOCTYPE html><html><h2>Folds</h2><ul><li><a href="https://arxiv.org/abs/2101.00001">'
        "Folding a Sheet Three Times</a></ul></html>"
    )
    (paper,) = text.read(str(page), Client()).papers
    assert (paper.title, paper.tags[0].id) == ("Folding a Sheet Three Times", "folds")


def test_abstracts_are_papers_without_a_name(tmp_path: Path) -> None:
    long = "We fold the sheet again and again until it is small. " * 6
    path = tmp_path / "abstracts.txt"
    path.write_text(f"{long}\n\nToo short.\n{long} More.\u2028Same line.")
    reading = text.read(str(path), Client())
    assert len(reading.papers) == 2
    assert all(untitled(paper) and paper.abstract for paper in reading.papers)
    assert [rejection.what for rejection in reading.rejected] == [f"{path}:3"]


def test_a_text_with_nothing_in_it_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("Buy milk.")
    with pytest.raises(InputError, match="no abstract and no link"):
        text.read(str(path), Client())


TEX = [
    "word",
    "Two",
    "{",
    "}",
    "$",
    r"\%",
    r"\alpha",
    " ",
    "  ",
    "\n",
    r"\'e",
    r"\"{o}",
    r"\' ",
    "--",
]
TEX += [
    "``",
    "''",
    "~",
    r"\emph{x y}",
    "%",
    r"\&",
    "^",
    "_",
    "1",
    r"\\",
    r"\$",
    "{B C}",
    "$a + b$",
    "é",
    "-",
]


@given(st.lists(st.sampled_from(TEX), max_size=14).map("".join))
@settings(max_examples=600, deadline=None)
def test_tex_read_in_pieces_is_tex_read_whole(tex: str) -> None:
    try:
        whole = LatexNodes2Text(math_mode="verbatim").latex_to_text(tex)
    except Exception:
        whole = tex
    assert bibtex.plain(tex) == tidy(re.sub(r"[{}]", "", whole))
