"""From a plan to real modules: what is replaced, what is not, and that a wrong kernel is caught."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch import Tensor, nn

from octavo.errors import InputError
from octavo.kernels import modules as native
from octavo.reference_impls.choice import DisagreementError, deviation_of
from octavo.reference_impls.compress import Compressed, load
from octavo.reference_impls.inputs import batches, call, capture, evaluating, example_for, output_of
from octavo.reference_impls.natives import candidates
from octavo.reference_impls.plan import Books, Codes, Layers, Mask, Plan, Stripes
from octavo.reference_impls.report import Report
from octavo.reference_impls.settle import settle

torch.set_num_threads(1)
X = torch.randn(3, 3, 9, 8, generator=torch.Generator().manual_seed(0))


def net() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding="same"),
        nn.Conv2d(8, 4, 1, groups=2), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
        nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 5, bias=False),
    ).eval()  # fmt: skip


def some(weight: Tensor, share: float = 0.3) -> Tensor:
    return torch.rand(weight.shape, generator=torch.Generator().manual_seed(2)) < share


def rounded(path: str, weight: Tensor, bits: int, group: int | None = None) -> Codes:
    flat = weight.detach().flatten(1)
    parts = flat.view(len(flat), -1, group or flat.shape[1])
    scales = parts.abs().amax(-1) / (2 ** (bits - 1) - 1)
    codes = (parts / scales[..., None]).round().to(torch.int8).view(weight.shape)
    return Codes(path, codes, scales, group, bits)


def report_of(model: nn.Module) -> Report:
    assert isinstance(model.report, Report)
    return model.report


def every_kind(model: nn.Module) -> Plan:
    return Plan(
        (
            Mask("0", some(model[0].weight)),
            Stripes("2", some(model[2].weight[:, 0])),
            rounded("3", model[3].weight, 4),
            rounded("6", model[6].weight, 4, 8),
            rounded("8", model[8].weight, 8),
        ),
        "hand",
    )


def test_each_decision_gets_its_module() -> None:
    model = net()
    real = every_kind(model).materialise(model, X, prefer="native")
    kinds = [type(real[place]).__name__ for place in (0, 2, 3, 6, 8)]
    assert kinds == ["CsrConv2d", "StripeConv2d", "Conv2d", "Int4Linear", "Int8Linear"]
    report = report_of(real)
    reasons = {choice.path: choice.why for choice in report.choices if choice.runs == "dense"}
    assert reasons == {"3": "no kernel for a convolution in 2 groups"}
    assert report.memory_after < report.memory_before
    assert report.bytes_after < report.bytes_before


@pytest.mark.parametrize("size", [16, 200])
def test_books_run_as_look_ups(size: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(50, 32), nn.Linear(32, 40), nn.Linear(40, 6)).eval()
    steps = []
    for path, groups in (("0", 4), ("1", 8)):
        n, k = model[int(path)].weight.shape
        codes = torch.randint(0, size, (n, groups)).to(torch.uint8)
        steps.append(Books(path, codes, torch.randn(groups, size, k // groups) / 6))
    plan, ids = Plan(tuple(steps), "hand"), torch.arange(50)
    real = plan.materialise(model, ids, prefer="native")
    assert [type(part).__name__ for part in real] == ["PqEmbedding", "PqLinear", "Linear"]
    assert report_of(real).choices[1].decision == f"pieces of 4 from books of {size}"
    with torch.no_grad():
        deviation = deviation_of(real(ids), plan.apply(model)(ids))
    assert deviation < (0.1 if size == 16 else 1e-5)
    Compressed(model, plan.apply(model), plan, ids).save(tmp_path)
    assert torch.equal(load(model, tmp_path).model(ids), plan.apply(model)(ids))


def patterned(n: int, k: int, pattern: str) -> Tensor:
    """A mask (n, k): two of every four inputs, or a quarter of them for 16 outputs at once."""
    generator = torch.Generator().manual_seed(3)
    if pattern == "2:4":
        return (torch.rand(n, k // 4, 4, generator=generator).argsort(-1) < 2).flatten(1)
    return (torch.rand(n // 16, k, generator=generator) < 0.25).repeat_interleave(16, 0)


@pytest.mark.parametrize("pattern", ["2:4", "16x1"])
def test_a_mask_of_a_pattern_gets_the_fastest_of_its_kernels(pattern: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(32, 64, 3), nn.Flatten(), nn.Linear(64 * 4, 256)).eval()
    x = torch.randn(16, 32, 4, 4)
    flat = patterned(64, 9 * 32, pattern).view(64, 3, 3, 32).permute(0, 3, 1, 2)
    plan = Plan((Mask("0", flat), Mask("2", patterned(256, 256, pattern))))
    settled = settle(model, plan)
    for path, kind in (("0", "Conv2d"), ("2", "Linear")):
        found = candidates(settled.model.get_submodule(path), settled.decisions[path])
        assert [c.name for c in found] == [f"Csr{kind}", f"Nm{kind} {pattern}"]  # type: ignore[union-attr]
    real = plan.materialise(model, x, prefer="native")
    for path in ("0", "2"):
        chosen = next(c.runs for c in report_of(real).choices if c.path == path)
        assert type(real[int(path)]).__name__ == chosen.split()[0]
    with torch.no_grad():
        assert deviation_of(real(x), plan.apply(model)(x)) < 1e-5


def test_a_mask_without_a_pattern_is_csr_only() -> None:
    layer = nn.Linear(64, 64)
    settled = settle(layer, Plan((Mask("", some(layer.weight)),)))
    found = candidates(settled.model, settled.decisions[""])
    assert [c.name for c in found] == ["CsrLinear"]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("bits", "names"),
    [(2, ["Int2Linear", "Int4Linear"]), (4, ["Int4Linear"]), (8, ["Int8Linear"])],
)
def test_codes_get_every_kernel_that_holds_them(bits: int, names: list[str]) -> None:
    model = nn.Sequential(nn.Linear(32, 16))
    settled = settle(model, Plan((rounded("0", model[0].weight, bits),)))
    found = candidates(settled.model[0], settled.decisions["0"])
    assert [c.name for c in found] == names
    x = torch.randn(3, 32)
    for candidate in found:
        made = candidate.build()
        assert deviation_of(made(x), made.simulate(x)) < 1e-5


def test_two_of_four_and_then_eight_bits_is_a_kernel_of_its_own() -> None:
    model = nn.Sequential(nn.Linear(64, 32))
    keep = torch.tensor([True, False, False, True]).repeat(32, 16)
    plan = Plan((Mask("0", keep), rounded("0", model[0].weight, 8)))
    settled, x = settle(model, plan), torch.randn(3, 64)
    found = candidates(settled.model[0], settled.decisions["0"])
    (half,) = (c for c in found if c.name == "Int8TwoOfFourLinear")
    made = half.build()
    assert deviation_of(made(x), made.simulate(x)) < 1e-5
    whole = next(c for c in found if c.name == "Int8Linear").build()
    assert torch.equal(made(x), whole(x))
    assert made.bytes_on_disk() < whole.bytes_on_disk()


def test_dense_preference_is_the_simulation_bit_for_bit() -> None:
    model = net()
    plan = every_kind(model)
    real = plan.materialise(model, X, prefer="dense")
    with torch.no_grad():
        assert torch.equal(real(X), plan.apply(model)(X))
    assert report_of(real).deviation == 0


def test_the_fastest_is_never_the_slower_of_the_two_measured() -> None:
    model = net()
    for choice in report_of(every_kind(model).materialise(model, X)).choices:
        if choice.ms_dense is not None and choice.ms_native is not None:
            native_is_faster = choice.ms_native < choice.ms_dense
            assert (choice.runs != "dense") == native_is_faster


def test_a_kernel_that_computes_something_else_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    model = net()
    plan = Plan((Mask("6", some(model[6].weight)),))
    right = native.CsrLinear.forward
    monkeypatch.setattr(native.CsrLinear, "forward", lambda self, x: right(self, x) * 1.001)
    with pytest.raises(DisagreementError, match=r"6: CsrLinear"):
        plan.materialise(model, X)


def test_a_weight_that_is_read_but_never_called_stays_dense() -> None:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 12, batch_first=True)
    model = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval()
    paths = [f"layers.{i}.{name}" for i in (0, 1) for name in ("self_attn.out_proj", "linear1")]
    masks = (Mask(path, some(model.get_submodule(path).weight)) for path in paths)
    plan, x = Plan(tuple(masks)), torch.randn(2, 5, 8)
    real = plan.materialise(model, x, prefer="native")
    runs = {choice.path: choice.runs for choice in report_of(real).choices}
    assert runs["layers.1.self_attn.out_proj"] == "dense"
    assert runs["layers.1.linear1"] == "CsrLinear"
    with torch.no_grad():
        assert deviation_of(real(x), plan.apply(model)(x)) < 1e-5


def test_a_module_at_two_places_is_replaced_at_both() -> None:
    model = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6)).eval()
    model[2] = model[0]
    plan = Plan((Mask("0", some(model[0].weight)),))
    real = plan.materialise(model, torch.ones(1, 6), prefer="native")
    assert real[0] is real[2]
    assert isinstance(real[0], native.CsrLinear)


def test_shared_weights_are_named_in_the_report() -> None:
    model = nn.Sequential(nn.Embedding(7, 4), nn.Linear(4, 7, bias=False)).eval()
    model[1].weight = model[0].weight
    plan = Plan((Mask("1", some(model[1].weight)),))
    (warning,) = [
        w for w in report_of(plan.materialise(model, torch.arange(3))).warnings if "shared" in w
    ]
    assert "0.weight" in warning
    assert "1.weight" in warning


def test_left_out_layers_are_gone_and_masked_multiplications_not_counted() -> None:
    model = nn.Sequential(*(nn.Linear(4, 4, bias=False) for _ in range(3))).eval()
    keep = torch.eye(4, dtype=torch.bool)
    plan = Plan((Layers("", (0, 2)), Mask("1", keep)))
    report = report_of(plan.materialise(model, torch.ones(2, 4)))
    assert (report.macs_before, report.macs_after) == (2 * 3 * 16, 2 * (16 + 4))


def test_a_report_is_plain_data_and_a_table() -> None:
    model = net()
    report = report_of(every_kind(model).materialise(model, X))
    document = json.loads(json.dumps(report.to_json()))
    assert document["speed_up"] == report.ms_before / report.ms_after
    console = Console(width=100, record=True, file=None, quiet=False)
    with console.capture() as text:
        console.print(report)
    assert "bytes on disk" in text.get()


def test_an_unknown_preference_is_refused() -> None:
    with pytest.raises(InputError, match="fastest"):
        Plan(()).materialise(net(), X, prefer="best")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (nn.Sequential(nn.Conv2d(3, 2, 3)), (1, 3, 64, 64)),
        (
            nn.Sequential(nn.Conv2d(1, 2, 5), nn.Flatten(), nn.Linear(2 * 24 * 24, 3)),
            (1, 1, 28, 28),
        ),
        (nn.Sequential(nn.Conv1d(2, 2, 3)), (1, 2, 64)),
        (nn.Sequential(nn.LayerNorm(6), nn.Linear(6, 2)), (1, 6)),
        (nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 2)), (1, 16)),
    ],
)
def test_examples_are_guessed_from_the_first_layer(model: nn.Module, shape: object) -> None:
    assert tuple(example_for(model).shape) == shape


def test_what_cannot_be_guessed_is_asked_for() -> None:
    with pytest.raises(InputError, match="example="):
        example_for(nn.Sequential(nn.LayerNorm(3)))


class Keyed(nn.Module):
    def forward(self, a: Tensor, b: Tensor) -> dict[str, Tensor | None]:
        return {"none": None, "sum": a + b}


@pytest.mark.parametrize(
    "example", [(torch.ones(2), torch.ones(2)), {"a": torch.ones(2), "b": torch.ones(2)}]
)
def test_models_are_called_with_tuples_and_dictionaries(example: object) -> None:
    assert output_of(call(Keyed(), example)).tolist() == [2.0, 2.0]


def test_batches_of_every_form() -> None:
    x, y = torch.ones(1), torch.zeros(1)
    forms = [x, (x, y), [x, y], (x, x, y), {"a": x, "labels": y}, (x,)]
    found = [(type(b.input).__name__, b.target is not None) for b in batches(forms)]
    kinds = ["Tensor", "Tensor", "Tensor", "tuple", "dict", "Tensor"]
    assert found == list(zip(kinds, [False, True, True, True, True, False], strict=True))
    with pytest.raises(InputError, match="data="):
        list(batches(None))
    with pytest.raises(InputError, match="int"):
        list(batches([3]))


def test_modes_come_back_and_hooks_are_gone_after_capture() -> None:
    model = net().train()
    model[1].eval()
    calls = capture(model, ["0", "6"], [X, X])
    assert [len(c) for c in calls.values()] == [2, 2]
    assert torch.equal(calls["0"][0].input, X)
    assert model.training
    assert not model[1].training
    assert not any(m._forward_hooks for m in model.modules())
    with evaluating(model):
        assert not model.training
