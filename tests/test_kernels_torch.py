"""Kernels inside torch: registered operations, gradients, compile, export, modules."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from octavo.errors import InputError
from octavo.kernels import csr_spmm, int4_matmul, int8_matmul, modules, stripe_conv2d


def linear() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(96, 70)


def conv(**options: object) -> nn.Conv2d:
    torch.manual_seed(0)
    return nn.Conv2d(16, 20, 3, **{"stride": 2, "padding": 1, **options})  # type: ignore[arg-type]


def stripes_kept() -> Tensor:
    return torch.rand(20, 3, 3, generator=torch.Generator().manual_seed(1)) < 0.5


def books(size: int) -> Tensor:
    return torch.randn(12, size, 8, generator=torch.Generator().manual_seed(2)) / 10


STEP = torch.tensor([2.0 / 127])  # two of a hundred normal numbers lie beyond
MODULES: dict[str, Callable[[], tuple[nn.Module, Tensor]]] = {
    "int4": lambda: (modules.Int4Linear.from_dense(linear(), 32), torch.randn(5, 96)),
    "int8": lambda: (modules.Int8Linear.from_dense(linear()), torch.randn(2, 5, 96)),
    "int8 static": lambda: (modules.Int8Linear.from_dense(linear(), STEP), torch.randn(5, 96)),
    "csr": lambda: (modules.CsrLinear.from_dense(linear()), torch.randn(5, 96)),
    "stripes": lambda: (
        modules.StripeConv2d.from_dense(conv(), stripes_kept()),
        torch.randn(2, 16, 9, 11),
    ),
    "int4 conv": lambda: (modules.Int4Conv2d.from_dense(conv(), 48), torch.randn(2, 16, 9, 11)),
    "int8 conv": lambda: (modules.Int8Conv2d.from_dense(conv()), torch.randn(2, 16, 9, 11)),
    "int8 static conv": lambda: (
        modules.Int8Conv2d.from_dense(conv(), STEP),
        torch.randn(2, 16, 9, 11),
    ),
    "csr conv": lambda: (modules.CsrConv2d.from_dense(conv()), torch.randn(2, 16, 9, 11)),
    "pq": lambda: (modules.PqLinear.from_dense(linear(), books(16)), torch.randn(5, 96)),
    "pq 8 bit": lambda: (modules.PqLinear.from_dense(linear(), books(99)), torch.randn(5, 96)),
    "pq rows": lambda: (
        modules.PqEmbedding.from_dense(nn.Embedding(70, 96), books(99)),
        torch.arange(12).view(3, 4),
    ),
    "adder": lambda: (modules.AdderConv2d.from_dense(conv()), torch.randn(2, 16, 9, 11)),
    "adder 8 bit": lambda: (
        modules.AdderConv2dU8.from_adder(modules.AdderConv2d.from_dense(conv()), -3.0, 3.0),
        torch.randn(2, 16, 9, 11),
    ),
    "fake quant": lambda: (
        modules.FakeQuant.from_data(torch.randn(5, 7), 4, axis=0),
        torch.randn(5, 7),
    ),
    "hadamard": lambda: (modules.Hadamard(), torch.randn(3, 5, 32)),
}


@pytest.fixture(params=MODULES)
def case(request: pytest.FixtureRequest) -> tuple[nn.Module, Tensor]:
    return MODULES[request.param]()


def test_simulated_equals_executed(case: tuple[nn.Module, Tensor]) -> None:
    module, x = case
    torch.testing.assert_close(module(x), module.simulate(x), rtol=1e-5, atol=1e-5)


def test_compile_and_export_pass_through(case: tuple[nn.Module, Tensor]) -> None:
    module, x = case
    y = module(x)
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(x), y)
    assert torch.equal(torch.export.export(module, (x,)).module()(x), y)


def test_state_moves_to_a_fresh_module(case: tuple[nn.Module, Tensor], tmp_path: Path) -> None:
    module, x = case
    torch.save(module.state_dict(), tmp_path / "state.pt")
    y = module(x)
    for tensor in (*module.buffers(), *module.parameters()):
        tensor.detach().zero_()
    module.load_state_dict(torch.load(tmp_path / "state.pt"))
    assert torch.equal(module(x), y)
    assert module.bytes_on_disk() == sum(t.nbytes for t in module.state_dict().values())


def test_module_copies_and_empty_batches(case: tuple[nn.Module, Tensor]) -> None:
    import copy

    module, x = case
    assert torch.equal(copy.deepcopy(module)(x), module(x))
    if not isinstance(module, modules.FakeQuant):  # a step an index of the batch
        assert module(x[:0]).shape == (0, *module(x).shape[1:])


OPERATIONS = {
    "int4": "int4_matmul",
    "int8": "int8_matmul",
    "int8 static": "int8_matmul",
    "csr": "csr_spmm",
    "stripes": "stripe_conv2d",
    "int4 conv": "int4_conv2d",
    "int8 conv": "int8_conv2d",
    "int8 static conv": "int8_conv2d",
    "csr conv": "csr_conv2d",
    "pq": "pq_matmul",
    "pq 8 bit": "pq_matmul",
}


def arguments(name: str, needs_grad: bool) -> tuple[Callable[..., Tensor], tuple[object, ...]]:
    """A registered operation and its arguments, bias included."""
    module, x = MODULES[name]()
    bias = torch.randn(70 if x.shape[-1] == 96 else 20, requires_grad=needs_grad)
    x.requires_grad_(needs_grad)
    packed, sizes = module.packed, [3, 3, 2, 2, 1, 1, 1, 1]
    tables, rest = {
        "int4": (2, packed[2:]),
        "int8": (2, packed[2:]),
        "int8 static": (2, (*packed[2:], STEP)),
        "csr": (3, packed[3:]),
        "stripes": (3, (20, sizes)),
        "int4 conv": (2, (20, packed[-1], sizes)),
        "int8 conv": (2, (20, sizes)),
        "int8 static conv": (2, (20, sizes, STEP)),
        "csr conv": (3, (20, packed[-1], sizes)),
        "pq": (2, packed[2:]),
        "pq 8 bit": (2, packed[2:]),
    }[name]
    return getattr(torch.ops.octavo, OPERATIONS[name]).default, (x, *packed[:tables], bias, *rest)


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("needs_grad", [False, True])
def test_operations_pass_opcheck(name: str, needs_grad: bool) -> None:
    checks = torch.library.opcheck(*arguments(name, needs_grad))
    assert set(checks.values()) == {"SUCCESS"}


@pytest.mark.parametrize("name", ["csr", "stripes", "csr conv"])
def test_gradients_are_those_of_the_dense_layer(name: str) -> None:
    op, values = arguments(name, needs_grad=True)
    x, bias = (v for v in values if isinstance(v, Tensor) and v.requires_grad)
    module, _ = MODULES[name]()
    module.bias.zero_()
    y = op(*values)
    upstream = torch.randn_like(y)
    ours = torch.autograd.grad(y, (x, bias), upstream)
    dense = module.simulate(x) + (bias if name == "csr" else bias[:, None, None])
    theirs = torch.autograd.grad(dense, (x, bias), upstream)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["int4", "int8"])
def test_integer_gradients_go_straight_through(name: str) -> None:
    op, values = arguments(name, needs_grad=True)
    packed = MODULES[name]()[0].packed
    if name == "int4":
        codes, scales = int4_matmul.unpack(packed)
        weight = codes * scales.repeat_interleave(packed.group, 1)
    else:
        codes, scales = int8_matmul.unpack(packed)
        weight = codes * scales.unsqueeze(1)
    y = op(*values)
    (gradient,) = torch.autograd.grad(y.sum(), values[0])
    torch.testing.assert_close(gradient, weight.sum(0).expand_as(gradient))


def test_books_train_and_codes_stay() -> None:
    module, ids = MODULES["pq rows"]()
    module(ids).sum().backward()
    used = torch.zeros(12, 99)
    used.scatter_add_(1, module.codes[ids.flatten()].T.long(), torch.ones(12, ids.numel()))
    assert torch.equal(module.books.grad, used.unsqueeze(-1).expand(-1, -1, 8))


def test_an_adder_layer_learns_its_filters() -> None:
    module, x = MODULES["adder"]()
    goal = module(x).detach()
    with torch.no_grad():
        module.weight += 0.3
    optimizer = torch.optim.Adam(module.parameters(), 0.03)
    losses = []
    for _ in range(30):
        loss = (module(x) - goal).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] / 10


def test_an_adder_layer_of_codes_is_near_the_layer() -> None:
    module, x = MODULES["adder"]()
    near = modules.AdderConv2dU8.from_adder(module, float(x.min()), float(x.max()))
    y = module(x)
    assert (near(x) - y).abs().max() <= near.scale * 16 * 9
    assert near.bytes_on_disk() == 32 * 16 * 9 + 20 * 4
    with pytest.raises(InputError, match="low must be under"):
        modules.AdderConv2dU8.from_adder(module, 1.0, 1.0)


def test_a_step_is_learned() -> None:
    x = torch.randn(4096, generator=torch.Generator().manual_seed(3))
    module = modules.FakeQuant(torch.tensor(1.0), bits=3)
    before = float((module(x) - x).detach().square().mean())
    optimizer = torch.optim.Adam(module.parameters(), 0.02)
    for _ in range(60):
        optimizer.zero_grad()
        (module(x) - x).square().mean().backward()
        optimizer.step()
    assert float((module(x) - x).detach().square().mean()) < before / 1.5
    with pytest.raises(InputError, match="bits=1"):
        modules.FakeQuant(torch.tensor(1.0), bits=1)


def test_an_embedding_that_renormalises_is_refused() -> None:
    with pytest.raises(InputError, match="max_norm"):
        modules.PqEmbedding.from_dense(nn.Embedding(4, 96, max_norm=1.0), books(16))


def test_dispatch_modes_see_the_operation() -> None:
    module, x = MODULES["csr"]()
    with FlopCounterMode(display=False):
        y = module(x)
    assert torch.equal(y, module(x))


def test_no_gradient_is_lost_on_the_short_way() -> None:
    packed = csr_spmm.pack(torch.randn(7, 9))
    bias = torch.zeros(7, requires_grad=True)
    csr_spmm.csr_spmm(torch.randn(3, 9), packed, bias).sum().backward()
    assert bias.grad is not None
    assert torch.equal(bias.grad, torch.full((7,), 3.0))


def test_sizes_count_everything() -> None:
    four = modules.Int4Linear.from_dense(nn.Linear(128, 64, bias=False), 32)
    assert four.bytes_on_disk() == 128 * 64 // 2 + 64 * 4 * 4
    sparse = modules.CsrLinear(torch.eye(64))
    assert sparse.bytes_on_disk() == 64 * (4 + 1) + 65 * 4
    kept = torch.zeros(4, 3, 3, dtype=torch.bool)
    kept[0, 1, 1] = True
    stripe = modules.StripeConv2d(torch.ones(4, 8, 3, 3), kept)
    assert stripe.bytes_on_disk() == 8 * 4 + 4 + 10 * 4


@pytest.mark.parametrize(
    "options", [{"groups": 2}, {"padding_mode": "reflect"}, {"padding": "same", "stride": 1}]
)
def test_convolutions_that_do_not_fit_are_named(options: dict[str, object]) -> None:
    layer = conv(**options)
    if options.get("padding") == "same":
        module = modules.CsrConv2d.from_dense(layer)
        x = torch.randn(1, 16, 9, 9)
        torch.testing.assert_close(module(x), layer(x), rtol=1e-4, atol=1e-4)
        return
    with pytest.raises(InputError, match="keep this layer dense"):
        modules.StripeConv2d.from_dense(layer, stripes_kept())


def test_doors_name_the_operation() -> None:
    packed = stripe_conv2d.pack(torch.ones(2, 3, 1, 1), torch.ones(2, 1, 1, dtype=torch.bool))
    with pytest.raises(InputError, match="stripe_conv2d"):
        stripe_conv2d.stripe_conv2d(torch.ones(1, 4, 2, 2), packed)
    with pytest.raises(InputError, match="too small"):
        stripe_conv2d.stripe_conv2d(torch.ones(1, 3, 2, 2), packed, stride=0)
