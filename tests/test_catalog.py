"""The catalog: records are strict, problems name their place, one paper is one record."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from octavo import catalog
from octavo.catalog import Claim, Paper, Source, Tag, Trend, identity, query, toml_lines
from octavo.catalog.documents import find
from octavo.errors import InputError
from octavo.ingest import links

PAPERS = catalog.papers()

METHOD = """\
id = "x"
name = "X"
papers = ["a"]
theme = "pruning"
techniques = ["rewinding"]
problem = \"\"\"
A text over lines,
[not] = a table\"\"\"

[facets]
structure = ["structured"]

[[formulas]]
latex = 'x'
caption = "c"

[[claims]]
id = "first"
statement = "s"
where = "Table 1"
metric = "m"
reported = "exact"
setting = "small"
expect = ">="
value = 1

[[claims]]
id = "second"
statement = "s"
where = "Table 2"
metric = "m"
reported = "exact"
setting = "small"
expect = "within"
value = 0.5
tolerance = 0.1
trend = { expect = ">", value = 0 }
"""
PAPER = {"id": "a", "title": "A paper", "year": 2020}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A small catalog in which everything is right."""
    home = tmp_path / "catalog"
    (home / "papers").mkdir(parents=True)
    (home / "methods").mkdir()
    for name in ("taxonomy.toml", "sources.toml"):
        shutil.copy(catalog.ROOT / name, home / name)
    (home / "papers" / "2020.jsonl").write_text(json.dumps(PAPER) + "\n")
    (home / "methods" / "x.toml").write_text(METHOD)
    return home


def test_the_small_catalog_is_right(root: Path) -> None:
    assert catalog.check(root) == []
    method = catalog.methods(root)["x"]
    assert method.claims[1].trend == Trend(">", 0.0)
    assert isinstance(method.claims[0].value, float)


BROKEN_METHODS = [
    (
        'metric = "m"\nreported = "exact"\nsetting = "small"\nexpect = "within"',
        'reported = "exact"\nsetting = "small"\nexpect = "within"',
        27,
        "claims[1].metric: missing",
    ),
    ('where = "Table 1"\n', "", 17, "claims[0].where: missing"),
    ('where = "Table 1"', 'where = " "', 20, "claims[0].where: empty text"),
    ('theme = "pruning"', 'theme = "prunning"', 4, "theme: unknown theme 'prunning'"),
    (
        'techniques = ["rewinding"]',
        'techniques = ["rewind"]',
        5,
        "techniques[0]: unknown technique",
    ),
    ('structure = ["structured"]', 'structure = ["odd"]', 11, "facets.structure[0]: unknown value"),
    ('structure = ["structured"]', 'shape = ["odd"]', 11, "facets.shape: unknown facet"),
    ('papers = ["a"]', 'papers = ["b"]', 3, "papers[0]: unknown paper 'b'"),
    ('papers = ["a"]', "papers = []", 3, "papers: empty"),
    ('papers = ["a"]', 'papers = "a"', 3, "papers: 'a' is text; expected a list"),
    ('id = "x"', 'id = "y"', 1, "id: 'y' in a file called x.toml"),
    ('name = "X"', "name = 7", 2, "name: 7 is a whole number; expected text"),
    ('name = "X"', 'name = "X"\nnaem = "X"', 3, "naem: unknown key; allowed: id, name"),
    ("value = 1\n", 'value = "1"\n', 25, "claims[0].value: '1' is text; expected a number"),
    ("value = 1\n", "value = true\n", 25, "claims[0].value: True is true/false"),
    ('expect = ">="', 'expect = "=>"', 24, "claims[0].expect: '=>'; allowed: >="),
    ('expect = ">", value', 'expect = "up", value', 37, "claims[1].trend.expect: 'up'; allowed"),
    ("tolerance = 0.1", "tolerance = -1", 36, "claims[1].tolerance: -1.0; expected zero or more"),
    ('id = "second"', 'id = "first"', 28, "claims[1].id: 'first' is already taken"),
    ("latex = 'x'", "latex = x", 14, "not TOML"),
]


