"""Stripe pruning: broken filters equal masked ones, dead stripes stay dead, budgets hold."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from octavo.errors import InputError
from octavo.kernels import stripe_conv2d
from octavo.reference_impls import skeleton as sk
from octavo.reference_impls import stripe_pruning as sp
from octavo.reference_impls.tasks import nets

torch.set_num_threads(1)
QUICK = {"epochs": 2, "lr": 0.05}


def batches(channels: int = 1, size: int = 8) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return [
        (
            torch.randn(16, channels, size, size, generator=generator),
            torch.randint(0, 4, (16,), generator=generator),
        )
        for _ in range(2)
    ]


def small(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nets.vgg(1, 4, (6, 8, 8))


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_broken_filters_equal_the_masked_convolution(data: st.DataObject) -> None:
    def pair(low: int, high: int) -> tuple[int, int]:
        return data.draw(st.tuples(st.integers(low, high), st.integers(low, high)))

    kernel, stride, padding, dilation = pair(1, 4), pair(1, 3), pair(0, 3), pair(1, 2)
    groups, filters, channels = (data.draw(st.integers(1, 3)) for _ in range(3))
    torch.manual_seed(data.draw(st.integers(0, 2**31)))
    weight = torch.randn(filters * groups, channels, *kernel, dtype=torch.float64)
    keep = torch.rand(filters * groups, *kernel) < data.draw(st.floats(0, 1))
    bias = torch.randn(filters * groups, dtype=torch.float64)
    x = torch.randn(2, channels * groups, 9, 8, dtype=torch.float64)
    geometry = {"stride": stride, "padding": padding, "dilation": dilation}
    masked = F.conv2d(x, weight * keep.unsqueeze(1), bias, groups=groups, **geometry)
    ran = sp.broken(x, weight, keep, bias, groups=groups, **geometry)
    torch.testing.assert_close(ran, masked, rtol=1e-9, atol=1e-9)
    if groups == 1:
        packed = stripe_conv2d.pack(weight.float(), keep)
        native = stripe_conv2d.stripe_conv2d(
            x.float(), packed, bias.float(), stride, padding, dilation
        )
        torch.testing.assert_close(native, ran.float(), rtol=1e-4, atol=1e-4)


def test_the_skeleton_gets_the_gradient_of_its_stripe() -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(2, 3, 3, bias=False).double()
    weight = conv.weight.detach().clone()
    skeleton = sk.attached(nn.Sequential(conv))["0"].double()
    x, target = torch.randn(2, 2, 5, 5).double(), torch.randn(2, 3, 3, 3).double()
    (conv(x) * target).sum().backward()
    direct = torch.nn.grad.conv2d_weight(x, weight.shape, target)  # dL / d(W * I)
    expected = (direct * weight).sum(1, keepdim=True)
    assert skeleton.factors.grad is not None
    torch.testing.assert_close(skeleton.factors.grad, expected)


def test_a_cut_stripe_has_no_gradient_and_never_returns() -> None:
    conv = nn.Conv2d(1, 2, 3, bias=False)
    skeleton = sk.attached(nn.Sequential(conv))["0"]
    skeleton.factors.data[0, 0, 0, 0] = 0.009
    skeleton.cut(0.01)
    assert not skeleton.alive[0, 0, 0, 0]
    assert skeleton.factors[0, 0, 0, 0] == 0
    conv(torch.ones(1, 1, 3, 3)).sum().backward()
    assert skeleton.factors.grad is not None
    assert skeleton.factors.grad[0, 0, 0, 0] == 0
    skeleton.factors.data += 1  # momentum
    skeleton.cut(0.01)
    assert not skeleton.alive[0, 0, 0, 0]
    assert (conv.weight[0, :, 0, 0] == 0).all()


def test_the_strongest_stripe_of_a_layer_stays() -> None:
    skeleton = sk.Skeleton(torch.ones(2, 1, 3, 3))
    skeleton.factors.data.fill_(1e-6)
    skeleton.factors.data[1, 0, 2, 2] = 2e-6
    skeleton.cut(0.01)
    assert skeleton.alive.nonzero().tolist() == [[1, 0, 2, 2]]


def test_the_plan_gives_what_was_trained_and_leaves_the_model_alone() -> None:
    net = small()
    before = copy.deepcopy(net.state_dict())
    plan = sp.plan(net, sp.Config(alpha=0.5, delta=0.97, **QUICK), data=batches())
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())
    assert all(p.grad is None for p in net.parameters())
    trained = plan.apply(net)
    cut = 0
    for step in plan.steps[1:]:
        weight = trained.get_submodule(step.path).weight
        assert step.keep.shape == (weight.shape[0], 3, 3)
        assert ((weight != 0).any(1) == step.keep).all()
        cut += int((~step.keep).sum())
    assert cut > 0
    assert any(not torch.equal(before[k], v) for k, v in trained.state_dict().items())


@pytest.mark.parametrize("density", [0.5, 0.1])
def test_a_budget_of_weights_is_kept_and_used(density: float) -> None:
    net = small()
    plan = sp.plan(net, sp.Config(density=density, epochs=4, lr=0.05), data=batches())
    keeps = {s.path: s.keep for s in plan.steps[1:]}
    left, widest = sk.direct_cost(net)(keeps), 8
    total = sum(m.weight.numel() for m in net.modules() if isinstance(m, nn.Conv2d))
    assert density * total - widest < left <= density * total
    assert all(keep.any() for keep in keeps.values())


def test_same_seed_same_bits() -> None:
    first, second = (
        sp.plan(small(), sp.Config(density=0.3, **QUICK), data=batches()) for _ in range(2)
    )
    for a, b in zip(first.steps[1:], second.steps[1:], strict=True):
        assert torch.equal(a.keep, b.keep)
    one, other = first.apply(small()).state_dict(), second.apply(small()).state_dict()
    assert all(torch.equal(one[k], other[k]) for k in one)


def test_residual_and_depthwise_networks_are_cut_too() -> None:
    torch.manual_seed(0)
    mobile = nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(),
        nn.Conv2d(6, 6, 3, padding=1, groups=6), nn.ReLU(), nn.Conv2d(6, 4, 1),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    )  # fmt: skip
    for net in (mobile, nets.resnet18(1, 4, width=4)):
        plan = sp.plan(net, sp.Config(density=0.4, epochs=2, lr=0.01), data=batches())
        total = sum(isinstance(m, nn.Conv2d) for m in net.modules())
        assert len(plan.steps) == 1 + total
        x = torch.randn(2, 1, 8, 8)
        trained = plan.apply(net).eval()
        assert torch.isfinite(trained(x)).all()


def test_batch_norm_may_start_at_the_papers_half() -> None:
    net = small()
    sk.set_scales(net, 0.5)
    assert all((m.weight == 0.5).all() for m in net.modules() if isinstance(m, nn.BatchNorm2d))


def test_what_is_missing_is_said() -> None:
    with pytest.raises(InputError, match="pass data="):
        sp.plan(small())
    with pytest.raises(InputError, match="needs targets"):
        sp.plan(small(), sp.Config(**QUICK), data=[x for x, _ in batches()])
    with pytest.raises(InputError, match="no Conv2d"):
        sp.plan(nn.Sequential(nn.Linear(2, 2)), data=batches())
    with pytest.raises(InputError, match="used iterator"):
        sp.plan(small(), sp.Config(**QUICK), data=iter(batches()))
    normed = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Conv2d(1, 2, 3)))
    with pytest.raises(InputError, match=r"^0: the weight is computed"):
        sp.plan(normed, data=batches())
