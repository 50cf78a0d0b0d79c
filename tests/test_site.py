"""The site: whatever a record says is shown as said, everything is reachable, nothing leaves."""

from __future__ import annotations

import ast
import http.client
import io
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import tokenize
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from octavo import catalog
from octavo.catalog import Claim, Formula, Method, Paper, Result, Source, Tag
from octavo.errors import InputError
from octavo.site import accents, bibtex, figures, markup, moulds, plots, prose, source
from octavo.site.beside import beside
from octavo.site.build import Built, build, guides, render, run_mkdocs
from octavo.site.holdings import Holdings
from octavo.site.server import server

ROOT = Path(__file__).resolve().parents[1]
HOSTILE = (
    "A <b>$x_1$</b> {{ page }} {% if %} | `code` & <script>alert(1)</script> [l](http://x.y) *"
)
MODULE = '''"""Round up or down by learning.

Paper: learned-rounding (eq. 1).

| paper | code | meaning |
| ----- | ---- | ------- |
| s | scale | of a row |

>>> 1 < 2
True
"""

import math

# Half of the grid; see <section> 3.
HALF = 0.5


def plan(x: float) -> float:
    """Decide for `x`.

    Raises:
        ValueError: when x < 0.
    """
    # The root is what the paper calls a step.
    return math.sqrt(x)
'''
KERNEL = '"""Multiply small codes.\n\n    y = s * c x\n"""\n\n\ndef reference(x):\n    return x\n'
SPEED = {
    "kernel": "small_matmul",
    "date": "2026-11-24T23:10:00+00:00",
    "commit": "0123456789abcdef",
    "command": "octavo bench kernels",
    "cpu": "Some CPU, 1 threads",
    "backend": "avx2",
    "versions": {"torch": "2.13.0", "peers": {"rival": "1.2"}},
    "quick": False,
    "seconds": 61.0,
    "probes": {"fma_gflops": 100.0, "vnni_gops": 400.0, "dram_gb_per_s": 20.0, "clock_ghz": 3.7},
    "rows": [
        {
            "kernel": "small_matmul",
            "shape": "8x64x64",
            "state": state,
            "threads": 1,
            "backend": "avx2",
            "ms": 0.125,
            "gops": gops,
            "gb_per_s": None,
            "intensity": 2.0,
            "limit": "fma_gflops",
            "share_of_limit": gops / 100,
            "peers": {"rival <b>": ratio, "dense": 3.0},
            "bar": 1.35,
            "bar_id": "K3",
            "asked": [{"of": "rival <b>", "least": 1.35, "reached": ratio}],
            "passed": ratio >= 1.35,
            "reason": None if ratio >= 1.35 else HOSTILE,
        }
        for state, gops, ratio in (("warm", 88.0, 1.5), ("cold", 12.0, 1.1))
    ],
    "crossovers": [
        {
            "title": "Milliseconds against rows",
            "x_label": "rows",
            "x_scale": "log",
            "y_label": "ms",
            "lines": [
                {"name": "ours", "x": [1, 8, 64], "y": [0.2, 0.3, 1.0]},
                {"name": "dense", "x": [1, 8, 64], "y": [0.1, 0.4, 4.0]},
            ],
            "crossing": 5.0,
        }
    ],
}

RUN = {key: SPEED[key] for key in ("date", "commit", "cpu")}
SCALE = RUN | {
    "command": "octavo bench scale",
    "cores": 2,
    "load_before": 0.5,
    "records": 10_000,
    "ingest": {"seconds": 10.0, "core_seconds": 9.0},
    "papers": 10_000,
    "pages": 11_000,
    "site": {"seconds": 61.0, "core_seconds": 70.0},
    "first": [{"words": 700_000, "page": 60_000}, {"words": 800_000, "page": 60_000}],
    "milliseconds": {"median": 9.0, "p95": 25.0},
}
SHOWN = {"id": "rounding-paper", "title": "Up or down", "year": 2020, "cosine": 0.9}
EMERGING = RUN | {
    "command": "octavo bench themes",
    "shelves": [
        {
            "of": "list:some/list",
            "summary": "2 research themes and 9 papers",
            "papers": 9,
            "stability": 0.625,
            "encoder": "static",
            "themes": [
                {
                    "name": name,
                    "size": 4,
                    "years": {"2018": 1, "2019": 1, "2020": 2},
                    "papers": [SHOWN, {**SHOWN, "id": "lost", "title": HOSTILE}],
                }
                for name in ("rounding, grid", HOSTILE)
            ],
            "outliers": [SHOWN],
        }
    ],
}


