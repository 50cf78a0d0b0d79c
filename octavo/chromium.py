"""Chromium, driven by Playwright: what the search page is measured and tested in."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from octavo.errors import InputError

FLAGS = ("--no-sandbox", "--disable-background-networking")


def missing() -> str | None:
    """What is not on this machine, in words; None where a browser can be started."""
    if _program() is None:
        return "no chromium on this machine"
    return None if find_spec("playwright") else "playwright is not installed"


def need() -> None:
    """Raise InputError where no browser can be started."""
    if why := missing():
        raise InputError(f"{why}; install Debian's chromium and `pip install playwright`")


@contextmanager
def browser() -> Iterator[Any]:
    """A running browser without a window. One process cannot have two at a time.

    Raises InputError where there is none.
    """
    need()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=_program(), args=[*FLAGS])
        try:
            yield running
        finally:
            running.close()


def _program() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser")
