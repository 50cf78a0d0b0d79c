"""Plans: what their steps do to a model, in which order, and that nothing is lost on disk."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from octavo.errors import InputError
from octavo.reference_impls import storage
from octavo.reference_impls.compress import Compressed, load
from octavo.reference_impls.plan import Books, Codes, Layers, Mask, Plan, Stripes, Weights
from octavo.reference_impls.settle import settle, shared

torch.set_num_threads(1)


def net() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(3, 7, 3), nn.BatchNorm2d(7), nn.ReLU(), nn.Flatten(), nn.Linear(7 * 16, 5)
    ).eval()


def pattern(shape: tuple[int, ...], share: float = 0.5, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < share


def codes_for(path: str, weight: torch.Tensor, bits: int = 4, group: int | None = None) -> Codes:
    half = 1 << (bits - 1)
    generator = torch.Generator().manual_seed(bits)
    shape = tuple(weight.shape)
    codes = torch.randint(-half, half, shape, generator=generator).to(torch.int8)
    width = weight[0].numel()
    groups = 1 if group is None else -(-width // group)
    scales = torch.rand(shape[0], groups, generator=generator) + 0.01
    return Codes(path, codes, scales, group, bits)


def books_for(path: str, n: int, groups: int, size: int, piece: int) -> Books:
    generator = torch.Generator().manual_seed(size)
    codes = torch.randint(0, size, (n, groups), generator=generator, dtype=torch.uint8)
    return Books(path, codes, torch.randn(groups, size, piece, generator=generator))


@pytest.mark.parametrize("size", [1, 2, 16, 17, 256])
def test_books_are_applied_saved_and_give_way_to_later_steps(size: int, tmp_path: Path) -> None:
    model, step = net(), books_for("4", 5, 28, size, 4)
    applied = Plan((step,)).apply(model)
    assert torch.equal(applied[4].weight, step.values())
    Plan((step, books_for("0", 7, 9, size, 3))).save(tmp_path)
    loaded = Plan.load(tmp_path)
    again = loaded.steps[0]
    assert isinstance(again, Books)
    assert torch.equal(again.codes, step.codes)
    assert torch.equal(again.books, step.books)
    assert loaded.apply(model)[0].weight.shape == (7, 3, 3, 3)
    mask, codes = Mask("4", pattern((5, 112))), codes_for("4", model[4].weight)
    for steps in ((step, mask), (mask, step), (step, codes), (step, Weights("4", {}))):
        decision = settle(model, Plan(steps)).decisions["4"]
        assert (decision.books is None) == (mask in steps or codes in steps)
    late = Weights("4", {"weight": torch.ones(5, 112)})
    assert settle(model, Plan((step, late))).decisions["4"].books is None


def test_books_that_do_not_fit_are_refused() -> None:
    good = books_for("4", 5, 28, 16, 4)
    for codes, books in (
        (good.codes.int(), good.books), (good.codes[0], good.books), (good.codes[:0], good.books),
        (good.codes, good.books.double()), (good.codes[:, :9], good.books),
        (good.codes, good.books[0]), (good.codes + 16, good.books),
    ):  # fmt: skip
        with pytest.raises(InputError, match="Books for '4'"):
            Books("4", codes, books)
    with pytest.raises(InputError, match="Books: '4' has a weight"):
        Plan((books_for("4", 5, 28, 16, 3),)).apply(net())


def test_apply_leaves_the_model_alone() -> None:
    model = net()
    before = copy.deepcopy(model.state_dict())
    Plan((Mask("0", pattern((7, 3, 3, 3))), Weights("4", {"bias": torch.ones(5)}))).apply(model)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_zeros_of_a_pattern_outlive_every_later_step() -> None:
    keep, stripes = pattern((7, 3, 3, 3)), pattern((7, 3, 3), seed=1)
    model = net()
    later = (codes_for("0", model[0].weight), Weights("", {"0.weight": torch.ones(7, 3, 3, 3)}))
    for steps in [(later[0],), (later[1],), later, later[::-1]]:
        weight = Plan((Mask("0", keep), Stripes("0", stripes), *steps)).apply(model)[0].weight
        assert not weight[~(keep & stripes[:, None])].any()
        assert weight[keep & stripes[:, None]].any()


def test_codes_after_a_mask_and_before_it_agree() -> None:
    model, keep = net(), pattern((5, 112))
    mask, codes = Mask("4", keep), codes_for("4", model[4].weight, 3, 10)
    one, other = (settle(model, Plan(steps)) for steps in [(mask, codes), (codes, mask)])
    assert torch.equal(one.model[4].weight, other.model[4].weight)
    assert torch.equal(one.decisions["4"].codes.codes, other.decisions["4"].codes.codes)
    assert not one.decisions["4"].codes.codes[~keep].any()


def test_new_weights_end_what_codes_said() -> None:
    model = net()
    plan = Plan((codes_for("4", model[4].weight), Weights("4", {"weight": torch.ones(5, 112)})))
    settled = settle(model, plan)
    assert settled.decisions["4"].codes is None
    assert bool((settled.model[4].weight == 1).all())


def test_sum_of_plans_is_one_after_the_other() -> None:
    model = net()
    one = Plan((Mask("0", pattern((7, 3, 3, 3))),), "a", {"density": 0.5}, ("first",))
    two = Plan((codes_for("4", model[4].weight),), "b", {"bits": 4}, ("second",))
    both = one + two
    expected = two.apply(one.apply(model)).state_dict()
    found = both.apply(model).state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert both.method == "a+b"
    assert both.config == {"a": {"density": 0.5}, "b": {"bits": 4}}
    assert both.notes == ("first", "second")


def test_layers_keeps_blocks_in_order_and_later_paths_follow() -> None:
    blocks = nn.Sequential(*(nn.Linear(2, 2) for _ in range(4)))
    bias = torch.tensor([7.0, 8.0])
    plan = Plan(
        (Mask("3", torch.zeros(2, 2, dtype=torch.bool)), Layers("", (0, 3)),
         Weights("1", {"bias": bias}))
    )  # fmt: skip
    small = plan.apply(blocks)
    assert [name for name, _ in small.named_children()] == ["0", "1"]
    assert torch.equal(small[0].weight, blocks[0].weight)
    assert not small[1].weight.any()
    assert torch.equal(small[1].bias, bias)
    assert set(settle(blocks, plan).decisions) == {"1"}


def test_shared_parameters_stay_shared() -> None:
    model = nn.ModuleDict({"one": nn.Linear(3, 3), "two": nn.Linear(3, 3)})
    model["two"].weight = model["one"].weight
    small = Plan((Mask("two", pattern((3, 3))),)).apply(model)
    assert small["one"].weight is small["two"].weight
    assert shared(small) == {"one.weight": ("two.weight",)}
    assert torch.equal(small["one"].weight != 0, pattern((3, 3)))


def wrong_plans() -> list[tuple[Plan, str]]:
    ones = torch.ones(2, 2, dtype=torch.bool)
    return [
        (Plan((Mask("9.weight", ones),)), "'9.weight'"),
        (Plan((Mask("2", ones),)), "'2'"),
        (Plan((Mask("0", ones),)), "(7, 3, 3, 3)"),
        (Plan((Stripes("4", ones[None]),)), "Conv2d"),
        (Plan((Stripes("0", ones[None]),)), "(7, 3, 3)"),
        (Plan((Layers("0", (0,)),)), "ModuleList"),
        (Plan((Layers("", (0, 9)),)), "0 to 4"),
        (Plan((Layers("", (0, 0)),)), "at most once"),
        (Plan((Weights("4", {"scale": torch.ones(1)}),)), "'4.scale'"),
        (Plan((Weights("4", {"bias": torch.ones(1)}),)), "'4.bias'"),
    ]


@pytest.mark.parametrize(("plan", "named"), wrong_plans())
def test_what_does_not_fit_is_named(plan: Plan, named: str) -> None:
    with pytest.raises(InputError) as caught:
        plan.apply(net())
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_parametrized_weight_is_refused_by_name() -> None:
    model = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)))
    with pytest.raises(InputError, match=r"'0'.*parametrization"):
        Plan((Mask("0", torch.ones(2, 2, dtype=torch.bool)),)).apply(model)


def test_codes_outside_their_bits_are_refused() -> None:
    with pytest.raises(InputError, match="4 bits"):
        Codes("x", torch.tensor([[9]], dtype=torch.int8), torch.ones(1, 1), None, 4)


@given(
    bits=st.integers(1, 8),
    codes=st.lists(st.integers(-128, 127), min_size=1, max_size=70),
)
def test_packed_bits_come_back(bits: int, codes: list[int]) -> None:
    half = 1 << (bits - 1)
    tensor = torch.tensor([max(-half, min(half - 1, c)) for c in codes], dtype=torch.int8)
    packed = storage.pack_bits(tensor, bits)
    assert packed.numel() == -(-bits * len(codes) // 8)
    assert torch.equal(storage.unpack_bits(packed, bits, len(codes)), tensor)


@given(
    rows=st.integers(1, 9), columns=st.integers(0, 400),
    share=st.sampled_from([0.0, 0.01, 0.5, 1.0]), seed=st.integers(0, 99),
)  # fmt: skip
def test_packed_patterns_come_back_and_never_take_more_than_a_bit(
    rows: int, columns: int, share: float, seed: int
) -> None:
    keep = pattern((rows, columns), share, seed)
    parts = storage.pack_pattern(keep)
    assert torch.equal(storage.unpack_pattern(parts, [rows, columns]), keep)
    assert sum(t.numel() * t.element_size() for t in parts.values()) <= -(-keep.numel() // 8)


@settings(max_examples=20, deadline=None)
@given(bits=st.integers(1, 8), group=st.sampled_from([None, 8, 27, 30]), share=st.floats(0, 1))
def test_saved_plan_does_the_same(
    tmp_path_factory: pytest.TempPathFactory, bits: int, group: int | None, share: float
) -> None:
    folder, model = tmp_path_factory.mktemp("plan"), net()
    plan = Plan(
        (
            Mask("0", pattern((7, 3, 3, 3), share)),
            codes_for("4", model[4].weight, bits, group),
            Stripes("0", pattern((7, 3, 3), 0.7)),
            Weights(
                "1", {"running_mean": torch.arange(7.0), "num_batches_tracked": torch.tensor(3)}
            ),
        ),
        "hand",
        {"density": share, "group": group},
        ("a note",),
    )
    plan.save(folder)
    again = Plan.load(folder)
    expected, found = plan.apply(model).state_dict(), again.apply(model).state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert (again.method, again.config, again.notes) == (plan.method, plan.config, plan.notes)
    assert sum(f.stat().st_size for f in folder.iterdir()) == storage.size(plan)


def test_saving_again_replaces_and_leaves_nothing_behind(tmp_path: Path) -> None:
    for share in (0.1, 0.9):
        Plan((Mask("0", pattern((7, 3, 3, 3), share)),)).save(tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    assert torch.equal(Plan.load(tmp_path).steps[0].keep, pattern((7, 3, 3, 3), 0.9))


def test_a_save_that_breaks_leaves_the_old_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Plan((Mask("0", pattern((4, 4))),), "old").save(tmp_path)

    def broken(source: str, target: Path) -> None:
        if str(target).endswith(".json"):
            raise OSError("disk full")
        Path(source).rename(target)

    monkeypatch.setattr(storage.os, "replace", broken)
    with pytest.raises(OSError, match="disk full"):
        Plan((Mask("0", ~pattern((4, 4))),), "new").save(tmp_path)
    assert Plan.load(tmp_path).method == "old"
    assert torch.equal(Plan.load(tmp_path).steps[0].keep, pattern((4, 4)))


def damage_nothing_there(folder: Path) -> None:
    (folder / "plan.json").unlink()


def damage_version(folder: Path) -> None:
    document = json.loads((folder / "plan.json").read_text())
    (folder / "plan.json").write_text(json.dumps(document | {"version": 99}))


def damage_json(folder: Path) -> None:
    (folder / "plan.json").write_text("{")


def damage_pickle(folder: Path) -> None:
    (folder / "plan.json").write_bytes(pickle.dumps({"version": 1}))


def damage_tensors(folder: Path) -> None:
    path = next(folder.glob("*.safetensors"))
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")


def damage_short(folder: Path) -> None:
    path = next(folder.glob("*.safetensors"))
    path.write_bytes(path.read_bytes()[:20])


@pytest.mark.parametrize(
    "damage",
    [
        damage_nothing_there,
        damage_version,
        damage_json,
        damage_pickle,
        damage_tensors,
        damage_short,
    ],
)
def test_a_damaged_plan_is_refused(tmp_path: Path, damage: object) -> None:
    Plan((Mask("0", pattern((4, 4))),)).save(tmp_path)
    damage(tmp_path)  # type: ignore[operator]
    with pytest.raises(InputError) as caught:
        Plan.load(tmp_path)
    assert str(tmp_path) in str(caught.value)


class Tied(nn.Module):
    """Blocks that can be left out, between an embedding and a head that share their weight."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(9, 6)
        self.blocks = nn.Sequential(*(nn.Linear(6, 6) for _ in range(4)))
        self.norm = nn.BatchNorm1d(6)
        self.head = nn.Linear(6, 9, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(self.blocks(self.embed(ids))))


