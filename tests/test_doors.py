"""The doors out: each form is read by a program that is not ours, and says what the records say."""

from __future__ import annotations

import json
import re
import warnings
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Tree

import bibtexparser
import feedparser
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree
from markdown_it import MarkdownIt
from pyarrow import parquet

from octavo.catalog import Claim, Method, Paper, Result, Tag
from octavo.site import bibtex, markup
from octavo.site.build import all_pages
from octavo.site.doors import (
    address,
    badges,
    croissant,
    csl,
    dump,
    feeds,
    linked_data,
    news,
    through,
    twins,
)
from octavo.site.holdings import Holdings, gather
from octavo.site.markup import Page

ATOM_RULES = Path(__file__).parent / "atom.rng"
HOSTILE = "A <b>$x_1$</b> {{ page }} ]]> | `code` & </script><script>alert(1)</script> *a* \x07 é"
PLAIN = st.text(st.characters(blacklist_categories=("Cs", "Cc", "Co", "Cn", "Zl", "Zp")))
STATEMENT = Claim("sure", HOSTILE, "Table 1", "error", HOSTILE, "small", ">=", 1.0, unit="times")


def run(verdict: str, date: str, quick: bool = False, claim: str = "sure") -> Result:
    facts: dict[str, Any] = dict.fromkeys(Result.__dataclass_fields__)
    return Result(
        **facts
        | {"method": "hostile", "claim": claim, "value": 1.5, "verdict": verdict, "date": date}
        | {"seeds": (0, 1, 2), "quick": quick, "command": "octavo bench hostile", "cpu": "Some CPU"}
        | {"commit": "0123456789abcdef", "code_hash": "x", "versions": {}, "seconds": 1.0}
    )


@pytest.fixture(scope="module")
def real() -> Holdings:
    return gather()


@pytest.fixture(scope="module")
def hostile(real: Holdings, tmp_path_factory: pytest.TempPathFactory) -> Holdings:
    """A few records in which every text is meant to break a format."""
    nobody = tmp_path_factory.mktemp("nothing")
    paper = Paper(
        "hostile",
        HOSTILE,
        (HOSTILE, "Aaron van den Oord"),
        year=2020,
        arxiv="2006.05467",
        venue=HOSTILE,
        abstract=HOSTILE,
        summary=HOSTILE,
        tags=(Tag("pruning", "curated"),),
    )
    bare = Paper("bare", "A bare title", status="withdrawn")
    method = Method("hostile", HOSTILE, ("hostile",), "pruning", idea=HOSTILE, claims=(STATEMENT,))
    runs = (run("trend only", "2026-01-01"), run("holds", "2026-02-01T10:00:00+00:00"))
    return replace(
        real,
        papers={"hostile": paper, "bare": bare},
        methods={"hostile": method},
        latest={"hostile": {"sure": runs[-1]}},
        history={"hostile": runs},
        impls=nobody,
        kernels_dir=nobody,
        speeds={},
        models=(),
    )


@pytest.fixture(scope="module")
def pages(hostile: Holdings) -> list[Page]:
    return list(all_pages(hostile))


@pytest.fixture(scope="module")
def files(hostile: Holdings, pages: list[Page]) -> dict[str, bytes]:
    return dict(through.files(hostile, pages))


@pytest.fixture(params=["real", "hostile"])
def held(request: pytest.FixtureRequest) -> Holdings:
    holdings: Holdings = request.getfixturevalue(request.param)
    return holdings


def test_atom_feeds_keep_the_schema_and_are_read_whole(held: Holdings) -> None:
    rules = etree.RelaxNG(etree.parse(ATOM_RULES))
    for feed, items in news.feeds(held):
        document = feeds.atom(feed, items).encode()
        tree = etree.fromstring(document)
        assert rules.validate(tree), rules.error_log
        seen = feedparser.parse(document)
        assert not seen.bozo
        assert [entry.title for entry in seen.entries] == [spaced(item.title) for item in items]
        assert len({entry.id for entry in seen.entries}) == len(items)
        for entry, item in zip(seen.entries, items, strict=True):
            assert entry.link == address.page(item.link)
            assert entry.updated_parsed is not None
            assert entry.summary == spaced(item.said)