@pytest.mark.parametrize(("good", "bad", "line", "says"), BROKEN_METHODS)
def test_a_broken_method_names_file_line_and_key(
    root: Path, good: str, bad: str, line: int, says: str
) -> None:
    assert METHOD.count(good) == 1
    (root / "methods" / "x.toml").write_text(METHOD.replace(good, bad))
    problems = catalog.check(root)
    assert any(each.startswith(f"catalog/methods/x.toml:{line}: {says}") for each in problems)
    with pytest.raises(InputError, match=re.escape(f"x.toml:{line}: ")) as refused:
        catalog.methods(root)
    assert "\n" not in str(refused.value)


BROKEN_PAPERS: list[tuple[dict[str, Any], str]] = [
    ({"yaer": 2020}, "yaer: unknown key; allowed: id, title"),
    ({"title": None}, "title: None is nothing; expected text"),
    ({"year": "2020"}, "year: '2020' is text; expected a whole number"),
    ({"year": 2019}, "year: z belongs in papers/2019.jsonl, not 2020.jsonl"),
    ({"authors": ["A", 3]}, "authors[1]: 3 is a whole number; expected text"),
    ({"authors": "A, B"}, "authors: 'A, B' is text; expected a list"),
    ({"arxiv": "2006.05467v2"}, "arxiv: '2006.05467v2'; expected an arXiv id without version"),
    ({"arxiv_version": 2}, "arxiv_version: a version of no arXiv id"),
    ({"doi": "https://doi.org/10.1/x"}, "doi: 'https://doi.org/10.1/x'; expected a DOI"),
    ({"url": "arxiv.org/abs/1"}, "url: 'arxiv.org/abs/1'; expected an address"),
    ({"kind": "paper"}, "kind: 'paper'; allowed: method, survey, study, unknown"),
    ({"status": "gone"}, "status: 'gone'; allowed: active, withdrawn"),
    ({"id": "Z z"}, "id: 'Z z'; expected kebab-case"),
    ({"id": "a"}, "id: 'a' is already taken"),
    ({"id": "0"}, "id: '0' stands after 'a'"),
    ({"tags": [{"id": "prune", "origin": "curated"}]}, "tags[0].id: unknown theme or technique"),
    ({"tags": [{"id": "pruning", "origin": "me"}]}, "tags[0].origin: 'me'; allowed: curated"),
    ({"tags": [{"id": "pruning"}]}, "tags[0].origin: missing; every tag needs one"),
    ({"sources": [{"id": "x", "page": 3}]}, "sources[0].page: unknown key; allowed: id, url"),
]


@pytest.mark.parametrize(("change", "says"), BROKEN_PAPERS)
def test_a_broken_paper_names_file_line_and_key(
    root: Path, change: dict[str, Any], says: str
) -> None:
    lines = [json.dumps(each) for each in (PAPER, {**PAPER, "id": "z", "title": "Z", **change})]
    (root / "papers" / "2020.jsonl").write_text("\n".join(lines))
    problems = catalog.check(root)
    assert any(each.startswith(f"catalog/papers/2020.jsonl:2: {says}") for each in problems)
    with pytest.raises(InputError, match=r"2020.jsonl:2: "):
        catalog.papers(root)


def test_every_problem_is_collected_and_the_first_one_raised(root: Path) -> None:
    bad = METHOD.replace('name = "X"', "name = 1").replace("value = 0.5", "valeu = 0.5")
    (root / "methods" / "x.toml").write_text(bad)
    (root / "papers" / "2020.jsonl").write_text('{"id": "a"}\nnot json\n')
    problems = catalog.check(root)
    keys = (
        "title: missing",
        "not JSON",
        "name: 1 is",
        "claims[1].valeu: unknown",
        "value: missing",
    )
    assert all(any(key in each for each in problems) for key in keys)
    with pytest.raises(InputError, match=r"and 2 more: octavo catalog check\)$"):
        catalog.methods(root)


