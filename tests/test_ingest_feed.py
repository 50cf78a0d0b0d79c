"""Feeds: every link to a paper, with its section and anchor, from all three formats."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octavo.catalog.records import Paper
from octavo.errors import InputError
from octavo.ingest import feed
from octavo.ingest.linked import untitled
from octavo.ingest.links import paper_link
from octavo.ingest.outline import outline
from octavo.ingest.transport import Client

FEED = Path(__file__).parent / "data" / "feed.xml"


@pytest.fixture(scope="module")
def papers() -> dict[str, Paper]:
    reading = feed.read(str(FEED), Client())
    assert (reading.posts, reading.links, reading.rejected) == (3, 12, ())
    return {link.key: p for p in reading.papers if (link := paper_link(p.url or ""))}


def test_every_kind_of_link_is_found(papers: dict[str, Paper]) -> None:
    assert set(papers) == {
        "arxiv:2006.05467",
        "openreview:Ab3dEfGh1J",
        "openreview:Zz9yXw8Vu7",
        "arxiv:2004.10568",
        "doi:10.1145/1234567.7654321",
        "acl:p19-1001",
        "pmlr:v119/wang20c",
        "neurips:1001",
        "neurips:1002",
        "openreview:Qq1rRt2sS3",
        "icml:2020/6482",
        "neurips:2ba596643cbbbc20318224181fa46b28",
    }


def test_sections_and_anchors_are_kept(papers: dict[str, Paper]) -> None:
    places = [(s.section, s.anchor) for s in papers["openreview:Zz9yXw8Vu7"].sources]
    assert places == [
        ("1. Thinner networks", "this work"),
        ("1. Thinner networks > Rounding", "this one"),
    ]
    source = papers["acl:p19-1001"].sources[0]
    assert (source.id, source.url) == (
        "feed:leaves.example/spring",
        "https://www.leaves.example/p/spring",
    )
    assert source.section == "2. Elsewhere > Old proceedings"


def test_a_heading_that_is_a_link_is_a_title_and_no_section(papers: dict[str, Paper]) -> None:
    first, third = papers["neurips:1001"], papers["openreview:Qq1rRt2sS3"]
    assert first.title == "Counting the Leaves of a Tree"
    assert first.sources[0].section == "1. Foundations"
    assert third.sources[0].section == "1. Foundations > Other interesting papers:"


def test_an_entry_ends_a_section_that_has_text_of_its_own(papers: dict[str, Paper]) -> None:
    reviewed = papers["icml:2020/6482"]
    assert reviewed.title == "A Review of One Paper"
    assert {source.section for source in reviewed.sources} == {"1. Foundations"}
    assert [source.anchor for source in reviewed.sources] == [
        "A Review of One Paper",
        "the paper",
    ]


def test_a_title_is_told_or_left_out(papers: dict[str, Paper]) -> None:
    bare = papers["neurips:2ba596643cbbbc20318224181fa46b28"]
    assert bare.title == "Learning to Fold Without Creases"
    assert untitled(papers["arxiv:2006.05467"])
    assert papers["arxiv:2006.05467"].arxiv_version == 2
    assert untitled(papers["openreview:Ab3dEfGh1J"])


ATOM = """<feed xmlns="http://www.w3.org/2005/Atom"><title>t</title><id>i</id>
<entry><title>Post</title><id>u</id><link href="https://blog.example/p/post"/>
<content type="html">&lt;h2&gt;Here&lt;/h2&gt;&lt;p&gt;&lt;a
href="https://arxiv.org/abs/2101.00001"&gt;it&lt;/a&gt;&lt;/p&gt;</content></entry></feed>"""
JSON_FEED = {
    "version": "https://jsonfeed.org/version/1.1",
    "title": "t",
    "items": [
        {
            "id": "1",
            "url": "https://blog.example/p/post",
            "title": "Post",
            "content_html": "<h2>Here</h2><p><a href='https://arxiv.org/abs/2101.00001'>it</a></p>",
        }
    ],
}


@pytest.mark.parametrize("text", [ATOM, json.dumps(JSON_FEED)], ids=["atom", "json"])
def test_atom_and_json_say_the_same(tmp_path: Path, text: str) -> None:
    path = tmp_path / "feed"
    path.write_text(text)
    (paper,) = feed.read(str(path), Client()).papers
    assert paper.arxiv == "2101.00001"
    assert (paper.sources[0].id, paper.sources[0].section) == ("feed:blog.example/post", "Here")


def test_plain_text_items_have_their_addresses_read(tmp_path: Path) -> None:
    item = {"id": "1", "title": "Post", "content_text": "See https://arxiv.org/abs/2101.00001."}
    path = tmp_path / "feed.json"
    path.write_text(json.dumps({**JSON_FEED, "items": [item]}))
    (paper,) = feed.read(str(path), Client()).papers
    assert paper.arxiv == "2101.00001"


def test_an_entry_that_is_a_paper_is_taken_whole(tmp_path: Path) -> None:
    path = tmp_path / "rss"
    path.write_text(
        """<rss version="2.0" xmlns:dc="http://purl.org/dc/elements/1.1/"><channel><title>cs.LG</title>
        <item><title>Folding</title><link>https://arxiv.org/abs/2101.00001</link>
        <description>arXiv:2101.00001v1 Announce Type: new
