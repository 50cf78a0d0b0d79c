"""Search in the browser: answers are those of Python, by meaning too, and without a network."""

from __future__ import annotations

import gzip
import json
import random
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
import torch

from octavo import catalog
from octavo.ingest import judged, ranking, static
from octavo.ingest.wordpiece import VOCABULARY, WordPiece, wordpiece
from octavo.site import build as site_build
from octavo.site.holdings import Holdings, gather
from octavo.site.search import entries, facets, index, quantizer, shown, wordpieces
from octavo.site.server import server

PAPERS = 70
MOST_BYTES = 700_000  # of a first query, compressed
ASKED = {each.id: each for each in judged.queries()}
PARAPHRASES = ("quantization-02", "data-free-01", "low-rank-01", "attention-01")
ODD = [
    "Pruning at initialization",
    "Naïve Hölder-continuity, Ångström & Ωmega: déjà vu",
    "量化神经网络 4-bit モデル 神経",
    "W4A16/int8_matmul (low_rank), f(x)=a^b~c|d`e$",
    "🙂👩\u200d💻 emoji 🚀🚀 zero\u200bwidth",
    "ΣΑΣ ΟΔΥΣΣΕΥΣ İstanbul ǅ straße",
    "tab\tnew\nline\r\nnbsp\u00a0thin\u2009sep\u2028ideo\u3000",
    "control\x07\x00\x1f\ufffd soft\u00adhyphen \ufeffbom",
    "a" * 100 + " " + "b" * 101,
    "unaffable ##ing [MASK] [CLS] ##",
    "e\u0301\u0327 ﬁligree ½ ² ①",
    "Ёлка йод 한국어 עִבְרִית العربية हिन्दी",
    "…—–‘quotes’ «guillemets» ¿qué?",
    "x" + "\u0301" * 30,
    "𝒢𝓇𝒶𝒹 ＦＵＬＬ width",
]