def paper(number: int, **changes: Any) -> Paper:
    given_facts: dict[str, Any] = {
        "id": f"filler-{number}",
        "title": f"Filler paper number {number}",
        "authors": ("Ada Filler", "Bo Second"),
        "authors_complete": True,
        "year": 2020,
        "tags": (Tag("pruning", "source:list:some/list"),),
        "sources": (Source("list:some/list", None, "Pruning", None),),
    }
    return Paper(**given_facts | changes)


def result(claim: str, verdict: str, code_hash: str, **changes: Any) -> Result:
    series = {
        "title": "Error against bits",
        "x_label": "bits",
        "y_label": "error",
        "y_scale": "log",
        "lines": [
            {"name": "learned", "x": [2, 3, 4], "y": [0.1, 0.01, 0.001], "sd": [0.01, 0.001, 1e-4]},
            {"name": "nearest", "x": [2, 3, 4], "y": [0.4, 0.05, 0.004]},
        ],
    }
    line = Result(
        method="learned-rounding",
        claim=claim,
        value=1.2345678,
        spread=0.01,
        seeds=(0, 1, 2),
        baseline=2.5,
        baseline_name="nearest",
        verdict=verdict,
        series=series if claim == "better" else None,
        note=None,
        command="octavo bench learned-rounding",
        commit="0123456789abcdef",
        code_hash=code_hash,
        versions={"torch": "2.13.0"},
        cpu="Some CPU",
        gpu=None,
        seconds=12.0,
        date="2026-11-24",
        quick=False,
    )
    return replace(line, **changes)


def claim(name: str) -> Claim:
    return Claim(
        id=name,
        statement=f"It is {name}.",
        where="Table 1",
        metric="error ratio",
        reported="2.0",
        setting="small",
        expect=">=",
        value=1.0,
        unit="times",
    )


@pytest.fixture(scope="session")
def holdings(tmp_path_factory: pytest.TempPathFactory) -> Holdings:
    house = tmp_path_factory.mktemp("house")
    impls, kernels = house / "reference_impls", house / "kernels"
    impls.mkdir()
    (kernels / "small_matmul").mkdir(parents=True)
    (impls / "learned_rounding.py").write_text(MODULE)
    (kernels / "small_matmul" / "__init__.py").write_text(KERNEL)
    (kernels / "small_matmul" / "avx2.cpp").write_text("int main() { return 0 < 1; }\n")
    code = catalog.code_hash(impls / "learned_rounding.py")
    ready = Method(
        id="learned-rounding",
        name="Learned rounding",
        papers=("rounding-paper",),
        theme="quantization",
        facets={"retraining": ("none",)},
        problem="Nearest rounding is not best when x < y.",
        idea="Learn whether to round each weight up or down. Then fix it.",
        result="Better.",
        takeaway="Use it.",
        claims=(claim("better"), claim("faster"), claim("smaller")),
        kernels=("small_matmul",),
        formulas=(Formula(r"\hat{w} = s \cdot \lfloor w / s \rfloor", "Rounding."),),
    )
    planned = replace(ready, id="planned", name="Planned method", papers=("hostile",), kernels=())
    papers = [
        paper(0, id="rounding-paper", title="Up or down", arxiv="2004.10568", venue="ICML 2020"),
        paper(
            1, id="hostile", title=HOSTILE, authors=(HOSTILE,), abstract=HOSTILE, summary=HOSTILE
        ),
        paper(2, id="gone", title="A withdrawn paper", status="withdrawn", year=None),
        *(paper(n) for n in range(3, 110)),
    ]
    runs = {
        "better": result("better", "holds", code),
        "faster": result("faster", "trend only", "x"),
    }
    return Holdings(
        papers={p.id: p for p in papers},
        methods={"learned-rounding": ready, "planned": planned},
        taxonomy=catalog.taxonomy(),
        latest={"learned-rounding": runs, "planned": {}},
        impls=impls,
        kernels_dir=kernels,
        speeds={"small_matmul": SPEED},
        scale=[SCALE],
        emerging=[EMERGING],
    )