def test_problems_of_taxonomy_sources_and_ledger_name_their_place(root: Path) -> None:
    with (root / "taxonomy.toml").open("a") as words:
        words.write('\n[themes.odd]\nname = "Odd"\ndescription = "d"\naccent = "red"\n')
        words.write('[techniques.odd]\nname = "Odd"\ntheme = "none"\ndescription = "d"\n')
    (root / "sources.toml").write_text('[sources.blog]\nkind = "feed"\nname = "Blog"\n')
    (root / "results").mkdir()
    (root / "results" / "x.jsonl").write_text('{"method": "x", "value": "high"}\n')
    said = " ".join(catalog.check(root))
    assert re.search(r"taxonomy.toml:\d+: themes.odd.accent: 'red'; expected #rrggbb", said)
    assert re.search(r"taxonomy.toml:\d+: techniques.odd.theme: unknown theme 'none'", said)
    assert "catalog/sources.toml:1: sources.blog.source: missing" in said
    assert "catalog/results/x.jsonl:1: value: 'high' is text; expected a number" in said


def test_a_missing_file_is_a_problem_not_a_crash(tmp_path: Path) -> None:
    said = catalog.check(tmp_path / "catalog")
    assert any("taxonomy.toml:1: cannot be read" in each for each in said)


@given(st.text(st.sampled_from('ab[]{}"\'#=\n ."'), max_size=60))
def test_lines_are_found_in_any_text(text: str) -> None:
    lines = toml_lines.key_lines(text)
    assert all(1 <= number <= text.count("\n") + 1 for number in lines.values())


def test_the_catalog_is_valid() -> None:
    assert catalog.check() == []


def test_papers_have_unique_titles_ids_and_identities() -> None:
    keys = [key for paper in PAPERS.values() for key in identity.keys(paper)]
    titles = [identity.normalise_title(paper.title) for paper in PAPERS.values()]
    assert len(keys) == len(set(keys))
    assert len(titles) == len(set(titles))
    assert len(PAPERS) > 1250


def test_no_two_papers_link_the_same_page_of_proceedings() -> None:
    owners: dict[str, str] = {}
    shared = [
        (key, owner, paper.id)
        for paper in PAPERS.values()
        for key in links.keys(paper)
        if (owner := owners.setdefault(key, paper.id)) != paper.id
    ]
    assert shared == []


def test_every_paper_has_provenance_and_a_shelf() -> None:
    assert [paper.id for paper in PAPERS.values() if not paper.sources or not paper.tags] == []
    curated = [p for p in PAPERS.values() if any(tag.origin == "curated" for tag in p.tags)]
    assert len(curated) >= 273
    assert all(paper.summary for paper in curated)


def test_the_withdrawn_paper_is_marked_and_teaches_nothing() -> None:
    withdrawn = [paper.id for paper in PAPERS.values() if paper.status == "withdrawn"]
    assert withdrawn == ["self-distillation-framework"]
    assert not any(set(withdrawn) & set(each.papers) for each in catalog.methods().values())


def test_accents_can_be_read_on_white_and_on_black() -> None:
    for theme in catalog.taxonomy().themes.values():
        light = _luminance(theme.accent)
        assert 1.05 / (light + 0.05) >= 4.4, theme.id
        assert (light + 0.05) / 0.05 >= 4.4, theme.id


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("paper", list(PAPERS.values())[::25], ids=lambda paper: paper.id)
def test_a_paper_survives_the_way_to_json_and_back(paper: Paper) -> None:
    written = catalog.paper_to_json(paper)
    assert catalog.paper_from_json(json.loads(json.dumps(written))) == paper
    assert all(value not in (None, [], "") for value in written.values())
    assert list(written) == [name for name in Paper.__dataclass_fields__ if name in written]


def test_files_are_written_as_the_catalog_writes_them() -> None:
    for path in sorted((catalog.ROOT / "papers").glob("*.jsonl")):
        for line in path.read_text().splitlines():
            paper = PAPERS[json.loads(line)["id"]]
            assert json.dumps(catalog.paper_to_json(paper), ensure_ascii=False) == line


