"""The command line. Each command parses, calls one function of the house, and prints."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from octavo.errors import InputError, NothingNew

app = typer.Typer(
    name="octavo",
    help="Neural-network compression, from paper to kernel.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
out = Console()
err = Console(stderr=True)

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, nothing else.")]


@dataclass(frozen=True)
class Session:
    """What holds for every command of one call."""

    library: Path


def print_json(document: Any) -> None:
    """Write one JSON document to stdout."""
    json.dump(document, sys.stdout, ensure_ascii=False, indent=1)
    sys.stdout.write("\n")


@app.callback()
def session(
    context: typer.Context,
    library: Annotated[Path | None, typer.Option(help="Where the library lives.")] = None,
) -> None:
    """Take the options that stand before the command."""
    named = library or os.environ.get("OCTAVO_LIBRARY")
    context.obj = Session(Path(named) if named else Path(typer.get_app_dir("octavo")) / "library")


def main() -> None:
    """Run the command line: errors are one line on stderr, exit status 1 (3: nothing new)."""
    try:
        app()
    except InputError as error:
        err.print(str(error), style="red", highlight=False, markup=False, soft_wrap=True)
        raise SystemExit(1) from None
    except NothingNew as nothing:
        if str(nothing):
            err.print(str(nothing), highlight=False, markup=False, soft_wrap=True)
        raise SystemExit(3) from None


if __name__ == "__main__":
    main()