Abstract: We fold where $a&lt;b$ and $c&gt;d$.</description>
        <dc:creator>Ada Folder, Bo Leaf</dc:creator></item></channel></rss>"""
    )
    (paper,) = feed.read(str(path), Client()).papers
    assert (paper.title, paper.authors) == ("Folding", ("Ada Folder", "Bo Leaf"))
    assert paper.abstract == "We fold where $a<b$ and $c>d$."


def test_an_empty_feed_is_right(tmp_path: Path) -> None:
    path = tmp_path / "rss"
    path.write_text('<rss version="2.0"><channel><title>weekend</title></channel></rss>')
    assert feed.read(str(path), Client()).papers == ()


def test_a_cut_feed_is_an_error(tmp_path: Path) -> None:
    whole = FEED.read_bytes()
    path = tmp_path / "cut.xml"
    for share in (0.3, 0.6, 0.9, 0.99):
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(InputError, match="cut off"):
            feed.read(str(path), Client())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Rate exceeded.",
        "<!DOCTYPE html><html><body>Please log in</body></html>",
        '{"error": "no"}',
        "{",
        "/etc/passwd",
        "[" * 100_000,
    ],
)
def test_what_is_no_feed_is_an_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "page"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        feed.read(str(path), Client())
    assert "\n" not in str(caught.value)


def test_entities_are_not_expanded(tmp_path: Path) -> None:
    path = tmp_path / "feed.xml"
    path.write_text(
        '<!DOCTYPE rss [<!ENTITY file SYSTEM "file:///etc/passwd">'
        + "".join(f'<!ENTITY e{n + 1} "{f"&e{n};" * 10}">' for n in range(9))
        + '<!ENTITY e0 "boom">]><rss version="2.0"><channel><title>&file;&e9;</title><item>'
        + "<title>&e9;</title><description>&file;</description></item></channel></rss>"
    )
    reading = feed.read(str(path), Client())
    assert reading.papers == ()


@given(st.binary(max_size=200), st.integers(0, 3000))
@settings(max_examples=60, deadline=None)
def test_damage_gives_a_reading_or_one_line(noise: bytes, at: int) -> None:
    whole = FEED.read_bytes()
    document = feed.Document("feed", None, whole[:at] + noise + whole[at + len(noise) :])
    try:
        posts, _ = feed.posts_of(document)
    except InputError as refusal:
        posts, said = [], str(refusal)
        assert said and "\n" not in said  # noqa: PT018
    assert all(isinstance(paper, Paper) for p in posts for paper in feed.papers_of(p, "feed"))


@given(st.text("<>/abh1 \"'=!-[&;\n", max_size=300))
@settings(max_examples=100, deadline=None)
def test_any_text_has_an_outline(text: str) -> None:
    assert all(anchor.href is not None for anchor in outline(text, lambda _: True))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://arxiv.org/abs/2101.00001v4", "http://www.arxiv.org/pdf/2101.00001.pdf"),
        ("https://arxiv.org/abs/2101.00001", "https://huggingface.co/papers/2101.00001"),
        ("https://openreview.net/forum?id=Ab3dEfGh1J", "https://openreview.net/pdf?id=Ab3dEfGh1J"),
        (
            "https://openreview.net/forum?id=SkgpBJrtvS#discussion",
            "https://iclr.cc/virtual_2020/poster_SkgpBJrtvS.html",
        ),
        (
            "http://papers.nips.cc/paper/7350-are-they",
            "https://papers.nips.cc/paper/7350-are-they.pdf",
        ),
        (
            "https://nips.cc/virtual/2020/public/poster_2ba596643cbbbc20318224181fa46b28.html",
            "https://proceedings.neurips.cc/paper/2020/hash/"
            "2ba596643cbbbc20318224181fa46b28-Abstract.html",
        ),
        (
            "https://proceedings.mlr.press/v119/wang20c.html",
            "http://proceedings.mlr.press/v119/wang20c/wang20c.pdf",
        ),
        ("https://aclanthology.org/P19-1001/", "https://www.aclweb.org/anthology/P19-1001.pdf"),
        ("https://doi.org/10.1145/1.2", "https://dl.acm.org/doi/abs/10.1145/1.2"),
    ],
)
def test_addresses_of_one_paper_agree(one: str, other: str) -> None:
    first, second = paper_link(one), paper_link(other)
    assert first is not None
    assert second is not None
    assert first.key == second.key


@pytest.mark.parametrize(
    "url",
    [
        "https://www.leaves.example/p/a-post",
        "https://blog.example/paper/attention",
        "https://x.com/someone/status/1994106813491630543",
        "https://github.com/a/b",
        "https://mirror.leaves.example",
        "javascript:alert(1)",
        "mailto:a@b.example",
        "#footnote-1",
        "",
        "https://[::1",
        "https://arxiv.org/list/cs.LG/recent",
    ],
)
def test_other_addresses_are_not_papers(url: str) -> None:
    assert paper_link(url) is None
