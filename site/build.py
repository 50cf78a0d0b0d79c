"""The static site: render the catalog, run MkDocs and Pagefind, put the result in place at once.

    theme, guides ──► build/docs ──► MkDocs ──┐
    catalog ──► pages in moulds ──────────────┼──► build/.site-next ──► Pagefind ──► build/site
            └─► feeds, exports, twins ────────┘

The last step is a rename: a build that is killed leaves the site of before, never half of one.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from octavo.errors import InputError
from octavo.ingest import static
from octavo.site import accents, moulds
from octavo.site.beside import beside
from octavo.site.doors import through
from octavo.site.holdings import Holdings, gather
from octavo.site.markup import Page
from octavo.site.pages import (
    benchmarks,
    compare,
    data,
    digests,
    emerging,
    front,
    kernels,
    methods,
    papers,
    scale,
    search,
    tagging,
    themes,
)
from octavo.site.search import index

HERE = Path(__file__).resolve().parent
UNUSED = ("javascripts", "stylesheets", "images")  # of the theme below ours; no page asks for them
SEARCH = HERE / "search"
WORKER = "offline.js"  # at the root: a worker answers only for what lies below it
STAMP = ".built-from"
REMOVE = "import shutil, sys; shutil.rmtree(sys.argv[1], ignore_errors=True)"


@dataclass(frozen=True)
class Built:
    """What a build made."""

    site: str
    pages: int
    papers: int
    methods: int
    implemented: int
    kernels: int
    seconds: float
    unchanged: bool

    def __str__(self) -> str:
        was = " (nothing had changed)" if self.unchanged else ""
        return f"{self.pages:,} pages in {self.seconds:.1f} s{was}: {self.site}"


def default_output() -> Path:
    """``build`` of the clone we run from, else of the folder we stand in."""
    clone = HERE.parent
    return (clone if (clone / "mkdocs.yml").is_file() else Path.cwd()) / "build"


def build(out: Path, holdings: Holdings | None = None, say: Callable[[str], None] = print) -> Built:
    """Make the site under ``out/site`` from ``holdings`` (the whole catalog when None).

    Raises InputError when MkDocs or Pagefind refuse, with the first line they say.
    """
    _need("mkdocs", "material", "pagefind", "html_to_markdown")
    start = time.perf_counter()
    held = holdings or gather()
    docs, ready, next_site = out / "docs", out / "site", out / f".site-next-{os.getpid()}"
    say("rendering the catalog")
    made = render(held)
    kinds = write_docs(made.pages, docs)
    mark = fingerprint(docs, made)
    unchanged = (ready / STAMP).is_file() and (ready / STAMP).read_text() == mark
    count = len(made.pages) + len(guides())
    if not unchanged:
        try:
            say(f"setting {count:,} pages")
            run_mkdocs(docs, next_site)
            set_pages(made.pages, kinds, next_site)
            say("indexing for search")
            with ThreadPoolExecutor(1) as beside:  # Pagefind reads pages alone
                indexed = beside.submit(run_pagefind, next_site)
                write(made.files, next_site)
                indexed.result()
            index.write(next_site, held, static.load("static"))
            (next_site / STAMP).write_text(mark)
            put_in_place(next_site, ready)
        finally:
            shutil.rmtree(next_site, ignore_errors=True)
    return Built(
        site=str(ready),
        pages=count,
        papers=len(held.papers),
        methods=len(held.methods),
        implemented=len(held.implemented),
        kernels=len(held.kernels),
        seconds=round(time.perf_counter() - start, 2),
        unchanged=unchanged,
    )


CATALOG = (front, search, data, themes, emerging, papers, digests, tagging, scale)
MEASURED = (compare, methods, kernels, benchmarks)  # source and plots: half of the work


def all_pages(holdings: Holdings) -> list[Page]:
    """Every rendered page, with its doors; what was measured is rendered on a core of its own."""
    with beside(partial(_pages, MEASURED, holdings)) as measured:
        return _pages(CATALOG, holdings) + measured()


def _pages(parts: Sequence[ModuleType], holdings: Holdings) -> list[Page]:
    pages = (page for part in parts for page in part.pages(holdings))
    return [through.with_doors(page, holdings) for page in pages]


class Rendered(NamedTuple):
    """The pages, and by path the files that stand beside them in the site."""

    pages: list[Page]
    files: dict[str, bytes]


def guides() -> list[Path]:
    """The pages that are written by hand."""
    return sorted((HERE / "docs").glob("*.md"))


def render(holdings: Holdings) -> Rendered:
    """Every page of the catalog and every file beside them."""
    pages = all_pages(holdings)
    files = dict(through.files(holdings, pages))
    files |= {f"{guide.stem}/index.md": guide.read_bytes() for guide in guides()}
    for method in holdings.implemented:
        module = holdings.module(method)
        assert module is not None
        files[f"methods/{method}/{module.name}"] = module.read_bytes()
    sheet = accents.stylesheet(holdings.taxonomy.themes.values())
    files["assets/themes.css"] = sheet.encode()
    places = [*(page.path for page in pages), *(guide.stem for guide in guides())]
    files["sitemap.xml"] = through.sitemap(places).encode()
    return Rendered(pages, files)


def write_docs(pages: list[Page], docs: Path) -> set[moulds.Kind]:
    """What MkDocs is to build: the guides, the scripts of the search, a mould of each kind."""
    shutil.rmtree(docs, ignore_errors=True)
    shutil.copytree(HERE / "docs", docs)
    not_scripts = shutil.ignore_patterns("*.py*", "_*")
    shutil.copytree(SEARCH, docs / "assets" / "search", ignore=not_scripts)
    shutil.move(docs / "assets" / "search" / WORKER, docs / WORKER)
    return moulds.written(pages, docs)


def set_pages(pages: list[Page], kinds: set[moulds.Kind], site: Path) -> None:
    """Write every page in its frame."""
    made = moulds.taken(kinds, site)
    write({_file(page): made[moulds.kind_of(page)].filled(page).encode() for page in pages}, site)


def _file(page: Page) -> str:
    return f"{page.path}/index.html".lstrip("/")


def write(files: Mapping[str, bytes], target: Path) -> None:
    """Put files at their paths below ``target``."""
    made: set[Path] = set()
    for name, content in files.items():
        path = target / name
        if path.parent not in made:
            path.parent.mkdir(parents=True, exist_ok=True)
            made.add(path.parent)
        path.write_bytes(content)


def fingerprint(docs: Path, made: Rendered) -> str:
    """Hash of all that goes into the site: pages, files, moulds, guides, theme and settings."""
    digest = hashlib.sha256()
    for page in made.pages:
        digest.update("\0".join(moulds.parts(page).values()).encode())
    for name, content in made.files.items():
        digest.update(name.encode() + b"\0" + content)
    for base in (docs, HERE / "theme"):
        for path in sorted(p for p in base.rglob("*") if p.is_file()):
            digest.update(str(path.relative_to(base)).encode() + b"\0" + path.read_bytes())
    for path in (HERE / "mkdocs.yml", static.FILE, *sorted(SEARCH.glob("*.py"))):
        digest.update(path.read_bytes())
    digest.update(os.environ.get("OCTAVO_SITE_URL", "").encode())
    return digest.hexdigest()


def run_mkdocs(docs: Path, target: Path) -> None:
    """MkDocs, strict, in this process; then drop what the theme below ours brought along."""
    from mkdocs.commands.build import build as mkdocs_build
    from mkdocs.config import load_config
    from mkdocs.exceptions import MkDocsException

    try:
        config = load_config(
            str(HERE / "mkdocs.yml"),
            docs_dir=str(docs.resolve()),
            site_dir=str(target.resolve()),
            theme={"name": "material", "font": False, "favicon": "assets/mark.svg"}
            | {"custom_dir": str(HERE / "theme")},
        )
        mkdocs_build(config)
    except MkDocsException as error:
        raise InputError(f"site build: mkdocs refused: {error}; see the lines above") from error
    for name in UNUSED:
        shutil.rmtree(target / "assets" / name, ignore_errors=True)
    (target / "sitemap.xml.gz").unlink(missing_ok=True)


def run_pagefind(target: Path) -> None:
    """Index the built pages; the index lies in ``pagefind/`` of the site."""
    line = [sys.executable, "-m", "pagefind", "--site", str(target), "--quiet"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode or not (target / "pagefind" / "pagefind.js").is_file():
        said = (done.stderr or done.stdout).strip().splitlines()
        raise InputError(f"site build: pagefind refused: {said[0] if said else 'no output'}")
    for path in (target / "pagefind").glob("*ui*"):
        path.unlink()


def put_in_place(made: Path, ready: Path) -> None:
    """Swap a finished site in: two renames.

    The old one is removed by a process of its own: to take ten thousand pages away can last longer
    than to make them.
    """
    old = ready.with_name(f".site-old-{os.getpid()}")
    if ready.exists():
        ready.rename(old)
    made.rename(ready)
    if old.exists():
        os.spawnv(os.P_NOWAIT, sys.executable, [sys.executable, "-Ic", REMOVE, str(old)])


def _need(*modules: str) -> None:
    from importlib.util import find_spec

    absent = [name for name in modules if find_spec(name) is None]
    if absent:
        raise InputError(
            f"site build: {', '.join(absent)} not installed; run `pip install 'octavo[site]'`"
        )
