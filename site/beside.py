"""A second process for a part of the work, where the system can fork one."""

from __future__ import annotations

import multiprocessing
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any, TypeVar

Made = TypeVar("Made")


@contextmanager
def beside(work: Callable[[], Made]) -> Iterator[Callable[[], Made]]:
    """Begin ``work`` in a copy of this process; what is yielded waits for its value.

    Only the value travels, so it must be one that pickles; what the work raises is raised here.
    Where forking is not safe (anywhere but on Linux) the work is done when its value is asked for.

    >>> with beside(lambda: 2 + 3) as found:
    ...     found()
    5
    """
    if sys.platform != "linux":
        yield work
        return
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_told, args=(work, there), daemon=True)
    with warnings.catch_warnings():  # LanceDB's: no table is at work now, and the copy opens none
        warnings.filterwarnings("ignore", "lancedb fork", RuntimeWarning)
        process.start()
    there.close()
    try:
        yield lambda: _heard(here)
    finally:
        here.close()
        process.terminate()  # its value is here, or nobody waits for it
        process.join()


def _told(work: Callable[[], Any], there: Connection) -> None:
    try:
        value: tuple[Any, Exception | None] = (work(), None)
    except Exception as error:  # raised again by who waits
        value = (None, error)
    there.send(value)


def _heard(here: Connection) -> Any:
    value, error = here.recv()
    if error is not None:
        raise error
    return value