# ---------------------------------------------------------------- identity


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2006.05467", ("2006.05467", None)),
        (" arXiv:2006.05467v2 ", ("2006.05467", 2)),
        ("http://arxiv.org/abs/2006.05467v12", ("2006.05467", 12)),
        ("https://arxiv.org/pdf/2006.05467.pdf", ("2006.05467", None)),
        ("https://www.arxiv.org/html/2006.05467v1#S3", ("2006.05467", 1)),
        ("https://export.arxiv.org/abs/cs/0102003v1", ("cs/0102003", 1)),
        ("https://arxiv.org/abs/math.GT/0309136", ("math/0309136", None)),
        ("https://ar5iv.labs.arxiv.org/html/2006.05467", ("2006.05467", None)),
        ("https://huggingface.co/papers/2305.14314", ("2305.14314", None)),
        ("https://doi.org/10.48550/arXiv.2006.05467", ("2006.05467", None)),
        ("https://arxiv.org/list/cs.LG/recent", None),
        ("https://example.org/abs/2006.05467", None),
        ("2013.05467", None),
        ("12006.05467", None),
        ("", None),
    ],
)
def test_arxiv_ids(text: str, expected: tuple[str, int | None] | None) -> None:
    assert identity.arxiv_id(text) == expected


@pytest.mark.parametrize(
    ("read", "text", "expected"),
    [
        (
            identity.doi,
            "doi:10.1109/EMC2-NIPS53020.2019.00016",
            "10.1109/emc2-nips53020.2019.00016",
        ),
        (identity.doi, "https://dl.acm.org/doi/abs/10.1145/344.346?x", "10.1145/344.346"),
        (
            identity.doi,
            "https://doi.org/10.1016/0010-0277(88)90031-5",
            "10.1016/0010-0277(88)90031-5",
        ),
        (
            identity.doi,
            "https://doi.org/10.1016%2Fj.neuron.2017.06.011",
            "10.1016/j.neuron.2017.06.011",
        ),
        (identity.doi, "version 10.2/3", None),
        (identity.openreview_id, "https://openreview.net/pdf?id=5xEgrl_5FAJ", "5xEgrl_5FAJ"),
        (
            identity.openreview_id,
            "https://openreview.net/forum?id=9DCQAGBoII#discussion",
            "9DCQAGBoII",
        ),
        (identity.openreview_id, "https://openreview.net/group?id=ICLR.cc/2020/Conference", None),
        (identity.openreview_id, "https://example.org/watch?id=Nf8yfPDFTl", None),
    ],
)
def test_other_ids(read: Callable[[str], str | None], text: str, expected: str | None) -> None:
    assert read(text) == expected


@given(st.text(max_size=80))
def test_normalising_twice_is_normalising_once(title: str) -> None:
    once = identity.normalise_title(title)
    assert identity.normalise_title(once) == once
    assert identity.normalise_title(f"  {title.strip()} ") == once


@given(
    st.lists(st.sampled_from(("pruning", "Deep", "NETS", "bert", "4bit")), min_size=1, max_size=8)
)
def test_titles_agree_over_case_dashes_and_tex(words: list[str]) -> None:
    plain = identity.normalise_title(" ".join(words))
    assert identity.normalise_title("—".join(words).upper()) == plain
    assert identity.normalise_title(": ".join(f"{{{word}}}" for word in words) + "?") == plain


SHORT = st.sampled_from(["a", "b", "cc"])
SOURCES = st.builds(Source, SHORT, section=st.none() | SHORT)
FOUND = st.builds(
    Paper,
    id=SHORT,
    title=SHORT,
    authors=st.lists(SHORT, max_size=2).map(tuple),
    authors_complete=st.booleans(),
    year=st.none() | st.integers(2018, 2021),
    venue=st.none() | st.sampled_from(["arXiv", "ICML 2020"]),
    arxiv=st.none() | st.sampled_from(["2001.00001", "2001.00002"]),
    arxiv_version=st.none() | st.integers(1, 3),
    url=st.none() | st.sampled_from(["https://x.org/1", "https://x.org/2"]),
    abstract=st.none() | SHORT,
    kind=st.sampled_from(catalog.records.KINDS),
    sources=st.lists(SOURCES, max_size=2, unique=True).map(tuple),
    tags=st.lists(
        st.builds(Tag, SHORT, st.sampled_from(["source:a", "model:v1:0.5"])),
        max_size=2,
        unique=True,
    ).map(tuple),
    status=st.sampled_from(catalog.records.STATUSES),
    links=st.lists(st.sampled_from(["https://y.org", "https://x.org/1"]), unique=True).map(tuple),
)
SHELVED = FOUND.map(lambda paper: replace(paper, tags=(*paper.tags, Tag("pruning", "curated"))))


