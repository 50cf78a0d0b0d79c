"""The home page and the sources."""

from __future__ import annotations

from collections.abc import Iterator

from octavo.site.holdings import Holdings
from octavo.site.markup import Page, command, link, section, table, text
from octavo.site.pages.methods import runnable
from octavo.site.pages.themes import theme_grid

EXAMPLES = ("prune before training", "4-bit weights without retraining", "distill attention")


def pages(holdings: Holdings) -> Iterator[Page]:
    """The two pages that belong to no single record."""
    yield home(holdings)
    yield sources(holdings)


def home(holdings: Holdings) -> Page:
    """Three questions, answered at once: what is here, what runs now, how to find the rest."""
    body = (
        '<header class="head title-page"><div><h1>Neural-network compression, from paper to '
        'kernel</h1><p class="lead">Papers on efficient deep learning, the methods in them as '
        "code that runs on your own model, and under each method the kernel that makes it pay."
        f"</p></div>{_search_box()}</header>"
        + section("What is here", _counts(holdings), "here")
        + section("What you can run now", _run(holdings), "run", "run")
        + section("How to find what you need", _find(holdings), "find")
    )
    about = "Papers, reference implementations, native kernels and measured claims."
    return Page("", "Octavo", body, about, section="home")


def _counts(holdings: Holdings) -> str:
    kinds = [
        ("papers/", len(holdings.papers), "papers", "records with their provenance"),
        ("methods/", len(holdings.methods), "methods", "described in four short texts"),
        ("methods/", len(holdings.implemented), "run here", "on any torch module"),
        ("kernels/", len(holdings.kernels), "kernels", "native, checked against torch"),
        ("benchmarks/", holdings.claims, "claims", _verdict_line(holdings)),
    ]
    items = "".join(
        f'<li><a href="{href}"><b class="fig">{count:,}</b> {name}</a>'
        f"<span>{text(said)}</span></li>"
        for href, count, name, said in kinds
    )
    return f'<ul class="counts-row">{items}</ul>'


def _verdict_line(holdings: Holdings) -> str:
    seen = holdings.verdicts
    if not seen:
        return "written before any run; no run recorded yet"
    parts = [f"{seen[name]} {word}" for name, word in _WORDS.items() if seen[name]]
    return ", ".join(parts)


_WORDS = {"holds": "hold", "trend only": "in trend only", "not reproduced": "not reproduced"}


def _run(holdings: Holdings) -> str:
    if not holdings.implemented:
        return '<p class="quiet">No method is implemented yet.</p>'
    first = holdings.implemented[0]
    call = f'octavo.compress(model, "{first}")'
    return (
        runnable(holdings)
        + "<p>Each command runs the method on a small task and prints, for every claim, what the "
        "paper reports, what was measured, and the verdict. On your own model, from Python:</p>"
        + command(call)
    )


def _search_box() -> str:
    tries = ", ".join(link(f"search/?q={q.replace(' ', '+')}", q) for q in EXAMPLES)
    return (
        '<form class="search-box" action="search/" method="get" role="search">'
        '<label for="home-q">Search papers, methods and kernels</label>'
        '<div><input id="home-q" type="search" name="q" autocomplete="off" '
        'placeholder="a technique, a title, an author"><button>Search</button></div>'
        f'<p class="tries">Try {tries}.</p></form>'
    )


def _find(holdings: Holdings) -> str:
    facets = ", ".join(
        link(f"facets/#{facet.id}", facet.name.lower())
        for facet in holdings.taxonomy.facets.values()
    )
    return (
        f"<p>Search above, or with <kbd>/</kbd> from any page. Go by {link('papers/', 'year')}, or "
        f"by what a method asks for and leaves behind: {facets}. Or by theme:</p>"
        + theme_grid(holdings, "", only_methods=True)
        + f"<p>{link('themes/', f'All {len(holdings.taxonomy.themes)} themes')}</p>"
    )


def _followed(holdings: Holdings) -> str:
    rows = [
        [
            link(f.source, f.name) if "://" in f.source else text(f.name),
            text(f.kind),
            f"<code>{text(f.source)}</code>",
        ]
        for f in holdings.followed
    ]
    return table(["Name", "Kind", "Where"], rows) if rows else ""


def sources(holdings: Holdings) -> Page:
    """Feeds and lists, with how many papers each gave."""
    feeds: list[list[str]] = []
    lists: list[list[str]] = []
    urls = {s.id: s.url for p in holdings.papers.values() for s in p.sources if s.url}
    for name, count in sorted(holdings.sources.items(), key=lambda pair: (-pair[1], pair[0])):
        kind, _, rest = name.partition(":")
        where = (
            f"https://github.com/{rest}"
            if kind == "list" and rest.count("/") == 1
            else urls.get(name, "")
        )
        row = [link(where, rest or name) if where else text(rest or name), f"{count:,}"]
        (lists if kind == "list" else feeds).append(row)
    body = (
        '<header class="head"><h1>Sources</h1><p class="lead">Where the papers were found. A '
        "paper found in two places is one record and counts in both rows.</p></header>"
        + section("Followed", _followed(holdings), "followed", "narrow")
        + section(
            "Feeds and posts",
            table(["Source", "Papers"], feeds, (1,)) if feeds else "",
            "feeds",
            "narrow",
        )
        + section(
            "Lists", table(["List", "Papers"], lists, (1,)) if lists else "", "lists", "narrow"
        )
        + ("" if feeds or lists else '<p class="quiet">No source recorded yet.</p>')
    )
    return Page("sources", "Sources", body, "Feeds and lists, with counts.", section="sources")
