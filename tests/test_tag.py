"""The tagger: what it reads, what it must and must not say, and what is kept of it."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from octavo import catalog
from octavo.__main__ import app
from octavo.catalog import Paper, Tag
from octavo.errors import InputError
from octavo.ingest import encode, tag, tag_lessons, tag_measures, tag_training
from octavo.ingest.tag_features import Vocabulary, cues, features, terms, vocabulary

TITLES = st.lists(st.text(max_size=60).map(lambda text: text.replace("\n", " ")), max_size=6)
WORDS = catalog.taxonomy()
EXAMPLE = "Post-training 4-bit quantization of vision transformers without data"


@cache
def loaded() -> tag.Tagger:
    return tag.load()


@pytest.fixture
def tagger() -> tag.Tagger:
    return loaded()


@cache
def small_vocabulary() -> Vocabulary:
    texts = [paper.title for paper in list(catalog.papers().values())[:200]]
    return vocabulary(texts, ["pruning", "lottery-ticket"], catalog.ROOT)


def ids(tagged: tag.Tagged) -> set[str]:
    return {shelf.id for shelf in tagged.tags}


def test_the_file_is_of_this_taxonomy_and_of_the_encoder_that_ships(tagger: tag.Tagger) -> None:
    assert set(tagger.shelves) == {*WORDS.themes, *WORDS.techniques}
    assert tag.FILE.stat().st_size <= 3_000_000


def test_the_example_of_the_guide(tagger: tag.Tagger) -> None:
    assert ids(tagger.tag([EXAMPLE])[0]) >= {"quantization", "post-training-quantization"}


@pytest.mark.parametrize(
    ("title", "theme"),
    [
        ("Pruning", "pruning"),
        ("Channel pruning of convolutional networks by learned gates", "pruning"),
        ("Three-bit weights for large language models", "quantization"),
        ("Teaching a small student network with soft labels of its teacher", "distillation"),
        ("Evicting entries of the KV cache in long generation", "kv-cache"),
    ],
)
def test_short_and_plain_titles(tagger: tag.Tagger, title: str, theme: str) -> None:
    assert theme in ids(tagger.tag([title])[0])


def test_one_in_a_hundred_unrelated_titles_at_most_is_tagged(tagger: tag.Tagger) -> None:
    far = [each["title"] for each in tag_lessons.unrelated("test") if each["kind"] == "far"]
    assert len(far) >= 100
    assert sum(bool(found.tags) for found in tagger.tag(far)) <= len(far) // 100


@settings(max_examples=30, deadline=None)
@given(TITLES)
def test_any_text_is_tagged_alone_as_in_company(titles: list[str]) -> None:
    tagger = loaded()
    together = tagger.scores(titles) if titles else np.zeros((0, 1))
    for title, scores in zip(titles, together, strict=True):
        assert np.allclose(tagger.scores([title])[0], scores, atol=1e-5)
        assert ((scores >= 0) & (scores <= 1)).all()


@settings(max_examples=30, deadline=None)
@given(TITLES)
def test_features_are_bounded_and_blind_to_case(titles: list[str]) -> None:
    known = small_vocabulary()
    rows = features([title.lower() for title in titles], known)
    assert abs(rows).max() <= 1 + 1e-9 if rows.nnz else True
    plain = [title for title in titles if title.isascii()]
    upper = features([title.upper() for title in plain], known)
    assert abs(upper - features(plain, known)).sum() < 1e-9


def test_people_have_the_last_word(tagger: tag.Tagger) -> None:
    curated = Paper("a", EXAMPLE, tags=(Tag("pruning", "curated"),))
    listed = Paper("b", EXAMPLE, tags=(Tag("quantization", "source:list:x"),))
    old = Paper("c", EXAMPLE, tags=(Tag("pruning", "model:0:0.9"),))
    one, two, three = tag.shelved([curated, listed, old], WORDS, tagger)
    assert one == curated
    assert Tag("quantization", "source:list:x") in two.tags
    assert [each.id for each in two.tags].count("quantization") == 1
    assert all(each.origin.startswith(f"model:{tagger.version}:") for each in three.tags)
    assert tag.shelved([two, three], WORDS, tagger) == [two, three]
    for each in (two, three):
        assert catalog.paper_from_json(catalog.records.paper_to_json(each)) == each


def test_shelves_of_a_smaller_taxonomy_are_not_left(tagger: tag.Tagger) -> None:
    small = catalog.Taxonomy({"pruning": WORDS.themes["pruning"]}, {}, {})
    (paper,) = tag.shelved([Paper("a", EXAMPLE)], small, tagger)
    assert paper.tags == ()


def test_unrelated_titles_are_enough_apart_and_of_two_kinds() -> None:
    halves = {half: tag_lessons.unrelated(half) for half in tag_lessons.HALVES}
    for each in halves.values():
        assert sum(one["kind"] == "near" for one in each) >= 50
        assert sum(one["kind"] == "far" for one in each) >= 50
    train, test = (
        {" ".join(terms(one["title"])) for one in halves[half]} for half in tag_lessons.HALVES
    )
    assert not train & test
    assert not test & {" ".join(terms(p.title)) for p in catalog.papers().values()}
    with pytest.raises(InputError, match="halves are train, test"):
        tag_lessons.unrelated("dev")


def test_every_technique_has_cues_of_three_words_at_most() -> None:
    told = cues()
    assert told.keys() >= WORDS.techniques.keys()
    assert max(len(phrase.split()) for its in told.values() for phrase in its) <= 3


def test_what_was_saved_says_what_was_trained(tmp_path: Path) -> None:
    lesson = [
        tag_lessons.Example("Pruning filters", frozenset({"pruning"}), "a"),
        tag_lessons.Example("Pruning heads", frozenset({"pruning"}), "b"),
        tag_lessons.Example("Quantized filters", frozenset({"quantization"}), "c"),
        tag_lessons.Example("Quantized heads", frozenset({"quantization"}), "d"),
        tag_lessons.Example("Orchards in spring", frozenset(), "e"),
        tag_lessons.Example("Orchards in autumn", frozenset(), "f"),
    ]
    encoder, names = encode.load("static"), tag_lessons.shelves()
    fitted = tag_training.fit(lesson, names, encoder)
    tag_training.save(fitted, tmp_path / "tagger.safetensors")
    texts = [*(each.text for each in lesson), "Pruning heads of quantized filters"]
    other = names.index(tag.OTHER)
    exact = tag.combined(fitted.logits(texts, encoder).astype(np.float32), other)
    loaded = tag.load(tmp_path / "tagger.safetensors")
    assert np.abs(loaded.scores(texts) - exact).max() < 0.05
    assert loaded.scores(texts)[4, other] > 0.5 > loaded.scores(texts)[0, other]


def test_no_tagger_and_a_tagger_of_another_encoder_are_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="octavo tag --train"):
        tag.load(tmp_path / "none")
    monkeypatch.setattr(encode, "mark", lambda name: "another")
    with pytest.raises(InputError, match="another encoder"):
        tag.load()


@given(st.integers(0, 2**12 - 1), st.integers(0, 2**12 - 1))
def test_f1_is_between_precision_and_recall(right: int, said: int) -> None:
    truth, told = (
        np.array([[bool(bits >> (4 * row + at) & 1) for at in range(4)] for row in range(3)])
        for bits in (right, said)
    )
    score = tag_measures.f1(truth, told)
    low, high = sorted((score["precision"], score["recall"]))
    if truth.any() and told.any():
        assert low - 1e-3 <= score["micro"] <= high + 1e-3
    assert tag_measures.f1(truth, truth)["micro"] == (1.0 if truth.any() else 0.0)


def test_command_reads_a_title_lines_and_json(tmp_path: Path) -> None:
    run = CliRunner().invoke(app, ["tag", EXAMPLE, "--json"])
    one = json.loads(run.stdout)
    assert run.exit_code == 0
    assert one["text"] == EXAMPLE
    assert {"id", "score"} == one["tags"][0].keys()
    lines = f'{EXAMPLE}\n\nPruning\tWe prune.\n{{"title": "Bees", "abstract": null}}\n'
    piped = json.loads(CliRunner().invoke(app, ["tag", "-", "--json"], input=lines).stdout)
    assert [each["text"] for each in piped["texts"]] == [EXAMPLE, "Pruning\nWe prune.", "Bees"]
    assert piped["texts"][2]["tags"] == []
    (tmp_path / "titles.txt").write_text(lines, encoding="utf-8")
    run = CliRunner().invoke(app, ["tag", str(tmp_path / "titles.txt"), "--json"])
    assert json.loads(run.stdout) == piped


@pytest.mark.parametrize("given", ["", "   ", "-"])
def test_nothing_to_tag_is_an_error(given: str) -> None:
    with pytest.raises(InputError, match="give a title"):
        tag.texts_of(given, lambda: "\n \n")


def test_a_broken_json_line_is_named() -> None:
    with pytest.raises(InputError, match="a JSON line has a title"):
        tag.texts_of("-", lambda: '{"name": "x"}')