def spaced(said: str) -> str:
    return markup.CONTROL.sub("", said).strip()


def test_json_feeds_keep_the_rules_and_say_the_same(held: Holdings) -> None:
    for feed, items in news.feeds(held):
        document = json.loads(feeds.json_feed(feed, items))
        assert document["version"] == "https://jsonfeed.org/version/1.1"
        assert {"title", "feed_url", "home_page_url", "items"} <= document.keys()
        assert len({each["id"] for each in document["items"]}) == len(items)
        for each, item in zip(document["items"], items, strict=True):
            assert each["content_text"] == item.said
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", each["date_modified"])
            assert each["url"].startswith(("http://", "https://"))
            assert all(set(author) == {"name"} for author in each.get("authors", []))


def test_there_is_a_feed_for_papers_verdicts_and_every_theme(real: Holdings) -> None:
    made = {feed.path: items for feed, items in news.feeds(real)}
    themes = {f"feeds/themes/{theme}" for theme in real.taxonomy.themes}
    assert {"feeds/papers", "feeds/claims"} | themes <= made.keys()
    assert len(made["feeds/papers"]) == news.PAPERS
    assert made["feeds/claims"]
    dates = [item.date for item in made["feeds/themes/pruning"]]
    assert dates == sorted(dates, reverse=True)


@given(st.lists(st.tuples(st.sampled_from(list(badges.COLOURS)), st.booleans()), max_size=12))
def test_a_verdict_is_news_exactly_when_it_is_another(told: list[tuple[str, bool]]) -> None:
    runs = tuple(run(word, f"2026-01-{day:02}", quick) for day, (word, quick) in enumerate(told, 1))
    seen = list(news.changes(runs))
    assert [before for before, _ in seen[1:]] == [after.verdict for _, after in seen[:-1]]
    assert all(before != after.verdict for before, after in seen)
    if told:
        full = [word for word, quick in told if not quick]
        assert seen[-1][1].verdict == (full or [word for word, _ in told])[-1]


def test_bibliography_has_every_paper_once_under_its_own_key(held: Holdings) -> None:
    said = through.bib(list(held.papers.values()), held)
    read = bibtexparser.parse_string(said)
    assert not read.failed_blocks
    assert sorted(e.key for e in read.entries) == sorted(held.citation_keys.values())
    assert len(set(held.citation_keys.values())) == len(held.papers)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz")), max_size=80))
def test_citation_keys_never_repeat(made: list[tuple[str, str]]) -> None:
    papers = [Paper(str(i), t * 5, (f"A {s * 3}",), year=2020) for i, (s, t) in enumerate(made)]
    found = bibtex.keys(papers)
    assert len(set(found.values())) == len(papers)
    assert found == bibtex.keys(reversed(papers))


def test_csl_items_are_set_by_a_citation_processor(held: Holdings) -> None:
    citeproc = pytest.importorskip("citeproc")
    source = pytest.importorskip("citeproc.source.json")
    papers = [*held.papers.values()][:120]
    items = json.loads(through.csl_json(papers, held))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "The following arguments for Reference.*citation_key")
        style = citeproc.CitationStylesStyle("harvard-cite-them-right", validate=False)
        read = citeproc.CitationStylesBibliography(
            style, source.CiteProcJSON(items), citeproc.formatter.plain
        )
        for item in items:
            read.register(citeproc.Citation([citeproc.CitationItem(item["id"])]))
        lines = [str(line) for line in read.bibliography()]
    assert len(lines) == len(papers)
    for paper, line in zip(papers, lines, strict=True):
        assert str(paper.year or "") in line
        if paper.authors:
            assert csl.name(paper.authors[0]).get("family", paper.authors[0]) in line


def expanded(document: str) -> list[dict[str, Any]]:
    """The document as a JSON-LD processor reads it; schema.org's context is stood in for."""
    jsonld = pytest.importorskip("pyld").jsonld

    def context(url: str, _: Any) -> dict[str, Any]:
        assert url == linked_data.CONTEXT
        vocabulary = {"@context": {"@vocab": "https://schema.org/"}}
        return {"contextUrl": None, "documentUrl": url, "document": vocabulary}

    nodes: list[dict[str, Any]] = jsonld.expand(json.loads(document), {"documentLoader": context})
    return nodes


