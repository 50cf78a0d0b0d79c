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

    versions, encoder = machine.versions("torch"), _encoder()
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
        "encoder": encoder,
        "methods": list(found()),
        "missing": [*_kernels(kernels.missing()), *_gpu(), *_search(encoder), *_site()],
    }


def _encoder() -> str | None:
    """The encoder and where its weights come from. Nothing is downloaded to find out."""
    if find_spec("tokenizers") is None:
        return None
    if find_spec(encode.PACKAGE) is not None:
        return f"{encode.NAME} from the package {encode.PACKAGE.replace('_', '-')}"
    return f"{encode.NAME} from the hub" if find_spec("huggingface_hub") else None


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


def _search(encoder: str | None) -> list[str]:
    if encoder is not None:
        return []
    return ["encoder weights: search is by words only; pip install 'octavo[encoder]'"]


def _site() -> list[str]:
    absent = [name for name in SITE_TOOLS if find_spec(name) is None]
    return [f"site tools {', '.join(absent)}: pip install 'octavo[site]'"] if absent else []
