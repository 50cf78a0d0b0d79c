"""Sentences from docstrings, and the similarity task on them."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from octavo.errors import InputError
from octavo.reference_impls.tasks import sentences

FEW = ("email", "json", "logging")


def test_sentences_are_prose_apart_and_the_same_in_another_process() -> None:
    text = sentences.load(30, 10, FEW)
    assert (len(text.train), len(text.held_out)) == (30, 10)
    assert not set(text.train) & set(text.held_out)
    for sentence in (*text.train, *text.held_out):
        assert list(sentences.prose(sentence)) == [sentence]
    code = (
        "from octavo.reference_impls.tasks import sentences as s;"
        f"print(hash(repr(s.load(30, 10, {FEW!r})) == {text!r}.__repr__()))"
    ).replace("Text(", "s.Text(")
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "1"


def test_what_is_no_prose_is_left_out() -> None:
    for text in (
        "Too few words.",
        "no capital at the start of this sentence here.",
        "There is no full stop at the end of this",
        "A table:: with code >>> f(x_1) == [1, 2] in the middle of it.",
    ):
        assert list(sentences.prose(text)) == []


def test_asking_for_more_than_there_is_is_answered_with_what_was_found() -> None:
    with pytest.raises(InputError, match="found"):
        sentences.load(10**6, 10, ("json",))


def test_pooling_ignores_padding_and_similarities_are_of_different_pairs() -> None:
    states = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[1, 1, 0], [1, 0, 0]])
    spoiled = states.masked_fill(mask.unsqueeze(2) == 0, 1e6)
    vectors = sentences.pooled(states, mask)
    assert torch.allclose(vectors, sentences.pooled(spoiled, mask))
    assert torch.allclose(vectors.norm(dim=1), torch.ones(2))
    assert sentences.pair_similarities(vectors).shape == (1,)


def test_spearman_sees_order_only() -> None:
    a = torch.tensor([3.0, 1.0, 2.0, 5.0])
    assert sentences.spearman(a, a.exp()) == pytest.approx(1)
    assert sentences.spearman(a, -a) == pytest.approx(-1)