def test_linked_data_uses_only_words_of_its_vocabulary(
    files: dict[str, bytes], hostile: Holdings
) -> None:
    known = pytest.importorskip("rdflib.namespace").SDO
    nodes = expanded(files["data/octavo.jsonld"].decode())
    assert len(nodes) == 1 + len(hostile.methods) + len(hostile.papers)

    def check(node: Any) -> None:
        if isinstance(node, list):
            for each in node:
                check(each)
        elif isinstance(node, dict):
            for word in [*node.get("@type", []), *(k for k in node if not k.startswith("@"))]:
                assert word.startswith("https://schema.org/")
                assert word.removeprefix("https://schema.org/") in known, word
            for value in node.values():
                check(value)

    check(nodes)
    paper = next(n for n in nodes if n["@id"].endswith("/papers/hostile/"))
    assert paper["https://schema.org/name"] == [{"@value": HOSTILE}]


def test_every_page_carries_its_node_and_its_forms(
    pages: list[Page], files: dict[str, bytes]
) -> None:
    kinds = {"papers": "ScholarlyArticle", "methods": "TechArticle", "data": "Dataset"}
    for page in pages:
        node = json.loads(page.linked_data)
        shelf, _, name = page.path.partition("/")
        single = kinds.get(shelf) if name or shelf == "data" else None
        assert node["@type"] == (single or "WebPage"), page.path
        assert node["@id"] == address.page(page.path)
        for door in page.doors:
            target = f"{page.path}/{door.href}".lstrip("/")
            lands = [part for part in target.split("/") if part]
            while ".." in lands:
                at = lands.index("..")
                del lands[at - 1 : at + 1]
            assert "/".join(lands) in files, (page.path, door)


