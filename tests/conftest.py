"""What the tests share: repeating examples, instruction sets, numbers of threads, a browser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import settings

from octavo import chromium
from octavo.kernels import backend, runtime

# Drawn from the test's name, so that a run says the same twice; `make explore` draws afresh.
settings.register_profile("fixed", derandomize=True)
settings.register_profile("explore", print_blob=True)
settings.load_profile("fixed")

NATIVE = [name for name in runtime.backends() if name != runtime.REFERENCE]


@pytest.fixture(autouse=True)
def as_found() -> Iterator[None]:
    """After every test: the backend and the number of threads that it began with."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    if NATIVE:
        runtime.native.use(backend() if backend() in NATIVE else NATIVE[0])


@pytest.fixture(params=NATIVE)
def isa(request: pytest.FixtureRequest) -> str:
    """Each instruction set in turn."""
    name: str = request.param
    runtime.native.use(name)
    return name


@pytest.fixture(params=[1, 2, 3])
def threads(request: pytest.FixtureRequest) -> int:
    """One, two and three threads."""
    count: int = request.param
    torch.set_num_threads(count)
    return count


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium, one for all: a second driver cannot start beside the first in one process."""
    if why := chromium.missing():
        pytest.skip(why)
    with chromium.browser() as running:
        yield running