@pytest.fixture(scope="module")
def library() -> Holdings:
    """A part of the catalog: what the paraphrases ask for, and papers beside it."""
    held = gather()
    best = {own for each in PARAPHRASES for own in ASKED[each].best}
    kept = set(sorted(held.papers)[:: len(held.papers) // PAPERS])
    methods = {own: held.methods[own] for own in ("synflow", "adaround", "rigl", "bsr", "minilm")}
    kept |= best | {paper for method in methods.values() for paper in method.papers}
    papers = {own: paper for own, paper in held.papers.items() if own in kept}
    bare = replace(held, history={}, speeds={}, models=(), kernels_dir=Path("none"))
    return replace(bare, papers=papers, methods=methods)


@pytest.fixture(scope="module")
def site(library: Holdings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = site_build.build(tmp_path_factory.mktemp("out"), library, say=lambda line: None)
    return Path(made.site)


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    with server(site, 0) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}/"
        running.shutdown()


@pytest.fixture
def tab(browser: Any, address: str) -> Iterator[Any]:
    """A page that keeps nothing, and fails the test for any error on it."""
    context = browser.new_context(service_workers="block")
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    yield page
    context.close()
    assert wrong == []


@pytest.fixture(scope="module")
def desk(browser: Any, address: str) -> Iterator[Any]:
    """A page on which the search scripts are asked directly."""
    page = browser.new_page()
    page.goto(address + "about/")
    page.evaluate(
        """async () => {
        const {Engine} = await import('/assets/search/engine.js');
        const facts = await (await fetch('/search/facts.json')).json();
        globalThis.engine = new Engine(facts, new URL('/search/', location.href));
        globalThis.piece = await import('/assets/search/wordpiece.js');
        globalThis.fusion = await import('/assets/search/fusion.js');
        }"""
    )
    yield page
    page.close()


@pytest.fixture(scope="module")
def facts(site: Path) -> dict[str, Any]:
    known: dict[str, Any] = json.loads((site / "search" / "facts.json").read_text())
    return known


def hits(page: Any) -> list[str]:
    page.wait_for_selector("#search-results li")
    titles: list[str] = page.locator("#search-results a").all_inner_texts()
    return titles


def settled(page: Any, wanted: str) -> None:
    page.wait_for_function(
        "text => document.getElementById('search-status').textContent.includes(text)", arg=wanted
    )


def names(texts: list[str]) -> list[list[str]]:
    vocabulary = VOCABULARY.read_text(encoding="utf-8").splitlines()
    fresh = WordPiece(vocabulary)
    return [[vocabulary[number] for number in fresh.pieces(text)] for text in texts]


def test_text_becomes_the_same_pieces_as_in_python(desk: Any) -> None:
    told = desk.evaluate(
        """async texts => {
        const has = async (piece) => Boolean(await engine.encoder.row(piece));
        const split = (word) => piece.pieces(word, has, engine.facts.encoder.unknown);
        const all = (words) => Promise.all(words.map(split));
        return Promise.all(texts.map(async (text) => (await all(piece.words(text))).flat()));
        }""",
        ODD,
    )
    assert told == names(ODD)


def test_vectors_are_those_of_python(desk: Any) -> None:
    texts = [*ODD, *(each.query for each in list(ASKED.values())[::10])]
    script = "async texts => Promise.all(texts.map(async t => [...await engine.encoder.encode(t)]))"
    told = np.array(desk.evaluate(script, texts))
    assert np.abs(told - static.load("static").encode(texts)).max() < 1e-5


def test_pieces_lie_where_both_sides_look_for_them(desk: Any) -> None:
    some = VOCABULARY.read_text(encoding="utf-8").splitlines()[::53]
    told = desk.evaluate(
        "([all, n]) => all.map(each => piece.shelf(each, n))", [some, wordpieces.SHELVES]
    )
    assert told == [wordpieces.shelf(piece) for piece in some]


def test_scores_are_products_with_the_decoded_vectors(
    desk: Any, library: Holdings, site: Path
) -> None:
    query = "prune before training"
    told = desk.evaluate(
        "async q => [...await engine.vectors.scores(await engine.encoder.encode(q))]", query
    )
    encoder, form = static.load("static"), index.Form()
    texts = [entry.text for entry in entries.read(site, library)]
    vectors = torch.from_numpy(encoder.encode(texts))
    books = quantizer.fit(vectors, form.pieces, form.size)
    known = quantizer.decode(quantizer.encode(vectors, books), books)
    assert np.allclose(told, known.numpy() @ encoder.encode([query])[0], atol=1e-4)


def test_rankings_are_fused_as_in_python(desk: Any) -> None:
    draw = random.Random(0)
    papers, methods = range(20), {20: [0, 1], 21: [2], 22: [3, 4]}
    for _ in range(40):
        lists = [draw.sample(range(23), draw.randint(0, 15)) for _ in range(2)]
        runs = {own: draw.random() < 0.5 for own in methods}
        rows = [[_row(at, methods, runs) for at in each] for each in lists]
        known = ranking.one_an_idea(ranking.fused(rows))
        told = desk.evaluate(
            """([lists, methods, k]) => fusion.oneAnIdea(fusion.fused(lists, k),
            new Map(methods.map(([at, runs, papers]) => [at, {runs, papers}])))""",
            [lists, [[own, runs[own], methods[own]] for own in methods], ranking.K],
        )
        assert told == [int(hit.id) for hit in known]
    assert len(papers) == min(methods)


def test_the_best_pages_are_those_of_a_whole_sort(desk: Any) -> None:
    draw = random.Random(1)
    for depth in (1, 7, 50):
        scores = [draw.randrange(12) / 8 for _ in range(90)]
        places = sorted(draw.sample(range(90), draw.choice([3, 40, 90])))
        told = desk.evaluate(
            "([places, scores, depth]) => fusion.best(places, Float32Array.from(scores), depth)",
            [places, scores, depth],
        )
        assert told == sorted(places, key=lambda at: (-scores[at], at))[:depth]


def _row(at: int, methods: dict[int, list[int]], runs: dict[int, bool]) -> dict[str, Any]:
    name = f"{at:02}"
    row = {"key": name, "id": name, "title": name, "kind": "paper"}
    if at not in methods:
        return row
    own = [f"{paper:02}" for paper in methods[at]]
    return row | {"kind": "method", "papers": own, "implemented": runs[at]}


@pytest.mark.parametrize("asked", PARAPHRASES)
def test_a_paraphrase_without_a_word_of_the_title_finds_the_paper(
    tab: Any, address: str, library: Holdings, asked: str
) -> None:
    tab.goto(address)
    tab.keyboard.press("/")
    tab.keyboard.type(ASKED[asked].query)
    tab.keyboard.press("Enter")
    best = {library.papers[own].title for own in ASKED[asked].best if own in library.papers}
    best |= {m.name for m in library.methods.values() if set(m.papers) & set(ASKED[asked].best)}
    assert best & set(hits(tab)[:3])


def test_a_facet_narrows_and_the_back_button_widens(tab: Any, address: str) -> None:
    tab.goto(address + "search/?q=training")
    before = hits(tab)
    tab.locator("#search-filters").evaluate("box => { box.open = true; }")
    tab.select_option("select[name=theme]", "pruning")
    tab.wait_for_url("**theme=pruning**")
    settled(tab, "result")
    narrowed = hits(tab)
    assert set(narrowed) < set(before) or narrowed != before
    tab.fill("#search-q", "at initialization")
    tab.keyboard.press("Enter")
    tab.wait_for_url("**q=at+initialization**")
    tab.go_back()
    settled(tab, "“training”")
    assert parse_qs(urlsplit(tab.url).query) == {"q": ["training"], "theme": ["pruning"]}
    assert hits(tab) == narrowed
    tab.go_back()
    tab.wait_for_function("() => !document.querySelector('select[name=theme]').value")
    tab.wait_for_function(
        "first => document.querySelector('#search-results a')?.textContent === first", arg=before[0]
    )
    assert hits(tab) == before
    assert tab.input_value("#search-q") == "training"


def test_an_address_is_a_state(tab: Any, address: str, library: Holdings) -> None:
    tab.goto(address + "search/?kind=Method&faster=2&runs=yes&bits=nonsense")
    settled(tab, "result")
    fast = [
        own
        for own, method in library.methods.items()
        if (facets.ratio(method, "milliseconds", library) or 0) >= 2
    ]
    assert sorted(hits(tab)) == sorted(library.methods[own].name for own in fast)
    assert tab.locator("#search-results .about", has_text="× faster").count() == len(fast)
    assert tab.input_value("select[name=faster]") == "2"
    assert tab.input_value("select[name=runs]") == "yes"
    assert "bits" not in tab.evaluate(
        "engine_state = [...document.querySelectorAll('select')]"
        ".filter(s => s.value).map(s => s.name)"
    )
    tab.click("#search-clear")
    settled(tab, "Type a technique")
    assert urlsplit(tab.url).query == ""


def test_the_keyboard_goes_through_hits_and_back(tab: Any, address: str) -> None:
    tab.goto(address + "search/?q=pruning")
    first = hits(tab)[0]
    tab.focus("#search-q")
    tab.keyboard.press("ArrowDown")
    assert tab.evaluate("document.activeElement.textContent") == first
    tab.keyboard.press("ArrowDown")
    tab.keyboard.press("ArrowUp")
    assert tab.evaluate("document.activeElement.textContent") == first
    tab.keyboard.press("Escape")
    assert tab.evaluate("document.activeElement.id") == "search-q"


def test_what_a_screen_reader_is_told(tab: Any, address: str) -> None:
    tab.goto(address + "search/?q=pruning")
    hits(tab)
    status = tab.locator("#search-status")
    assert status.get_attribute("aria-live") == "polite"
    assert "result" in status.inner_text()
    for select in tab.locator("#search-facets select").all():
        assert select.evaluate("box => box.labels.length") == 1
    pressed = tab.get_by_role("button", name="Paper", pressed=False)
    assert pressed.count() == 1
    pressed.click()
    assert tab.get_by_role("button", name="Paper", pressed=True).count() == 1
    assert tab.evaluate("document.activeElement.textContent") == "Paper"


def test_each_ranking_answers_alone_where_the_other_cannot_be_had(tab: Any, address: str) -> None:
    tab.route("**/pagefind/**", lambda route: route.abort())
    tab.goto(address + "search/?q=prune+before+training")
    assert hits(tab)
    tab.unroute("**/pagefind/**")
    tab.route("**/vectors/**", lambda route: route.abort())
    tab.goto(address + "search/?q=prune+training")
    assert hits(tab)


def test_words_nobody_wrote_get_the_nearest_in_meaning_and_are_told_so(
    tab: Any, address: str
) -> None:
    tab.goto(address + "search/?q=鯨")
    settled(tab, "No page has these words")
    assert 1 <= len(hits(tab)) <= 5


def test_it_searches_on_when_the_server_is_gone(browser: Any, site: Path) -> None:
    context = browser.new_context()
    page = context.new_page()
    with server(site, 0) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        here = f"http://127.0.0.1:{running.server_address[1]}/search/"
        page.goto(here + "?q=pruning")
        page.get_by_text("Kept for use without a network.").wait_for()
        running.shutdown()
    page.fill("#search-q", ASKED["data-free-01"].query)
    settled(page, "calibration pictures")
    assert hits(page)
    page.goto(here + "?q=attention")  # a new load of the page, too
    settled(page, "attention")
    assert hits(page)
    context.close()


def test_the_first_query_is_a_small_download(browser: Any, address: str) -> None:
    context = browser.new_context(service_workers="block")
    page = context.new_page()
    answers: list[Any] = []
    page.on("response", lambda answer: answers.append(answer))
    page.goto(address + "search/?q=" + ASKED["pruning-01"].query.replace(" ", "+"))
    hits(page)
    sizes = {each.url: len(gzip.compress(each.body())) for each in answers}
    context.close()
    assert sum(sizes.values()) <= MOST_BYTES, sizes
    assert not any(".pf_fragment" in url for url in sizes)


def test_nothing_is_fetched_before_a_question(tab: Any, address: str) -> None:
    asked: list[str] = []
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto(address + "search/")
    settled(tab, "Type a technique")
    assert not [url for url in asked if "/pagefind/" in url or "/data/" in url]


def test_every_entry_and_file_is_there(site: Path, facts: dict[str, Any]) -> None:
    folder = site / "search" / facts["folder"]
    count = len(facts["pages"])
    assert count == facts["vectors"]["count"] == len(set(facts["pages"]))
    told = [json.loads(path.read_text()) for path in folder.glob("entries/*.json")]
    assert sum(len(some) for some in told) == count
    assert all(len(each["of"]) == count for each in facts["choices"] + facts["measures"])
    for name in json.loads((folder / "files.json").read_text()):
        assert (site / name).exists(), name


def test_files_of_the_table_hold_every_piece_once() -> None:
    encoder = static.load("static")
    vocabulary = VOCABULARY.read_text(encoding="utf-8").splitlines()
    made = dict(wordpieces.files(vocabulary, encoder.codes, encoder.weights.astype(np.float16)))
    told = [name for content in made.values() for name in content.split(b"\n")[0].split(b" ")]
    assert sorted(name.decode() for name in told if name) == sorted(vocabulary)
    assert wordpiece().pieces("quantization")


@pytest.mark.parametrize(("pieces", "size"), [(4, 16), (8, 256), (2, 3), (8, 1)])
def test_codes_come_back_as_the_nearest_entries(pieces: int, size: int) -> None:
    vectors = torch.randn(50, 16, generator=torch.Generator().manual_seed(1))
    books = quantizer.fit(vectors, pieces, size)
    codes = quantizer.encode(vectors, books)
    known = quantizer.decode(codes, books)
    assert torch.equal(quantizer.encode(known, books), codes) or size == 1
    mean = vectors.mean(0)
    assert ((vectors - known) ** 2).mean() <= ((vectors - mean) ** 2).mean() + 1e-3
    assert len(quantizer.packed(codes, size)) == 50 * (pieces // 2 if size <= 16 else pieces)


def test_as_many_entries_as_vectors_lose_nothing() -> None:
    vectors = torch.randn(12, 8, generator=torch.Generator().manual_seed(2)).half().float()
    books = quantizer.fit(vectors, 2, 64)
    assert torch.equal(quantizer.decode(quantizer.encode(vectors, books), books), vectors)


def test_ratios_come_from_recorded_runs_alone() -> None:
    held = gather()
    for method in held.methods.values():
        found = facets.ratio(method, "milliseconds", held)
        runs = [run.value for run in catalog.latest(method.id).values()]
        assert found is None or any(found == pytest.approx(value, abs=0.006) for value in runs)


def run_of(ndcg: float) -> dict[str, Any]:
    scores = {"mrr": 0.5, "recall": 0.5, "queries": 3}
    worth = {"pagefind": 0.1, "words": 0.2, "dense": 0.15, "hybrid": ndcg, "server": 0.4}
    row = {"size": 16, "bytes_of_books": 10, "recall": 0.5, "ndcg": {"dev": 0.1, "test": 0.2}}
    return {
        "rows": [
            {"mode": mode, "half": half, "ndcg": value, **scores}
            for half in judged.HALVES
            for mode, value in worth.items()
        ],
        "first": [{"page": 100_000, "words": 200_000}, {"page": 90_000, "vectors": 500_000}],
        "milliseconds": {"median": 5.0, "p95": 12.0},
        "curve": [row | {"pieces": n, "bytes_a_page": n / 2} for n in (8, 16)],
        "form": {"pieces": 16, "size": 16},
        **{"pages": 9, "papers": 7, "encoder": "static <b>", "server": "minilm", "cpu": "a CPU"},
        **{"command": "octavo bench search-page", "commit": "0123", "date": "2026-11-24T00:00"},
    }


@pytest.mark.parametrize(("ndcg", "missed"), [(0.39, 0), (0.3, 1), (0.1, 2)])
def test_the_page_on_search_tells_what_was_missed(ndcg: float, missed: int) -> None:
    said = shown.body(replace(gather(), searches=(run_of(ndcg),)))
    assert said.count("<b>Missed.</b>") == missed
    assert "static &lt;b&gt;" in said
    assert "16 pieces, books of 16 (in use)" in said
    assert "590 kB" in said


def test_without_a_run_the_page_gives_the_command() -> None:
    assert "octavo bench search-page" in shown.body(replace(gather(), searches=()))
