"""`octavo train`, as the command line has it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from octavo.terminal import Json, err, out, print_json

Names = Annotated[list[str] | None, typer.Argument(help="static, small; default: both.")]
Into = Annotated[
    Path | None, typer.Option(help="Folder of what is made; default: the user's data folder.")
]
Quick = Annotated[bool, typer.Option("--quick", help="A few texts and steps, to see that it runs.")]


def train(
    names: Names = None, into: Into = None, quick: Quick = False, as_json: Json = False
) -> None:
    """Make the search encoders again, from MiniLM and texts on this machine (most of an hour).

    In a clone, `--into ingest/weights` replaces what ships. A run that was stopped goes on with
    what the teacher has said.
    """
    from octavo.ingest import encode
    from octavo.ingest.progress import bars
    from octavo.training import made

    records = made.train(names or made.NAMES, into or encode.home(), quick, bars(err))
    if as_json:
        print_json({"encoders": records})
    else:
        for record in records:
            out.print(_line(record), highlight=False, soft_wrap=True)


def _line(record: dict[str, Any]) -> str:
    return (
        f"{record['name']}: {record['bytes'] / 1e6:.2f} MB in {record['path']}; "
        f"{record['texts']} texts, loss {record['first_loss']:.3f} to {record['last_loss']:.3f}, "
        f"{record['teacher_seconds']:.0f} s of the teacher, {record['seconds']:.0f} s of training"
    )