def _settled(paper: Paper) -> Paper:
    """The paper with its collections in one order."""
    ordered = {
        name: tuple(sorted(getattr(paper, name), key=repr)) for name in ("sources", "tags", "links")
    }
    return replace(paper, **ordered)


@given(FOUND | SHELVED, FOUND | SHELVED)
def test_merging_is_the_same_both_ways_and_twice_is_once(a: Paper, b: Paper) -> None:
    one = identity.merge(a, b)
    assert one == identity.merge(b, a)
    assert identity.merge(a, a) == a
    assert identity.merge(one, one) == one
    assert identity.merge(one, b) == one
    assert identity.merge(one, a) == one


@settings(max_examples=200)
@given(st.lists(FOUND, min_size=3, max_size=3))
def test_the_order_of_sources_does_not_matter(found: list[Paper]) -> None:
    ways = [_settled(identity.merge(identity.merge(a, b), c)) for a, b, c in permutations(found)]
    assert all(way == ways[0] for way in ways)


@given(SHELVED, st.lists(FOUND, max_size=3))
def test_what_is_curated_survives_any_source(kept: Paper, found: list[Paper]) -> None:
    merged = kept
    for each in found:
        merged = identity.merge(each, merged)
    for name in ("id", "title", "year", "venue", "arxiv", "url", "abstract"):
        known = getattr(kept, name)
        assert known is None or getattr(merged, name) == known


@given(FOUND | SHELVED, FOUND)
def test_merging_loses_nothing(a: Paper, b: Paper) -> None:
    one = identity.merge(a, b)
    for each in (a, b):
        assert set(each.sources) <= set(one.sources)
        assert set(each.tags) <= set(one.tags)
        assert set(each.links) | {each.url} - {None} <= {*one.links, one.url}
        told = " ".join(one.links)
        assert each.arxiv in (None, one.arxiv) or f"arxiv.org/abs/{each.arxiv}" in told
        if each.arxiv == one.arxiv and each.arxiv_version and each.arxiv:
            assert (one.arxiv_version or 0) >= each.arxiv_version
    assert ("withdrawn" in (a.status, b.status)) == (one.status == "withdrawn")


# ---------------------------------------------------------------- the ledger


def claim(expect: str, value: float, tolerance: float = 0, trend: Trend | None = None) -> Claim:
    return Claim("c", "s", "Table 1", "m", "exact", "small", expect, value, tolerance, trend)


@pytest.mark.parametrize(
    ("wish", "value", "expected"),
    [
        (claim(">=", 2.0), 2.0, "holds"),
        (claim(">=", 2.0, 0.5), 1.6, "holds"),
        (claim(">=", 2.0), 1.9, "not reproduced"),
        (claim(">=", 2.0, trend=Trend(">", 1.0)), 1.9, "trend only"),
        (claim(">=", 2.0, trend=Trend(">", 1.0)), 1.0, "not reproduced"),
        (claim("<=", 1e-5), 1e-6, "holds"),
        (claim("within", 0.5, 0.1), 0.59, "holds"),
        (claim("within", 0.5, 0.1), 0.61, "not reproduced"),
        (claim("==", 3), 3, "holds"),
        (claim("==", 3), float("nan"), "not reproduced"),
    ],
)
def test_verdicts(wish: Claim, value: float, expected: str) -> None:
    assert catalog.verdict(wish, value) == expected


@given(st.floats(allow_nan=False), st.floats(-5, 5), st.floats(0, 3))
def test_a_result_that_holds_always_has_its_trend(value: float, bound: float, slack: float) -> None:
    weaker = Trend(">=", bound - slack)
    assert (catalog.verdict(claim(">=", bound, trend=weaker), value) == "trend only") == (
        bound - slack <= value < bound
    )


LINE = {
    "method": "x", "claim": "first", "value": 1.5, "spread": None, "seeds": [0], "baseline": None,
    "baseline_name": None, "verdict": "holds", "series": {"lines": []}, "note": None,
    "command": "octavo bench x", "commit": "abc", "code_hash": "h", "versions": {"torch": "2"},
    "cpu": "a CPU", "gpu": None, "seconds": 1, "date": "2025-01-01T00:00:00+00:00", "quick": False,
}  # fmt: skip


