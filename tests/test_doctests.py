"""Every example in a docstring is run: what a reader copies, works."""

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest
import torch

import octavo


def modules() -> list[str]:
    found = [
        module.name
        for module in pkgutil.walk_packages(octavo.__path__, "octavo.")
        if not module.name.endswith(("__main__", "_native"))
    ]
    return ["octavo", *found]


@pytest.mark.parametrize("name", modules())
def test_examples_of(name: str) -> None:
    if name.endswith((".gpu", ".gpu_bars")) and "runtime" not in name:
        pytest.importorskip("triton")
    torch.manual_seed(0)
    found = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert found.failed == 0


def test_all_parts_are_walked() -> None:
    parts = {name.split(".")[1] for name in modules() if "." in name}
    assert {"catalog", "ingest", "kernels", "reference_impls", "site", "bench"} <= parts


def test_the_standard_librarys_site_is_not_ours() -> None:
    import site

    assert Path(site.__file__ or "").parent.name.startswith("python3")