def tied(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return Tied().eval()


def plans_of_tied(model: nn.Module) -> list[Plan]:
    keep, drop = Mask("head", pattern((9, 6))), Layers("blocks", (0, 3))
    stats = {"running_mean": torch.arange(6.0), "running_var": torch.ones(6)}
    values = Weights("", {"blocks.1.weight": torch.full((6, 6), 0.5)})
    codes = codes_for("blocks.1", model.blocks[1].weight, 5, 3)
    return [
        Plan((keep,)),
        Plan((drop, Weights("norm", stats), Mask("blocks.1", pattern((6, 6))))),
        Plan((values, codes, keep)),
        Plan((codes, values, Mask("blocks.1", pattern((6, 6), 0.2)))),
        Plan((codes_for("head", model.head.weight, 4), Weights("norm", stats), drop)),
    ]


@pytest.mark.parametrize("which", range(5))
def test_a_saved_model_comes_back_from_any_instance(which: int, tmp_path: Path) -> None:
    model = tied(0)
    plan = plans_of_tied(model)[which]
    Compressed(model, plan.apply(model), plan, None).save(tmp_path / "one")
    again = load(tied(1), tmp_path / "one")
    expected, found = plan.apply(model), again.model
    assert all(torch.equal(expected.state_dict()[n], v) for n, v in found.state_dict().items())
    assert found.head.weight is found.embed.weight
    assert torch.equal(again.plan.apply(tied(2))(torch.arange(9)), expected(torch.arange(9)))
    again.save(tmp_path / "two")
    one, two = (sorted(f.read_bytes() for f in (tmp_path / n).iterdir()) for n in ("one", "two"))
    assert one == two


def test_a_model_of_another_size_is_refused(tmp_path: Path) -> None:
    model, plan = tied(0), Plan(())
    Compressed(model, plan.apply(model), plan, None).save(tmp_path)
    with pytest.raises(InputError, match="same configuration"):
        load(net(), tmp_path)
    with pytest.raises(InputError, match=r"octavo\.load"):
        Plan.load(tmp_path)


def test_values_that_a_pattern_or_codes_replace_cost_nothing_on_disk(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Conv2d(16, 64, 3, bias=False)).eval()
    values = Weights("", {"0.weight": torch.randn(64, 16, 3, 3)})
    plan = Plan((values, Stripes("0", pattern((64, 3, 3), 0.1))))
    Compressed(model, plan.apply(model), plan, None).save(tmp_path)
    size = sum(f.stat().st_size for f in tmp_path.iterdir())
    assert size < 0.15 * 4 * model[0].weight.numel() + 1000
