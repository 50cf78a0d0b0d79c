"""Kernels: what each computes, on which instruction sets, and its source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from octavo.site import figures, prose, source, speed, whole
from octavo.site.holdings import Holdings
from octavo.site.markup import (
    Page,
    command,
    facts,
    inline,
    link,
    safe_id,
    section,
    table,
    text,
)
from octavo.site.pages.methods import annotated

SETS = {
    "generic": "generic C++20",
    "avx2": "AVX2",
    "avx512": "AVX-512",
    "neon": "NEON",
    "gpu": "GPU (Triton)",
}
COLUMNS = ("Kernel", "Computes", "Instruction sets", "Best share", "Bars met", "Methods")
LANGUAGES = {".cpp": "cpp", ".h": "cpp", ".py": "python", ".inc": "cpp"}


def pages(holdings: Holdings) -> Iterator[Page]:
    """The index, then a page for each kernel."""
    yield index(holdings)
    for name, folder in holdings.kernels.items():
        yield one(name, folder, holdings)


def index(holdings: Holdings) -> Page:
    """All kernels in a table."""
    rows = [
        [
            f"<code>{link(f'{name}/', name)}</code>",
            inline(_opening(folder).title),
            text(", ".join(sets(folder))),
            *_best(holdings.speeds.get(name)),
            _users(name, holdings, "../"),
        ]
        for name, folder in holdings.kernels.items()
    ]
    body = (
        '<header class="head"><h1>Kernels</h1><p class="lead">The native code under the methods. '
        "A torch reference of a few lines is the only judge of each; native code never changes the "
        "answer.</p></header>"
    )
    body += (
        f'<div class="kernels stack">{table(COLUMNS, rows, numbers=(3, 4))}</div>'
        if rows
        else '<p class="quiet">No kernel yet.</p>'
    )
    body += section("Whole models", whole.body(holdings), "models")
    return Page("kernels", "Kernels", body, "All kernels.", section="kernels")


def _best(run: speed.Run | None) -> tuple[str, str]:
    """The best share of the machine's limit and the bars met, of the recorded run."""
    if run is None:
        return '<span class="quiet">no run yet</span>', ""
    share = speed.best_share(run)
    return "" if share is None else f"{share:.0%}", speed.met(run)


def sets(folder: Path) -> list[str]:
    """The reference and the instruction sets that have a file of their own."""
    stems = {path.stem for path in folder.iterdir() if path.suffix in LANGUAGES}
    return ["torch reference", *(name for stem, name in SETS.items() if stem in stems)]


def one(name: str, folder: Path, holdings: Holdings) -> Page:
    """The page of one kernel."""
    path = f"kernels/{safe_id(name)}"
    said = (folder / "__init__.py").read_text(encoding="utf-8")
    opening = _opening(folder)
    body = (
        f'<header class="head"><p class="kicker" data-pagefind-ignore>{link("../", "Kernel")}</p>'
        f'<h1><code>{text(name)}</code></h1><p class="lead">{inline(opening.title)}</p></header>'
        + '<div class="split"><div class="text">'
        + section("Equation and shapes", opening.body, "shapes", "opening")
        + '</div><aside class="margin">'
        + facts(
            [
                ("Instruction sets", text(", ".join(sets(folder)))),
                ("Methods", _users(name, holdings, "../../")),
                ("Import", f"<code>octavo.kernels.{text(name)}</code>"),
            ]
        )
        + "</aside></div>"
        + _speed(name, folder, holdings)
        + section("The interface", annotated(said), "interface", "code")
        + section("Native source", _native(folder), "native", "native")
        + section("In methods", measured(name, holdings), "measured")
    )
    meta = {"kind": "Kernel", "about": ", ".join(sets(folder)), "gist": opening.title}
    return Page(path, name, body, opening.title, None, "kernels", meta, [("kind", "Kernel")], True)


def _speed(name: str, folder: Path, holdings: Holdings) -> str:
    """What was measured, the bars, the plots, and how to ask the reader's own machine."""
    run = holdings.speeds.get(name)
    made = section("Speed", speed.section_body(name, run), "speed")
    if run is not None:
        made += section("Bars", speed.bars_table(run), "bars", "kernel-bars stack")
        made += section("Roofline and crossovers", speed.drawings(run), "plots", "plots")
    if (folder / "candidates.py").is_file():
        asked = (
            "<p>Whether this is faster than dense for your layer (rows of the weight, then "
            "columns), and from how many rows or zeros on:</p>"
        )
        made += section("On your machine", asked + command("octavo crossover 4096x4096"), "here")
    return made


def measured(name: str, holdings: Holdings) -> str:
    """Claims of methods that run on this kernel and were measured in bytes or milliseconds."""
    rows = [
        [
            link(f"../../methods/{m.id}/#claim-{c.id}", m.name),
            inline(c.statement),
            _value(holdings, m.id, c.id),
        ]
        for m in holdings.methods.values()
        if name in m.kernels
        for c in m.claims
        if f"{c.where} {c.metric}".count(name) or "milliseconds" in c.metric or "bytes" in c.metric
    ]
    return table(["Method", "Claim", "Measured"], rows, numbers=(2,)) if rows else ""


def _value(holdings: Holdings, method: str, claim: str) -> str:
    run = holdings.latest.get(method, {}).get(claim)
    if run is None:
        return '<span class="quiet">no run recorded yet</span>'
    units = {c.id: c.unit for c in holdings.methods[method].claims}
    return f'<span class="fig">{text(figures.measured(run, units[claim]))}</span>'


def _native(folder: Path) -> str:
    files = [
        p for p in sorted(folder.iterdir()) if p.suffix in LANGUAGES and p.name != "__init__.py"
    ]
    return "".join(
        f"<details data-pagefind-ignore><summary><code>{text(path.name)}</code> "
        f'<span class="quiet">{SETS.get(path.stem, "")}</span></summary>'
        f"{source.highlight(path.read_text(encoding='utf-8'), LANGUAGES[path.suffix])}</details>"
        for path in files
    )


def _opening(folder: Path) -> prose.Docstring:
    tree = ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))
    return prose.docstring(ast.get_docstring(tree))


def _users(name: str, holdings: Holdings, up: str) -> str:
    mine = [m for m in holdings.methods.values() if name in m.kernels]
    links = ", ".join(link(f"{up}methods/{m.id}/", m.name) for m in mine)
    return f"<span>{links}</span>" if links else ""
