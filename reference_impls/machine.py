"""Which machine this is, in words: a number without it means nothing."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch


def cpu() -> str:
    """Model name of the processor and the number of threads that torch uses."""
    return f"{processor()}, {torch.get_num_threads()} threads"


def gpu() -> str | None:
    """Model name of the graphics card, if torch sees one."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def versions(*packages: str) -> dict[str, str]:
    """Versions of Python and of those packages that are installed.

    >>> sorted(versions("torch", "no-such-package"))
    ['python', 'torch']
    """
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def processor() -> str:
    """Model name of the processor."""
    table = Path("/proc/cpuinfo")
    lines = table.read_text().splitlines() if table.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