def test_the_newest_full_run_counts(root: Path) -> None:
    code = root.parent / "reference_impls" / "x.py"
    code.parent.mkdir()
    code.write_text('"""Docs."""\nx = 1\n')
    (root / "results").mkdir()
    current = catalog.code_hash(code)
    lines = [
        {**LINE, "value": 1.0, "code_hash": current},
        {**LINE, "value": 2.0, "date": "2025-03-01T00:00:00+00:00", "code_hash": current},
        {**LINE, "value": 3.0, "date": "2025-04-01T00:00:00+00:00", "quick": True},
    ]
    (root / "results" / "x.jsonl").write_text("".join(json.dumps(each) + "\n" for each in lines))
    assert [line.value for line in catalog.results("x", root)] == [1.0, 2.0, 3.0]
    assert catalog.latest("x", root)["first"].value == 2.0
    assert not catalog.stale("x", root)
    code.write_text("x = 2\n")
    assert catalog.stale("x", root)


def test_the_code_hash_sees_code_and_nothing_else(tmp_path: Path) -> None:
    def hashed(text: str) -> str:
        path = tmp_path / "m.py"
        path.write_text(text)
        return catalog.code_hash(path)

    one = hashed('"""Docs."""\ndef f(x):\n    """More."""\n    return x + 1\n')
    assert one == hashed("def f( x ):  # why\n    return x+1\n")
    assert one != hashed("def f(x):\n    return x + 2\n")


# ---------------------------------------------------------------- asking


def test_methods_are_selected_by_facet_and_expression() -> None:
    every = {method.id for method in query.select()}
    free = {method.id for method in query.select(facets=["data=none"])}
    assert "synflow" in free < every
    assert free == {method.id for method in query.select(where='data == "none"')}
    assert every - free == {method.id for method in query.select(where='not data == "none"')}
    assert "adaround" in {m.id for m in query.select(where='bits<=4 and retraining=="none"')}
    themes = {method.theme for method in query.select("pruning")}
    assert themes == {"pruning"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "bits <=",
        '__import__("os").system("x")',
        "bits",
        "speed > 3",
        "1 < bits",
        "bits < bits",
        "2 <= bits <= 4",
        "bits + 1 == 2",
        "[x for x in bits] == 1",
        "(" * 400,
        "bits == 1 or " * 99,
        "bits is 4",
        "-bits",
        "data == b'x'",
    ],
)
def test_other_expressions_are_refused_in_one_line(text: str) -> None:
    with pytest.raises(InputError, match=r"^--where ") as refused:
        query.expression(text)
    assert "\n" not in str(refused.value)


@given(st.text(st.sampled_from("bits=<>()'\"4 andort\n"), max_size=40))
def test_an_expression_is_read_or_refused(text: str) -> None:
    try:
        holds = query.expression(text)({"bits": ("4",)})
    except InputError:
        return
    assert holds in (True, False)


def test_what_is_shown_says_what_it_is() -> None:
    assert find("synflow")["papers"][0]["arxiv"] == "2006.05467"
    assert find("papers/synflow")["methods"] == ["synflow"]
    assert find("self-distillation-framework")["status"] == "withdrawn"
    with pytest.raises(InputError, match=r"did you mean synflow"):
        find("synflo")


def test_the_commands_print_one_json_document() -> None:
    from octavo.__main__ import app

    listed = CliRunner().invoke(app, ["methods", "--facet", "structure=pattern", "--json"])
    rows = json.loads(listed.stdout)["methods"]
    assert "stripe-pruning" in {row["id"] for row in rows}
    assert {"id", "theme", "facets", "implemented", "claims", "results"} <= set(rows[0])
    shown = CliRunner().invoke(app, ["show", "papers/lcs", "--json"])
    assert json.loads(shown.stdout)["kind"] == "paper"
    checked = CliRunner().invoke(app, ["catalog", "check", "--json"])
    assert json.loads(checked.stdout) == {"problems": []}


def test_followed_sources_are_read() -> None:
    kinds = {each.kind for each in catalog.sources()}
    assert kinds == {"feed", "arxiv"}
    assert any(each.source == "https://www.aipapertrails.com/feed" for each in catalog.sources())