class Heads(HTMLParser):
    """Meta tags and scripts of a page's head."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, str]] = []
        self.scripts: list[str | None] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        facts = dict(attrs)
        if tag == "meta":
            self.tags.append((facts["name"] or "", facts["content"] or ""))
        if tag == "script":
            self.scripts.append(facts.get("type"))


def test_citation_tags_say_what_the_record_says(pages: list[Page]) -> None:
    page = next(page for page in pages if page.path == "papers/hostile")
    read = Heads()
    read.feed(markup.head(page))
    clean = HOSTILE.replace("\x07", "")
    assert read.scripts == ["application/ld+json"]
    assert read.tags[0] == ("citation_title", clean)
    authors = [said for name, said in read.tags if name == "citation_author"]
    assert authors == [clean, "Aaron van den Oord"]
    told = dict(read.tags)
    assert told["citation_publication_date"] == "2020"
    assert told["citation_pdf_url"] == "https://arxiv.org/pdf/2006.05467"
    assert told["citation_conference_title"] == clean
    assert all("citation_" + word not in told for word in ("doi", "journal_title"))


def test_croissant_validates_and_loads_every_row(held: Holdings, tmp_path: Path) -> None:
    mlc = pytest.importorskip("mlcroissant", reason="mlcroissant is not installed")
    tables = dict(dump.files(held))
    for path, content in tables.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(content)
    about = croissant.metadata(tables, "2026-11-24")
    (tmp_path / "data" / "croissant.json").write_text(json.dumps(about))
    named = {f"{t.name}.parquet": tmp_path / "data" / f"{t.name}.parquet" for t in dump.TABLES}
    dataset = mlc.Dataset(jsonld=tmp_path / "data" / "croissant.json", mapping=named)
    assert not dataset.metadata.issues.errors
    assert not dataset.metadata.issues.warnings
    for table in dump.TABLES:
        rows = list(dataset.records(table.name))
        wanted = [row["id"] for row in table.rows(held)]
        assert [row[f"{table.name}/id"].decode() for row in rows] == wanted


def test_both_forms_of_a_table_hold_the_same(held: Holdings, tmp_path: Path) -> None:
    tables = dict(dump.files(held))
    assert tables == dict(dump.files(held))
    for table in dump.TABLES:
        path = tmp_path / f"{table.name}.parquet"
        path.write_bytes(tables[f"data/{table.name}.parquet"])
        lines = tables[f"data/{table.name}.jsonl"].decode().removesuffix("\n").split("\n")
        rows = [json.loads(line) for line in lines]
        read = parquet.read_table(path).to_pylist()
        assert [{k: v for k, v in row.items() if v is not None} for row in read] == rows
        assert {name for row in read for name in row} == {c.name for c in table.columns}


def prose(markdown: str) -> str:
    """What a Markdown reader shows."""
    tokens = MarkdownIt("commonmark").parse(markdown)
    inner = [child for token in tokens for child in token.children or []]
    assert not [t for t in [*tokens, *inner] if t.type in ("html_block", "html_inline")]
    words = [t.content if t.content else " " for t in inner if t.type in ("text", "softbreak")]
    return " ".join("".join(words).split())


@given(PLAIN)
@settings(max_examples=300, deadline=None)
def test_a_twin_shows_any_text_letter_by_letter(said: str) -> None:
    page = Page("x", "X", f"<h1>Title</h1><p>word {markup.text(said)} word</p>")
    shown = prose(twins.markdown(page))
    assert shown == " ".join(f"Title word {said} word".split()).replace("Title word", "Titleword")


def test_every_page_has_a_twin_that_carries_its_text(
    pages: list[Page], files: dict[str, bytes]
) -> None:
    for page in pages:
        twin = files[f"{page.path}/index.md".lstrip("/")].decode()
        assert prose(twin)
        assert twin.count("\n# ") + twin.startswith("# ") == 1, page.path
    twin = files["papers/hostile/index.md"].decode()
    assert "- **Year**: 2020" in twin
    assert "```\n@inproceedings{" in twin


def test_formulas_and_code_stay_as_they_are_written() -> None:
    body = (
        '<math aria-label="\\hat{w}_i - 1."><mi>w</mi></math><pre><code>a\\-b *c* 1\\.</code></pre>'
    )
    twin = twins.markdown(Page("x", "X", f"<h1>X</h1>{body}<p>data-free, 4.5 + 1 = 5</p>"))
    assert "`$\\hat{w}_i - 1.$`" in twin
    assert "a\\-b *c* 1\\." in twin
    assert "data-free, 4.5 + 1 = 5" in twin


def test_the_map_for_language_models_leads_to_files(files: dict[str, bytes]) -> None:
    said = files["llms.txt"].decode()
    assert said.startswith("# Octavo\n\n> ")
    links = re.findall(r"\]\((.*?)\)", said)
    assert links
    assert all(target.removeprefix(address.base()) in files for target in links)


def test_open_search_names_the_search_page(files: dict[str, bytes]) -> None:
    space = "{http://a9.com/-/spec/opensearch/1.1/}"
    tree = Tree.fromstring(files["opensearch.xml"].decode())
    assert tree.tag == f"{space}OpenSearchDescription"
    assert len(tree.findtext(f"{space}ShortName") or "") <= 16
    url = tree.find(f"{space}Url")
    assert url is not None
    assert url.get("template") == f"{address.base()}search/?q={{searchTerms}}"


@given(PLAIN, PLAIN)
@settings(max_examples=100, deadline=None)
def test_badges_are_drawn_for_any_words(label: str, said: str) -> None:
    tree = Tree.fromstring(badges.svg(label, said, badges.NEUTRAL))
    assert tree.findtext("{http://www.w3.org/2000/svg}title") == f"{label}: {said}"
    texts = [float(t.get("textLength", 0)) for t in tree.iter("{http://www.w3.org/2000/svg}text")]
    assert sum(texts) + 24 == float(tree.get("width", 0))


def test_badges_tell_the_verdict(files: dict[str, bytes]) -> None:
    assert b"holds: 1.5 times" in files["methods/hostile/badges/sure.svg"]
    assert b"1 hold of 1 claims" in files["methods/hostile/badge.svg"]


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("OCTAVO_SITE_URL", "https://example.org/octavo")
    return "https://example.org/octavo/"


def test_the_address_moves_and_the_names_stay(hostile: Holdings, elsewhere: str) -> None:
    feed, items = next(news.feeds(hostile))
    moved = feedparser.parse(feeds.atom(feed, items))
    assert moved.entries[0].link == elsewhere + "papers/hostile/"
    assert moved.entries[0].id == address.urn("papers/hostile")
    assert linked_data.paper(hostile.papers["bare"], hostile)["@id"].startswith(elsewhere)
