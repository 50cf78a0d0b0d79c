"""The search page, filled by script (without script it shows lists), and how well it does."""

from __future__ import annotations

from collections.abc import Iterator

from octavo.site.holdings import Holdings
from octavo.site.markup import Page, link, plural
from octavo.site.search import encoders, shown

LISTS = (
    ("methods", "Methods"),
    ("facets", "Methods by what they ask for: data, retraining, bits"),
    ("themes", "Themes and techniques"),
    ("papers", "Papers by year and theme"),
    ("kernels", "Kernels"),
    ("benchmarks", "What was measured"),
)


def pages(holdings: Holdings) -> Iterator[Page]:
    """The search page, and the page on what it finds and costs."""
    about = f"Search {plural(len(holdings.papers), 'paper')}, the methods and the kernels."
    yield Page("search", "Search", FORM + FOUND + _without_script(), about, section="search")
    head = '<header class="head"><h1>How search does</h1></header>'
    said = "What searching in the browser finds, fetches and costs, measured."
    yield Page("search/measured", "How search does", head + shown.body(holdings), said)
    head = '<header class="head"><h1>Encoders compared</h1></header>'
    said = "Search with each encoder, on judged questions: what it finds, its bytes and its speed."
    yield Page("search/encoders", "Encoders compared", head + encoders.body(holdings), said)


FORM = (
    '<header class="head"><h1>Search</h1></header>'
    '<form class="search-box" id="search-form" action="./" method="get" role="search">'
    '<label for="search-q">Search papers, methods and kernels</label>'
    '<div><input id="search-q" type="search" name="q" autocomplete="off" autofocus '
    'aria-describedby="search-status"><button>Search</button></div></form>'
    '<div id="search-narrow" hidden>'
    '<div id="search-kinds" class="filters" role="group" aria-label="Kind of page"></div>'
    '<details id="search-filters"><summary>Filters<span id="search-set"></span></summary>'
    '<div><div id="search-facets" class="choices"></div>'
    '<button id="search-clear" type="button" class="chip" hidden>Clear all filters</button></div>'
    "</details></div>"
)
FOUND = (
    '<p id="search-status" class="quiet" role="status" aria-live="polite"></p>'
    '<ol id="search-results" class="results" aria-label="Results"></ol>'
    '<button id="search-more" type="button" hidden>More results</button>'
    '<p id="search-kept" class="quiet" role="status"></p>'
    '<p class="quiet"><a href="measured/">How well this search does, and what it costs</a>; '
    '<a href="encoders/">its encoders compared</a></p>'
)


def _without_script() -> str:
    lists = " ".join(f"<li>{link(f'../{path}/', name)}</li>" for path, name in LISTS)
    return (
        "<noscript><p>Searching needs JavaScript. These lists do not:</p>"
        f"<ul>{lists}</ul></noscript>"
    )
