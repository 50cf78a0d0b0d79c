"""The fine-tuning tasks on the encoder's first blocks: targets, readers, and what is trained."""

from __future__ import annotations

import pytest
import torch

from octavo.reference_impls.tasks import finetuning

torch.set_num_threads(1)
EACH = 10


@pytest.mark.parametrize("name", finetuning.TASKS)
def test_targets_are_classes_and_tasks_are_the_same_again(name: str) -> None:
    task = finetuning.TASKS[name](EACH)
    for part, each in ((task.train, EACH), (task.held_out, EACH // finetuning.HELD_OUT)):
        targets = [b.target[b.target != finetuning.IGNORED] for b in part]
        assert all(bool(((t >= 0) & (t < task.classes)).all()) for t in targets)
        assert sum(len(b.target) for b in part) == each * len(finetuning.PACKAGES)
    finetuning.TASKS[name].cache_clear()  # type: ignore[attr-defined]
    for one, other in zip(task.train, finetuning.TASKS[name](EACH).train, strict=True):
        assert torch.equal(one.input["input_ids"], other.input["input_ids"])
        assert torch.equal(one.target, other.target)


def test_hidden_words_are_masked_and_only_they_have_targets() -> None:
    mask = finetuning.encoder().tokenizer.mask_token_id
    for batch in finetuning.words(EACH).train:
        assert torch.equal(batch.input["input_ids"] == mask, batch.target != finetuning.IGNORED)


def test_two_words_change_places_in_about_half_of_the_sentences() -> None:
    targets = torch.cat([b.target for b in finetuning.order(EACH).train])
    assert 0.3 < targets.float().mean() < 0.7


@pytest.mark.parametrize("tokens", [False, True])
def test_a_reader_has_the_encoders_first_blocks_and_trains_them_alone(tokens: bool) -> None:
    net = finetuning.reader(2, 3, 0, tokens=tokens)
    batch = finetuning.packages(EACH).train[0]
    shape = tuple(batch.input["input_ids"].shape)
    assert net(**batch.input).shape == ((*shape, 3) if tokens else (shape[0], 3))
    held = {n for n, p in net.named_parameters() if not p.requires_grad}
    assert held == {n for n, _ in net.named_parameters() if ".embeddings." in n}
    whole = finetuning.encoder().model.state_dict()
    for name, value in net.encoder.state_dict().items():
        assert torch.equal(value, whole[name])


def test_the_order_of_a_seed_walks_over_all_before_any_comes_again() -> None:
    task = finetuning.packages(EACH)
    drawn = finetuning.in_order(task, 3, 2 * len(task.train))
    for part in (drawn[: len(task.train)], drawn[len(task.train) :]):
        assert {id(b) for b in part} == {id(b) for b in task.train}


def test_tuning_keeps_zeros_and_leaves_embeddings_alone() -> None:
    task = finetuning.packages(EACH)
    net = finetuning.reader(1, task.classes, 0)
    path = "encoder.encoder.layer.0.intermediate.dense"
    keep = torch.rand(net.get_submodule(path).weight.shape) < 0.3
    before = net.encoder.embeddings.word_embeddings.weight.clone()
    finetuning.tune(net, task.train[:2], {path: keep})
    assert (net.get_submodule(path).weight[~keep] == 0).all()
    assert torch.equal(net.encoder.embeddings.word_embeddings.weight, before)
