"""Themes, techniques and facets: the three ways into the shelves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from octavo.catalog import Facet, Technique, Theme
from octavo.site.holdings import Holdings
from octavo.site.markup import Page, inline, link, plural, root, safe_id, section, text
from octavo.site.pages import compare
from octavo.site.pages.methods import method_list
from octavo.site.pages.papers import entry, listing

SHOWN = 12


def pages(holdings: Holdings) -> Iterator[Page]:
    """Index and pages of themes, pages of techniques in use, the facets."""
    yield index(holdings)
    for theme in holdings.taxonomy.themes.values():
        yield one(theme, holdings)
        papers = holdings.papers_of_theme(theme.id)
        name = f"Papers on {theme.name.lower()}"
        yield from listing(f"themes/{theme.id}/papers", name, papers, holdings, "themes", theme.id)
    for technique in holdings.taxonomy.techniques.values():
        yield from technique_pages(technique, holdings)
    yield facets(holdings)


def index(holdings: Holdings) -> Page:
    """All themes with what stands in each."""
    body = (
        '<header class="head"><h1>Themes</h1><p class="lead">The rooms of the library: '
        "compression first, then the field around it. "
        f"{link('emerging/', 'Emerging themes')} are what shows by itself.</p></header>"
        + theme_grid(holdings, "themes")
    )
    return Page("themes", "Themes", body, "All themes.", section="themes")


def theme_grid(holdings: Holdings, here: str, only_methods: bool = False) -> str:
    """A card for each theme."""
    up = root(here)
    methods = Counter(m.theme for m in holdings.methods.values())
    runs = Counter(holdings.methods[m].theme for m in holdings.implemented)
    cards = ""
    for theme in holdings.taxonomy.themes.values():
        if only_methods and not methods[theme.id]:
            continue
        counts = [plural(len(holdings.papers_of_theme(theme.id)), "paper")]
        counts += [plural(methods[theme.id], "method")] if methods[theme.id] else []
        counts += [f"{runs[theme.id]} run here"] if runs[theme.id] else []
        cards += (
            f'<li class="theme-{theme.id}"><h3>{link(f"{up}themes/{theme.id}/", theme.name)}</h3>'
            f'<p>{inline(theme.description)}</p><p class="counts">{" · ".join(counts)}</p></li>'
        )
    return f'<ul class="cards">{cards}</ul>'


def one(theme: Theme, holdings: Holdings) -> Page:
    """The page of one theme."""
    path = f"themes/{safe_id(theme.id)}"
    papers = holdings.papers_of_theme(theme.id)
    mine = [m for m in holdings.methods.values() if m.theme == theme.id]
    ready = [m for m in mine if m.id in holdings.implemented]
    later = [m for m in mine if m.id not in holdings.implemented]
    listed = "".join(f"<li>{entry(p, holdings, path)}</li>" for p in papers[:SHOWN])
    more = (
        f"<p>{link('papers/', f'All {len(papers):,} papers on {theme.name.lower()}')}</p>"
        if len(papers) > SHOWN
        else ""
    )
    body = (
        f'<header class="head"><p class="kicker" data-pagefind-ignore>{link("../", "Theme")}</p>'
        f"<h1>{text(theme.name)}</h1>"
        f'<p class="lead">{inline(theme.description)}</p></header>'
        + section(
            "Methods that run here",
            method_list(ready, holdings, path) + _comparison(theme, holdings) if ready else "",
            "run",
        )
        + section(
            "Described, not implemented yet",
            method_list(later, holdings, path, state=False) if later else "",
            "later",
        )
        + section("Techniques", _techniques(theme, holdings, path), "techniques")
        + section(
            "Papers by year",
            _years(theme, holdings) if len(papers) > 3 else "",
            "by-year",
            "narrow",
        )
        + section(
            "Newest papers", f'<ol class="entries">{listed}</ol>{more}' if listed else "", "papers"
        )
    )
    meta = {"kind": "Theme", "about": plural(len(papers), "paper"), "gist": theme.description}
    filters = [("kind", "Theme"), ("theme", theme.name)]
    return Page(path, theme.name, body, theme.description, theme.id, "themes", meta, filters, True)


def _comparison(theme: Theme, holdings: Holdings) -> str:
    if not compare.compared(theme.id, holdings):
        return ""
    return f"<p>{link('compare/', 'These methods compared: accuracy, milliseconds, cost')}</p>"


def _techniques(theme: Theme, holdings: Holdings, path: str) -> str:
    up = root(path)
    rows = ""
    for technique in holdings.taxonomy.techniques.values():
        if technique.theme == theme.id:
            count = len(holdings.papers_by_tag.get(technique.id, ()))
            named = (
                link(f"{up}techniques/{technique.id}/", technique.name)
                if _used(technique, holdings)
                else text(technique.name)
            )
            rows += (
                f"<div><dt>{named}"
                + (f' <span class="fig quiet">{count:,}</span>' if count else "")
                + f"</dt><dd>{inline(technique.description)}</dd></div>"
            )
    return f'<dl class="terms">{rows}</dl>' if rows else ""


def _years(theme: Theme, holdings: Holdings) -> str:
    """Papers by year as columns; the numbers stand under the picture for everyone."""
    seen = Counter(p.year for p in holdings.papers_of_theme(theme.id) if p.year)
    if not seen:
        return ""
    first, last = max(min(seen), max(seen) - 19), max(seen)
    years = list(range(first, last + 1))
    top, step = max(seen[y] for y in years), 30
    bars = "".join(_column(i * step, seen[y], top, y) for i, y in enumerate(years))
    told = ", ".join(f"{y}: {seen[y]}" for y in years if seen[y])
    early = sum(n for y, n in seen.items() if y < first)
    note = f'<p class="quiet">and {plural(early, "paper")} before {first}</p>' if early else ""
    return (
        f'<figure class="years"><svg viewBox="0 0 {len(years) * step} 112" '
        f'width="{round(len(years) * step * 1.35)}" role="img" '
        f'aria-label="Papers by year. {told}">{bars}</svg></figure>{note}'
    )


def _column(x: int, count: int, top: int, year: int) -> str:
    height = 74 * count / top
    label = (
        f'<text x="{x + 12}" y="{86 - height:.1f}" class="count">{count}</text>' if count else ""
    )
    return (
        f'<rect x="{x}" y="{90 - height:.1f}" width="24" height="{height:.1f}"/>{label}'
        f'<text x="{x + 12}" y="106">{year}</text>'
    )


def technique_pages(technique: Technique, holdings: Holdings) -> Iterator[Page]:
    """What uses a technique: methods, then papers. Techniques nobody uses have no page."""
    if not _used(technique, holdings):
        return
    path = f"techniques/{safe_id(technique.id)}"
    papers = holdings.papers_by_tag.get(technique.id, [])
    methods = [m for m in holdings.methods.values() if technique.id in m.techniques]
    listed = "".join(f"<li>{entry(p, holdings, path)}</li>" for p in papers[:100])
    more = f"<p>{link('papers/', f'All {len(papers):,} papers')}</p>" if len(papers) > 100 else ""
    theme = holdings.taxonomy.themes.get(technique.theme)
    kicker = "Technique" + (f" · {link(f'../../themes/{theme.id}/', theme.name)}" if theme else "")
    body = (
        f'<header class="head"><p class="kicker" data-pagefind-ignore>{kicker}</p>'
        f"<h1>{text(technique.name)}</h1>"
        f'<p class="lead">{inline(technique.description)}</p></header>'
        + section("Methods", method_list(methods, holdings, path) if methods else "", "methods")
        + section("Papers", f'<ol class="entries">{listed}</ol>{more}' if listed else "", "papers")
    )
    meta = {"kind": "Technique", "about": plural(len(papers), "paper")}
    meta["gist"] = technique.description
    filters = [("kind", "Technique"), *([("theme", theme.name)] if theme else [])]
    yield Page(
        path,
        technique.name,
        body,
        technique.description,
        technique.theme,
        "themes",
        meta,
        filters,
        True,
    )
    if more:
        name = f"Papers: {technique.name}"
        yield from listing(f"{path}/papers", name, papers, holdings, "themes", technique.theme)


def _used(technique: Technique, holdings: Holdings) -> bool:
    named = any(technique.id in m.techniques for m in holdings.methods.values())
    return named or bool(holdings.papers_by_tag.get(technique.id))


def facets(holdings: Holdings) -> Page:
    """The axes on which methods differ, each value with its methods."""
    parts = "".join(
        section(facet.name, _values(facet, holdings), facet.id)
        for facet in holdings.taxonomy.facets.values()
    )
    body = (
        '<header class="head"><h1>Facets</h1><p class="lead">The questions on which methods '
        "differ: what data they need, whether you must train again, what they leave behind."
        "</p></header>" + parts
    )
    return Page("facets", "Facets", body, "Methods compared by facet.", section="methods")


def _values(facet: Facet, holdings: Holdings) -> str:
    rows = ""
    for value, meaning in facet.values.items():
        mine = [m for m in holdings.methods.values() if value in m.facets.get(facet.id, ())]
        named = ", ".join(
            link(f"../methods/{m.id}/", m.name) for m in sorted(mine, key=lambda m: m.name)
        )
        rows += (
            f'<div id="{text(facet.id)}-{text(value)}"><dt>{text(value.replace("-", " "))}</dt>'
            f'<dd>{inline(meaning)}<span class="uses">{named or "none yet"}</span></dd></div>'
        )
    return f'<dl class="terms">{rows}</dl>' if rows else ""