@pytest.fixture(scope="session")
def built(holdings: Holdings, tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build(tmp_path_factory.mktemp("out"), holdings, say=lambda line: None)


@pytest.fixture(scope="session")
def address(built: Built) -> Iterator[str]:
    with server(Path(built.site), 0) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}/"
        running.shutdown()


KINDS = {
    "home": "",
    "themes": "themes/",
    "theme": "themes/pruning/",
    "list": "years/2020/2/",
    "methods": "methods/",
    "method": "methods/learned-rounding/",
    "planned": "methods/planned/",
    "papers": "papers/",
    "paper": "papers/hostile/",
    "kernels": "kernels/",
    "kernel": "kernels/small_matmul/",
    "benchmarks": "benchmarks/",
    "emerging": "themes/emerging/",
    "scale": "scale/",
    "sources": "sources/",
    "facets": "facets/",
    "search": "search/?q=rounding",
    "data": "data/",
    "guide": "about/",
    "missing": "no/such/page/",
}


@pytest.fixture
def tab(browser: Any, address: str) -> Iterator[Any]:
    """A page that fails the test for any complaint on the console or request to another host."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, color_scheme="light")
    page = context.new_page()
    wrong: list[str] = []
    page.on("console", lambda m: wrong.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on(
        "request",
        lambda r: None if r.url.startswith((address, "data:")) else wrong.append(f"left: {r.url}"),
    )
    yield page
    context.close()
    assert [line for line in wrong if "404 (Not Found)" not in line] == []


class Links(HTMLParser):
    """Targets of a page's links and the ids on it."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: list[str] = []
        self.inline: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        facts = dict(attrs)
        self.ids += [facts["id"] or ""] if "id" in facts else []
        self.links += [facts[k] or "" for k in ("href", "src", "action") if k in facts]
        self.inline += [f"{tag} {k}" for k in facts if k == "style" or k.startswith("on")]
        data = facts.get("type") == "application/ld+json"  # never run
        if tag == "style" or (tag == "script" and "src" not in facts and not data):
            self.inline.append(f"inline {tag}")


def read(file: Path) -> Links:
    parsed = Links()
    parsed.feed(file.read_text(encoding="utf-8"))
    return parsed


def test_every_link_of_ours_leads_somewhere(built: Built) -> None:
    site = Path(built.site)
    broken = []
    for file in site.rglob("*.html"):
        here = "/" + str(file.relative_to(site)).removesuffix("index.html")
        parsed = read(file)
        for target in parsed.links:
            parts = urlsplit(urljoin(here, target))
            if parts.scheme or file.name == "404.html":
                continue
            lands = site / unquote(parts.path).lstrip("/")
            lands = lands / "index.html" if lands.is_dir() else lands
            if not lands.is_file() or (parts.fragment and parts.fragment not in read(lands).ids):
                broken.append((here, target))
    assert broken == []


def test_no_page_has_inline_script_style_or_repeated_ids(built: Built) -> None:
    for file in Path(built.site).rglob("*.html"):
        parsed = read(file)
        assert parsed.inline == [], file
        assert len(parsed.ids) == len(set(parsed.ids)), file


