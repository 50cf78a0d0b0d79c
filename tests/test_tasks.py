"""The image tasks and networks that methods are measured on: real, fixed, of the stated shapes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from octavo.reference_impls.tasks import digits, glyphs, nets, pruned

torch.set_num_threads(1)


def test_digits_are_split_by_order_and_standardised_by_the_training_part() -> None:
    images = digits.load()
    assert images.train.shape == (1437, 1, 8, 8)
    assert images.test.shape == (360, 1, 8, 8)
    assert images.train.mean().abs() < 1e-5
    assert images.train.std().item() == pytest.approx(1, abs=1e-5)
    assert set(images.test_labels.tolist()) == set(range(digits.CLASSES))


def test_glyphs_are_the_same_for_a_seed_and_others_for_another() -> None:
    first, again, other = (glyphs.load(72, 36, seed) for seed in (0, 0, 1))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first.train, other.train)


def test_glyphs_have_all_classes_equally_often_and_ink_in_each_image() -> None:
    images = glyphs.load(144, 72)
    assert images.train.shape == (144, 1, 16, 16)
    assert torch.bincount(images.train_labels).tolist() == [4] * glyphs.CLASSES
    assert torch.bincount(images.test_labels).tolist() == [2] * glyphs.CLASSES
    for font in (*glyphs.TRAIN_FONTS, *glyphs.TEST_FONTS):
        drawn = glyphs.glyphs(font)
        assert drawn.shape == (36, 64, 64)
        assert (drawn.flatten(1).sum(1) > 40).all()
        assert len({tuple(d.flatten().tolist()) for d in drawn}) == 36


def test_no_typeface_is_in_both_parts() -> None:
    assert not set(glyphs.TRAIN_FONTS) & set(glyphs.TEST_FONTS)


@pytest.mark.parametrize("size", [8, 9, 16])
def test_vgg_never_halves_an_image_of_two_by_two(size: int) -> None:
    net = nets.vgg(1, 5, (4, 8, 16, 32), size=size).eval()
    seen: list[int] = []
    for module in net:
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda m, a, out: seen.append(out.shape[-1]))
    assert net(torch.zeros(2, 1, size, size)).shape == (2, 5)
    assert min(seen) >= 2


def test_resnet18_has_twenty_convolutions_and_one_linear_layer() -> None:
    net = nets.resnet18(3, 10, width=4).eval()
    assert sum(isinstance(m, nn.Conv2d) for m in net.modules()) == 20
    assert sum(isinstance(m, nn.Linear) for m in net.modules()) == 1
    assert net(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


def test_what_is_pruned_stays_pruned_while_training_and_the_seed_decides() -> None:
    images = digits.Images(*(t[:128] for t in digits.load()))
    torch.manual_seed(0)
    net = nets.mlp((64, 16, 10))
    nothing = {"1": torch.zeros(16, 64, dtype=torch.bool)}
    blind = pruned.trained(net, nothing, images, 12, seed=0)  # the first layer sees nothing
    everything = {"1": torch.ones(16, 64, dtype=torch.bool)}
    seeing = pruned.trained(net, everything, images, 12, seed=0)
    assert blind < 0.3 < seeing
    assert pruned.trained(net, everything, images, 12, seed=0) == seeing
    assert net[1].weight.all()


def test_the_first_empty_layer_is_found_between_the_marks() -> None:
    tried: list[float] = []

    def prune(compression: float) -> pruned.Pattern:
        tried.append(compression)
        return {"a": torch.tensor([compression < 13])}

    compressions = [float(c) for c in range(1, 33)]
    seen = pruned.thinning(prune, compressions, [7, 15, 31])
    assert pruned.critical(seen) == 12
    assert tried == [8, 16, 9, 10, 11, 12, 13]


def test_the_grid_ends_at_one_weight_a_layer_in_small_even_steps() -> None:
    compressions = pruned.grid(nets.mlp((64, 30, 10)), 0.05)
    assert compressions[0] == 1
    assert compressions[-1] == pytest.approx((64 * 30 + 300) / 2)
    steps = torch.tensor(compressions).log10().diff()
    assert steps.max() <= 0.05 + 1e-6
    torch.testing.assert_close(steps, steps[:1].expand(len(steps)), rtol=1e-3, atol=1e-5)


def test_one_thread_puts_the_threads_back() -> None:
    before = torch.get_num_threads()
    with pruned.one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before
