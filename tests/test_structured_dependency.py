"""Units are found whole, leave exactly, and what cannot be followed is named."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import octavo
from octavo.errors import InputError
from octavo.reference_impls import structured_dependency as method
from octavo.reference_impls.dependency import follow
from octavo.reference_impls.inputs import call, evaluating, output_of
from octavo.reference_impls.plan import Mask, Narrow, Plan
from octavo.reference_impls.report import state_bytes
from octavo.reference_impls.tasks import architectures

torch.set_num_threads(1)


def output(net: nn.Module, x: Tensor) -> Tensor:
    with evaluating(net):
        return output_of(call(net, x))


@settings(deadline=None, max_examples=12)
@given(st.sampled_from(sorted(architectures.KINDS)), st.floats(0.1, 0.95), st.integers(0, 99))
def test_narrowed_equals_masked_on_every_kind(kind: str, density: float, seed: int) -> None:
    net, x = architectures.made(kind, seed), architectures.KINDS[kind].example()
    found = method.plan(net, method.Config(density), example=x)
    zeroed = architectures.made(kind, seed)
    zeroed.load_state_dict(method.masked(net, found))
    assert torch.allclose(output(found.apply(net), x), output(zeroed, x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", architectures.KINDS)
def test_every_kind_goes_round_and_is_really_smaller(kind: str, tmp_path: Path) -> None:
    net, x = architectures.made(kind, 0), architectures.KINDS[kind].example()
    small = octavo.compress(net, "structured-dependency", example=x, density=0.5)
    assert state_bytes(small.model) < 0.75 * state_bytes(net)
    small.save(tmp_path)
    again = octavo.load(architectures.made(kind, 5), tmp_path, example=x)
    assert torch.equal(output(again.model, x), output(small.model, x))
    report = small.report(x)
    assert report.macs_after < 0.75 * report.macs_before
    assert report.bytes_after < 0.8 * report.bytes_before


def test_a_head_is_one_unit_and_a_shortcut_joins_its_layers() -> None:
    found = follow(architectures.made("vision transformer", 0), torch.ones(1, 3, 16, 16))
    heads = [u for u in found.units if any(name == "attentions.0.q.weight" for name, _, _ in u)]
    assert len(heads) == 4
    assert all(sum(n == "attentions.0.v.weight" for n, _, _ in u) == 16 for u in heads)
    residual = follow(architectures.made("ResNet-18", 0), torch.ones(1, 3, 16, 16)).units
    (first, *_) = [u for u in residual if ("stem.0.weight", 0, 0) in u]
    assert {("stages.0.0.conv2.weight", 0, 0), ("stages.0.1.conv1.weight", 1, 0)} <= set(first)


class Grouped(nn.Module):
    """Grouped convolution, group norm, a buffer for each channel, and a sort."""

    def __init__(self, sort: bool) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 12, 3, padding=1, groups=4)
        self.scale = nn.Parameter(torch.linspace(0.5, 1.5, 12).view(12, 1, 1))
        self.c, self.sort = nn.Conv2d(12, 4, 1), sort

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.b(F.relu(self.a(x)))) * self.scale
        return self.c(y.sort(1).values if self.sort else y).mean((2, 3))


def test_groups_lose_channels_alike_and_a_parameter_of_its_own_follows() -> None:
    torch.manual_seed(0)
    net, x = Grouped(False).eval(), torch.randn(2, 3, 6, 6)
    found = method.plan(net, method.Config(0.5), example=x)
    small = found.apply(net)
    assert (small.b.groups, small.b.weight.shape[0] % 4, len(small.scale)) == (4, 0, small.b.out_channels)  # fmt: skip # noqa: E501
    net.load_state_dict(method.masked(net, found))
    assert torch.allclose(output(small, x), output(net, x), atol=1e-5)


def test_an_operation_that_cannot_be_followed_is_named_with_its_module() -> None:
    found = method.plan(Grouped(True).eval(), example=torch.randn(1, 3, 6, 6))
    assert any("sort" in note for note in found.notes)
    assert {step.path for step in found.steps} == {"a", "b"}  # type: ignore[union-attr]
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4), nn.Conv2d(4, 2, 3))
    with pytest.raises(InputError, match="native_group_norm in 1"):
        method.plan(net, example=torch.randn(1, 3, 8, 8))


class Fixed(nn.Module):
    """Attention whose code holds the number of heads."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out, self.tail = nn.Linear(8, 24), nn.Linear(8, 8), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).view(*x.shape[:2], 3, 2, 4).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(*x.shape[:2], 8)
        return self.tail(self.out(y)).mean(1)


def test_code_that_holds_its_sizes_is_answered_and_can_be_left_out() -> None:
    net, x = Fixed().eval(), torch.randn(1, 5, 8)
    with pytest.raises(InputError, match="exclude="):
        method.plan(net, example=x)
    small = method.plan(net, method.Config(exclude=("qkv",)), example=x).apply(net)
    assert output(small, x).shape == (1, 2)
    assert small.out.out_features == 4


def test_a_narrow_step_that_does_not_fit_is_refused() -> None:
    net = nn.Sequential(nn.Linear(4, 3))
    for step, what in (
        (Narrow("0", "weight", 0, torch.tensor([3])), "does not fit"),
        (Narrow("0", "gamma", 0, torch.tensor([0])), "no parameter or buffer 'gamma'"),
        (Narrow("9", "weight", 0, torch.tensor([0])), "no module '9'"),
    ):
        with pytest.raises(InputError, match=what):
            Plan((step,)).apply(net)
    mask = Mask("0", torch.ones(3, 4, dtype=torch.bool))
    with pytest.raises(InputError, match="narrow it before"):
        Plan((mask, Narrow("0", "weight", 0, torch.tensor([0])))).apply(net)


def test_pruning_then_masking_composes() -> None:
    net, x = architectures.made("ResNet-18", 0), torch.randn(1, 3, 16, 16)
    first = method.plan(net, example=x)
    small = first.apply(net)
    second = octavo.compress(small, "magnitude", example=x, density=0.2)
    both = (first + second.plan).apply(net)
    assert torch.equal(output(both, x), output(second.model, x))


def test_an_operation_that_mixes_channels_under_the_same_shape_is_not_taken_for_elementwise() -> (
    None
):
    net = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ChannelShuffle(2), nn.Conv2d(8, 4, 1)).eval()
    with pytest.raises(InputError, match="channel_shuffle in 1"):
        method.plan(net, example=torch.randn(1, 3, 5, 5))