def test_papers_are_never_in_the_nav_of_other_pages(built: Built) -> None:
    home = (Path(built.site) / "index.html").read_text()
    assert "papers/filler-" not in home


def test_a_build_without_change_leaves_the_site_alone(built: Built, holdings: Holdings) -> None:
    out = Path(built.site).parent
    before = (out / "site" / "index.html").stat().st_mtime_ns
    again = build(out, holdings, say=lambda line: None)
    assert again.unchanged
    assert (out / "site" / "index.html").stat().st_mtime_ns == before
    assert sorted(p.name for p in out.iterdir()) == ["docs", "site"]


def test_a_build_with_a_change_replaces_the_site_and_clears_up(
    holdings: Holdings, tmp_path: Path
) -> None:
    few = replace(holdings, papers={"gone": holdings.papers["gone"]}, methods={}, latest={})
    build(tmp_path, holdings, say=lambda line: None)
    again = build(tmp_path, few, say=lambda line: None)
    assert not again.unchanged
    assert [p.name for p in (tmp_path / "site" / "papers").iterdir() if p.is_dir()] == ["gone"]
    deadline = time.monotonic() + 60
    while len(list(tmp_path.iterdir())) > 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["docs", "site"]


def test_a_build_that_fails_leaves_the_site_of_before(
    built: Built, holdings: Holdings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(target: Path) -> None:
        raise InputError("pagefind refused")

    monkeypatch.setattr("octavo.site.build.run_pagefind", refuse)
    changed = replace(holdings, papers={})
    out = Path(built.site).parent
    home = (out / "site" / "index.html").read_bytes()
    with pytest.raises(InputError, match="pagefind refused"):
        build(out, replace(changed, methods={}, latest={}), say=lambda line: None)
    assert (out / "site" / "index.html").read_bytes() == home
    assert sorted(p.name for p in out.iterdir()) == ["docs", "site"]


def test_work_beside_gives_its_value_or_its_error() -> None:
    def refuse() -> None:
        raise InputError("no")

    with beside(lambda: "x" * 10_000_000) as large, beside(refuse) as refused:
        assert len(large()) == 10_000_000
        with pytest.raises(InputError, match="no"):
            refused()
    with pytest.raises(ZeroDivisionError), beside(lambda: "x" * 10_000_000):
        raise ZeroDivisionError


def test_an_empty_catalog_makes_honest_pages(holdings: Holdings, tmp_path: Path) -> None:
    empty = replace(holdings, papers={}, methods={}, latest={}, kernels_dir=tmp_path / "none")
    said = {page.path: page.body for page in render(empty).pages}
    assert "No method is implemented yet." in said[""]
    assert "No kernel yet." in said["kernels"]
    assert "No claim is written down yet." in said["benchmarks"]


def test_every_real_record_has_a_page() -> None:
    from octavo.site.holdings import gather

    held = gather()
    pages, files = render(held)
    made = {page.path.removeprefix("papers/") for page in pages if page.path[:7] == "papers/"}
    assert made == set(held.papers)
    assert {f"papers/{paper}/index.md" for paper in made} < files.keys()
    assert len(pages) > len(held.papers) + len(held.methods)
    assert len({page.path for page in pages}) == len(pages)


def test_method_page_tells_what_was_measured_and_what_was_not(built: Built) -> None:
    said = (Path(built.site) / "methods" / "learned-rounding" / "index.html").read_text()
    for part in ("1.235 ± 0.010 times", "≥ 1 times", "holds", "trend only", "no run recorded yet"):
        assert part in said
    assert "Stale." in said  # one run was made with other code
    assert "<math" in said
    assert "octavo run learned-rounding" in said
    assert 'class="note"' in said
    assert "The root is what the paper calls a step." in said
    planned = (Path(built.site) / "methods" / "planned" / "index.html").read_text()
    assert "Not implemented yet" in planned
    assert "octavo run planned" not in planned


def test_benchmarks_open_with_what_did_not_hold(built: Built, holdings: Holdings) -> None:
    said = (Path(built.site) / "benchmarks" / "index.html").read_text()
    misses = said[said.index('id="misses"') : said.index('id="methods"')]
    assert 'href="#learned-rounding-claim-faster"' in misses
    assert "learned-rounding-claim-better" not in misses
    assert "1 of 2" in misses  # rows of the kernel below their bar
    for method in holdings.methods.values():
        for each in method.claims:
            assert said.count(f'id="{method.id}-claim-{each.id}"') == 1


def test_a_link_into_a_fold_opens_it(tab: Any, address: str) -> None:
    tab.set_viewport_size({"width": 375, "height": 812})
    tab.goto(address + "benchmarks/")
    assert tab.locator("details[open]").count() == 0
    tab.locator("#misses a").first.click()
    top = "document.getElementById('learned-rounding-claim-faster').getBoundingClientRect().top"
    tab.wait_for_function(f"() => {top} > 0 && {top} < innerHeight")
    assert tab.locator("#learned-rounding-claim-faster").is_visible()


def test_ten_thousand_papers_say_which_goal_is_missed(built: Built) -> None:
    said = (Path(built.site) / "scale" / "index.html").read_text()
    marks = re.findall(r'class="verdict \w+">(yes|no)<', said)
    assert marks == ["yes", "no", "yes"]
    assert "810 kB (most 860)" in said


def test_emerging_themes_name_papers_and_how_steady_they_are(built: Built) -> None:
    said = (Path(built.site) / "themes" / "emerging" / "index.html").read_text()
    assert "0.62" in said
    assert 'href="../../papers/rounding-paper/"' in said
    assert "papers/lost" not in said
    assert said.count("<figure") == 1


def test_withdrawn_paper_is_marked(built: Built) -> None:
    site = Path(built.site)
    assert "Withdrawn." in (site / "papers" / "gone" / "index.html").read_text()
    assert "withdrawn" in (site / "years" / "undated" / "index.html").read_text()


def test_canonical_only_with_an_address(built: Built) -> None:
    assert "canonical" not in (Path(built.site) / "index.html").read_text()


@pytest.mark.parametrize("where", KINDS.values(), ids=KINDS)
def test_narrow_screen_never_scrolls_sideways(tab: Any, address: str, where: str) -> None:
    tab.set_viewport_size({"width": 375, "height": 812})
    tab.goto(address + where)
    tab.wait_for_load_state("networkidle")
    assert tab.evaluate("document.documentElement.scrollWidth") <= 375
    stacked = "[...document.querySelectorAll(':is(.run, .ledger, .stack) .scroll')]"
    assert tab.evaluate(f"{stacked}.every(box => box.scrollWidth <= box.clientWidth)")
    assert tab.locator("h1").count() == 1


def test_hostile_record_is_shown_letter_by_letter(tab: Any, address: str) -> None:
    tab.on("dialog", lambda dialog: pytest.fail("a record ran as script"))
    tab.goto(address + "papers/hostile/")
    assert tab.locator("h1").inner_text() == HOSTILE
    assert tab.locator("blockquote").inner_text() == HOSTILE
    assert tab.title() == f"{HOSTILE} · Octavo"
    description = tab.locator("meta[name=description]").get_attribute("content")
    assert description == HOSTILE
    tab.goto(address + "years/2020/")
    assert HOSTILE in tab.locator(".entries").inner_text()


def test_search_finds_and_the_address_keeps_the_query(tab: Any, address: str) -> None:
    tab.goto(address)
    tab.keyboard.press("/")
    tab.keyboard.type("learned rounding")
    tab.keyboard.press("Enter")
    tab.wait_for_selector("#search-results li")
    assert "q=learned+rounding" in tab.url
    assert tab.locator("#search-results a").first.inner_text() == "Learned rounding"
    tab.keyboard.press("ArrowDown")
    tab.keyboard.press("Enter")
    tab.wait_for_url("**/methods/learned-rounding/")


def test_search_takes_a_question_and_filters(tab: Any, address: str) -> None:
    tab.goto(address + "search/?q=should+I+learn+whether+to+round+each+weight+up+or+down")
    tab.wait_for_selector("#search-results li")
    titles = tab.locator("#search-results a").all_inner_texts()
    assert titles[0] in ("Learned rounding", "Planned method")
    tab.locator(".chip", has_text="Paper").click()
    tab.wait_for_url("**kind=Paper**")
    tab.fill("#search-q", "withdrawn")
    first = "() => document.querySelector('#search-results a')?.textContent"
    tab.wait_for_function(f"{first} === 'A withdrawn paper'")
    tab.goto(address + "search/?q=rounding&kind=Paper&to=1990")
    tab.get_by_text("“rounding”").wait_for()


def test_search_results_show_hostile_titles_as_text(tab: Any, address: str) -> None:
    tab.on("dialog", lambda dialog: pytest.fail("a search result ran as script"))
    tab.goto(address + "search/?q=alert")
    tab.wait_for_selector("#search-results li")
    assert tab.locator("#search-results a", has_text="<b>$x_1$</b>").count() >= 1
    assert tab.locator("#search-results script, #search-results b").count() == 0


def test_scheme_switch_holds_across_pages(tab: Any, address: str) -> None:
    colour = "getComputedStyle(document.body).backgroundColor"
    tab.goto(address)
    light = tab.evaluate(colour)
    tab.click("#scheme")
    dark = tab.evaluate(colour)
    assert dark != light
    tab.goto(address + "papers/")
    assert tab.evaluate(colour) == dark
    tab.click("#scheme")
    assert tab.evaluate(colour) == light


def test_plots_follow_the_scheme(tab: Any, address: str) -> None:
    tab.goto(address + "methods/learned-rounding/")
    line = "getComputedStyle(document.querySelector('.plot path[stroke*=plot]')).stroke"
    light = tab.evaluate(line)
    assert light.startswith("rgb(")
    tab.click("#scheme")
    assert tab.evaluate(line) != light
    assert tab.locator(".plot svg title").count() == 1


def test_copy_button_copies_the_command(browser: Any, address: str) -> None:
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.goto(address + "methods/learned-rounding/")
    page.locator(".head .copy").click()
    page.locator(".head .copy", has_text="Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == "octavo run learned-rounding"
    context.close()


def test_wide_screen_sets_notes_beside_code(tab: Any, address: str) -> None:
    tab.goto(address + "methods/learned-rounding/")
    row = tab.locator(".row", has_text="Decide for").first
    note, code = row.locator(".note").bounding_box(), row.locator(".src").bounding_box()
    assert abs(note["y"] - code["y"]) < 2
    assert note["x"] + note["width"] <= code["x"]
    tab.set_viewport_size({"width": 375, "height": 812})
    note, code = row.locator(".note").bounding_box(), row.locator(".src").bounding_box()
    assert note["y"] + note["height"] <= code["y"] + 1


def test_without_script_the_search_page_offers_lists(browser: Any, address: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address + "search/?q=x")
    assert page.get_by_role("link", name="Papers by year and theme").count() == 1
    context.close()


def test_server_stays_inside_its_folder(built: Built, address: str) -> None:
    parts = urlsplit(address)
    for path in ("/../docs/index.md", "/%2e%2e/docs/index.md", "/papers/nope/", "/assets/"):
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
        connection.request("GET", path)
        assert connection.getresponse().status == 404
        connection.close()


def test_server_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="octavo site build"):
        server(tmp_path, 0)


def test_the_standard_library_site_module_is_not_shadowed() -> None:
    line = "import site; print(hasattr(site, 'getsitepackages'), site.__file__ or '')"
    done = subprocess.run(
        [sys.executable, "-c", line],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": "."},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("True")
    assert str(ROOT / "site") not in done.stdout


def test_the_output_folder_is_never_the_source_folder() -> None:
    config = (ROOT / "mkdocs.yml").read_text()
    assert re.search(r"^site_dir: build/site$", config, re.M)
    assert (ROOT / "site" / "__init__.py").read_text() == ""


@given(st.text())
@settings(max_examples=200, deadline=None)
def test_any_text_survives_the_mould(said: str) -> None:
    marks = " ".join(f"<{moulds.NAME}-{name}>" for name in moulds.MARKS)
    page = markup.Page("papers/x", said, f"<h1>{markup.text(said)}</h1>", said)
    made = moulds.Mould(f"{{{{ a }}}} {marks} {moulds.NAME}-at-papers/a/ end").filled(page)
    front = moulds.parts(page)
    assert made == (
        f"{{{{ a }}}} <{front['title']}> <{front['description']}> <{front['accent']}> "
        f"<{front['head']}> <{front['body']}> papers/x/ end"
    )
    assert front["title"] == markup.text(said)
    assert "<" not in front["title"] + front["description"]
    assert front["body"].count(f"<h1>{markup.text(said)}</h1>") == 1


def test_a_page_in_its_mould_is_as_mkdocs_makes_it(
    built: Built, holdings: Holdings, tmp_path: Path
) -> None:
    site = Path(built.site)
    page = next(page for page in render(holdings).pages if page.path == "papers/hostile")
    front = dict(moulds.parts(page)) | {"section": page.section, "generated": True}
    front["accent"] = page.theme or ""
    place = tmp_path / "docs" / page.path / "index.md"
    place.parent.mkdir(parents=True)
    lines = [f"{key}: {json.dumps(value)}" for key, value in front.items()]
    place.write_text("\n".join(["---", *lines, "---", ""]))
    for guide in guides():
        shutil.copy(guide, tmp_path / "docs")
    (tmp_path / "docs" / "index.md").write_text("# Home")
    run_mkdocs(tmp_path / "docs", tmp_path / "site")
    made = (tmp_path / "site" / page.path / "index.html").read_text()
    here = (site / page.path / "index.html").read_text()
    assert _resolved(here, page.path) == _resolved(made, page.path)


def _resolved(said: str, path: str) -> str:
    """A page with its links told from the root."""
    link = re.compile(r'((?:href|src|action)=")([^"]*)"')
    return link.sub(lambda found: found[1] + urljoin(f"/{path}/", found[2]) + '"', said)


@given(st.text(alphabet=st.characters(blacklist_categories=("Cs", "Cc"))))
@settings(max_examples=200, deadline=None)
def test_bibtex_braces_balance(title: str) -> None:
    made = bibtex.entry(
        Paper(id="x", title=title, authors=(title,) if title.strip() else ()), "key"
    )
    depth = 0
    for character in re.sub(r"\\.", "", made):
        depth += {"{": 1, "}": -1}.get(character, 0)
        assert depth >= 0
    assert depth == 0


@pytest.mark.parametrize(
    "href", ["javascript:alert(1)", "data:text/html,x", "//evil.example/", "http://["]
)
def test_links_of_records_stay_plain_where_they_are_not_safe(href: str) -> None:
    assert "<a" not in markup.link(href, "label")


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden", "x" * 300])
def test_ids_that_cannot_be_file_names_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="file name"):
        markup.safe_id(name)


@pytest.mark.parametrize("paper_colour", [accents.LIGHT_PAPER, accents.DARK_PAPER])
def test_every_accent_can_be_read(paper_colour: str) -> None:
    for theme in catalog.taxonomy().themes.values():
        colour = accents.readable(theme.accent, paper_colour)
        assert accents.contrast(colour, paper_colour) >= 4.5


def test_rows_keep_every_line_of_code() -> None:
    rows = source.rows(MODULE)
    kept = "\n".join(row.code for row in rows)
    for line in (
        "import math",
        "HALF = 0.5",
        "def plan(x: float) -> float:",
        "    return math.sqrt(x)",
    ):
        assert line in kept
    assert "Decide for" not in kept
    notes = [row.note for row in rows]
    assert "Half of the grid; see <section> 3." in notes


@pytest.mark.parametrize(
    "module", sorted((ROOT / "reference_impls").glob("*.py")), ids=lambda p: p.stem
)
def test_rows_of_real_modules_hold_all_their_code_in_order(module: Path) -> None:
    said = module.read_text()
    told: set[int] = set()
    for node in ast.walk(ast.parse(said)):
        kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
        if isinstance(node, kinds) and ast.get_docstring(node, clean=False) is not None:
            told |= set(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    for token in tokenize.generate_tokens(io.StringIO(said).readline):
        if token.type == tokenize.COMMENT and not token.line[: token.start[1]].strip():
            told.add(token.start[0])
    code = [x for n, x in enumerate(said.splitlines(), 1) if x.strip() and n not in told]
    shown = [x for row in source.rows(said) for x in row.code.splitlines() if x.strip()]
    assert shown == code


def test_docstring_blocks_become_elements() -> None:
    made = prose.docstring(prose_of(MODULE))
    assert made.title == "Round up or down by learning."
    assert "<table>" in made.body
    assert 'class="gp"' in made.body


def test_docstring_sections_name_their_entries() -> None:
    said = "Args:\n    x: any number\n        below ten\n    the rest follows\n"
    made = prose.render(said)
    assert '<p class="entry"><code>x</code> any number below ten</p>' in made
    assert '<p class="entry">the rest follows</p>' in made


def prose_of(said: str) -> str:
    return ast.get_docstring(ast.parse(said)) or ""


def test_plot_has_no_style_of_its_own(holdings: Holdings) -> None:
    series = holdings.latest["learned-rounding"]["better"].series
    assert series is not None
    made = plots.figure(series | {"title": HOSTILE}, "p")
    assert "style=" not in made
    assert "<style" not in made
    assert "<script>" not in made
    assert "var(--plot-1)" in made
    assert made == plots.figure(series | {"title": HOSTILE}, "p")


def test_plot_without_numbers_is_left_out() -> None:
    assert plots.figure({"title": "t", "lines": []}, "p") == ""


@given(st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_numbers_are_short_and_true(value: float) -> None:
    shown = figures.number(value)
    plain = shown.replace(",", "").replace("−", "-")
    if "10" in shown and ("×" in shown or any(c in shown for c in "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")):
        return
    assert float(plain) == pytest.approx(value, rel=1e-3, abs=1e-12)


def test_the_methods_of_a_theme_are_compared_by_their_recorded_numbers() -> None:
    from octavo.site import curves
    from octavo.site.holdings import gather
    from octavo.site.pages import compare

    holdings = gather()
    pages = {page.path: page for page in compare.pages(holdings)}
    body = pages["themes/pruning/compare"].body
    for lines in curves.by_task("pruning", holdings).values():
        for curve in lines:
            assert curve.method.name in body
    assert "keeps most" in body


def test_a_curve_stands_on_the_task_that_its_claim_names() -> None:
    from octavo.site import curves
    from octavo.site.holdings import gather

    for task, lines in curves.by_task("pruning", gather()).items():
        for curve in lines:
            named = {claim.id: claim.task for claim in curve.method.claims}
            assert named[curve.run.claim] == task


@given(st.integers(1, 10**12), st.integers(1, 10**12), st.booleans())
def test_costs_are_read_from_notes_as_they_were_written(before: int, after: int, old: bool) -> None:
    from octavo.site import curves

    told = f"{before:,} bytes to {after:,}" if old else f"{before:,} to {after:,} bytes"
    note = f"least: 3.39 at 1, 6.40 at 16; {told}, 9 to 8 MACs; avx512 kernels"
    line = catalog.latest("magnitude")["sparse-90-ms"]
    run = replace(line, note=note)
    assert curves.cost([run], "bytes") == (before, after)
    assert curves.cost([run], "MACs") == (9, 8)
    assert curves.cost([replace(line, note=None)], "bytes") is None
