"""How far a long step is: a bar on stderr, or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

Advance = Callable[[int], None]
Steps = Callable[[str, int], AbstractContextManager[Advance]]


@contextmanager
def silent(what: str, total: int) -> Iterator[Advance]:
    """Show nothing."""
    yield lambda done: None


def bars(console: Console) -> Steps:
    """Show a bar for each step on the console, gone when the step is done."""

    @contextmanager
    def bar(what: str, total: int) -> Iterator[Advance]:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        hidden = not console.is_terminal
        made = Progress(
            *columns, TimeElapsedColumn(), console=console, transient=True, disable=hidden
        )
        with made as shown:
            task = shown.add_task(what, total=total)
            yield lambda done: shown.advance(task, done)

    return bar
