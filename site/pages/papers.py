"""Papers: an index by year, lists in pages of a hundred, and a small page for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from octavo.catalog import Paper, Tag, Technique, Theme
from octavo.site import bibtex
from octavo.site.holdings import Holdings
from octavo.site.markup import (
    Page,
    command,
    facts,
    inline,
    link,
    paragraphs,
    plural,
    root,
    safe_id,
    section,
    text,
)

PER_PAGE = 100


def pages(holdings: Holdings) -> Iterator[Page]:
    """Every page about papers."""
    yield index(holdings)
    for year, papers in holdings.papers_by_year.items():
        name = str(year) if year else "undated"
        title = f"Papers of {year}" if year else "Papers without a year"
        yield from listing(f"years/{name}", title, papers, holdings, section="papers")
    for paper in holdings.papers.values():
        yield one(paper, holdings)


def index(holdings: Holdings) -> Page:
    """By year and by theme."""
    years = [
        (f"years/{year or 'undated'}/", str(year or "no year"), len(papers))
        for year, papers in holdings.papers_by_year.items()
    ]
    themes = [
        (f"themes/{theme.id}/", theme.name, len(holdings.papers_of_theme(theme.id)))
        for theme in holdings.taxonomy.themes.values()
    ]
    themes = sorted((t for t in themes if t[2]), key=lambda t: (-t[2], t[1]))
    withdrawn = [p for p in holdings.papers.values() if p.status == "withdrawn"]
    body = (
        f'<header class="head"><h1>Papers</h1><p class="lead">{len(holdings.papers):,} records. '
        "Each keeps where it was found and who gave it its tags.</p></header>"
        '<div class="columns">'
        + section("By year", _bars(years, "papers"), "by-year")
        + section("By theme", _bars(themes, "papers"), "by-theme")
        + "</div>"
    )
    if withdrawn:
        items = "".join(f"<li>{entry(p, holdings, 'papers')}</li>" for p in withdrawn)
        body += section("Withdrawn", f'<ol class="entries">{items}</ol>', "withdrawn")
    return Page("papers", "Papers", body, "All papers, by year and by theme.", section="papers")


def _bars(rows: Sequence[tuple[str, str, int]], path: str) -> str:
    """Counts as lines whose length can be compared."""
    top = max((count for _, _, count in rows), default=1)
    items = "".join(
        f'<li>{link(root(path) + href, name)}<svg viewBox="0 0 100 6" preserveAspectRatio="none" '
        f'aria-hidden="true"><rect width="{max(0.8, 100 * count / top):.1f}" height="6"/></svg>'
        f'<span class="fig">{count:,}</span></li>'
        for href, name, count in rows
    )
    return f'<ol class="bars">{items}</ol>'


def listing(
    path: str,
    title: str,
    papers: Sequence[Paper],
    holdings: Holdings,
    section: str,
    theme: str = "",
) -> Iterator[Page]:
    """A list in pages of a hundred; the first lies at ``path``, the second at ``path/2``."""
    chunks = [papers[i : i + PER_PAGE] for i in range(0, len(papers), PER_PAGE)] or [()]
    for number, chunk in enumerate(chunks, 1):
        here = path if number == 1 else f"{path}/{number}"
        entries = "".join(f"<li>{entry(paper, holdings, here)}</li>" for paper in chunk)
        start = (number - 1) * PER_PAGE + 1
        body = (
            f'<header class="head"><h1>{text(title)}</h1>'
            f'<p class="lead">{plural(len(papers), "paper")}</p></header>'
            f'<ol class="entries" start="{start}">{entries}</ol>'
            + _pager(path, number, len(chunks))
        )
        name = title if number == 1 else f"{title}, page {number}"
        yield Page(here, name, body, f"{title}: a list.", theme=theme or None, section=section)


def _pager(path: str, number: int, count: int) -> str:
    if count < 2:
        return ""
    here = path if number == 1 else f"{path}/{number}"
    up = root(here)
    links = "".join(
        f'<li aria-current="page">{n}</li>'
        if n == number
        else f"<li>{link(f'{up}{path}/' + (f'{n}/' if n > 1 else ''), str(n))}</li>"
        for n in range(1, count + 1)
    )
    return f'<nav class="pager" aria-label="Pages of this list"><ol>{links}</ol></nav>'


def entry(paper: Paper, holdings: Holdings, here: str) -> str:
    """A paper as one entry of a list."""
    up = root(here)
    runs = [m for m in holdings.methods_of_paper.get(paper.id, ()) if m in holdings.implemented]
    marks = ' <span class="mark withdrawn">withdrawn</span>' if paper.status == "withdrawn" else ""
    marks += "".join(f' <a class="mark runs" href="{up}methods/{m}/">runs here</a>' for m in runs)
    said = f'<p class="gist">{inline(paper.summary)}</p>' if paper.summary else ""
    about = ", ".join(
        x for x in (_authors(paper, 3), str(paper.year or ""), paper.venue or "") if x
    )
    return (
        f"{link(f'{up}papers/{safe_id(paper.id)}/', paper.title)}{marks}"
        f'<span class="about">{text(about)}</span>{said}'
    )


def one(paper: Paper, holdings: Holdings) -> Page:
    """The page of one paper."""
    path = f"papers/{safe_id(paper.id)}"
    up = root(path)
    themes = themes_of(paper, holdings)
    kicker = " · ".join(
        [link(f"{up}papers/", "Paper")]
        + ([link(f"{up}years/{paper.year}/", str(paper.year))] if paper.year else [])
        + [link(f"{up}themes/{t}/", holdings.taxonomy.themes[t].name) for t in themes[:3]]
    )
    body = (
        f'<header class="head"><p class="kicker" data-pagefind-ignore>{kicker}</p>'
        f"<h1>{text(paper.title)}</h1>"
        f'<p class="authors">{text(_authors(paper))}</p></header>'
        + _withdrawn(paper)
        + '<div class="split"><div class="text">'
        + _texts(paper)
        + _runs(paper, holdings, up)
        + '</div><aside class="margin">'
        + facts(_facts(paper))
        + "</aside></div>"
        + section("Tags", _tags(paper, holdings, up), "tags", "narrow")
        + section("Perhaps the same paper", _alike(paper, holdings, up), "alike", "narrow")
        + section("Where it was found", _provenance(paper), "provenance", "narrow")
        + section("BibTeX", citation(paper, holdings), "bibtex", "narrow")
    )
    filters = [("kind", "Paper"), *(("theme", holdings.taxonomy.themes[t].name) for t in themes)]
    filters += [("year", str(paper.year))] if paper.year else []
    about = paper.summary or paper.abstract or f"{paper.title}. {_authors(paper, 3)}"
    named = ", ".join(x for x in (_authors(paper, 3), str(paper.year or "")) if x)
    meta = {"kind": "Paper", "about": named}
    if not paper.abstract:
        meta["gist"] = paper.summary or " "
    theme = themes[0] if themes else None
    return Page(path, paper.title, body, about, theme, "papers", meta, filters, searchable=True)


def themes_of(paper: Paper, holdings: Holdings) -> list[str]:
    """Themes of a paper: tags that are themes, then the themes of its techniques."""
    vocabulary = holdings.taxonomy
    ids = [tag.id for tag in paper.tags]
    found = [i for i in ids if i in vocabulary.themes]
    found += [vocabulary.techniques[i].theme for i in ids if i in vocabulary.techniques]
    return list(dict.fromkeys(t for t in found if t in vocabulary.themes))


def citation(paper: Paper, holdings: Holdings) -> str:
    """The BibTeX entry with a copy button."""
    made = bibtex.entry(paper, holdings.citation_keys[paper.id])
    return (
        f'<div class="cite" data-pagefind-ignore><pre tabindex="0">{text(made)}</pre>'
        f'<button type="button" class="copy" data-copy="{text(made)}">Copy</button></div>'
    )


def _authors(paper: Paper, limit: int | None = None) -> str:
    names = list(paper.authors)
    if limit and len(names) > limit:
        return f"{names[0]} and others"
    return ", ".join(names) + ("" if paper.authors_complete or not names else " and others")


def _withdrawn(paper: Paper) -> str:
    if paper.status != "withdrawn":
        return ""
    return (
        '<p class="notice" role="note"><b>Withdrawn.</b> The authors or the archive have withdrawn '
        "this paper; it stays here so that links to it keep their meaning.</p>"
    )


def _texts(paper: Paper) -> str:
    said = section("In one line", paragraphs(paper.summary), "summary") if paper.summary else ""
    quoted = f"<blockquote><p>{text(paper.abstract)}</p></blockquote>" if paper.abstract else ""
    said += section("Abstract", quoted, "abstract")
    return said or '<p class="quiet" data-pagefind-ignore>No abstract recorded yet.</p>'


def _runs(paper: Paper, holdings: Holdings, up: str) -> str:
    ids = holdings.methods_of_paper.get(paper.id, [])
    items = "".join(
        f"<li>{link(f'{up}methods/{m}/', holdings.methods[m].name)} "
        + (
            command(f"octavo run {m}")
            if m in holdings.implemented
            else '<span class="quiet">not implemented yet</span>'
        )
        + "</li>"
        for m in ids
    )
    return section("Method", f'<ul class="runs-it">{items}</ul>', "method") if items else ""


def _facts(paper: Paper) -> list[tuple[str, str]]:
    arxiv = paper.arxiv and link(f"https://arxiv.org/abs/{paper.arxiv}", paper.arxiv)
    version = f" v{paper.arxiv_version}" if paper.arxiv and paper.arxiv_version else ""
    openreview = paper.openreview and link(
        f"https://openreview.net/forum?id={paper.openreview}", paper.openreview
    )
    code = paper.code or ""
    code_url = code if "://" in code else f"https://github.com/{code}"
    seen = {f"https://arxiv.org/abs/{paper.arxiv}", paper.url, code_url}
    further = [url for url in paper.links if url not in seen]
    return [
        ("Year", text(paper.year or "")),
        ("Venue", text(paper.venue or "")),
        ("arXiv", (arxiv or "") + version),
        ("DOI", link(f"https://doi.org/{paper.doi}", paper.doi) if paper.doi else ""),
        ("OpenReview", openreview or ""),
        ("Page", link(paper.url, _short(paper.url)) if paper.url and not paper.arxiv else ""),
        ("Code", link(code_url, _short(code)) if code else ""),
        ("Links", "<br>".join(link(url, _short(url)) for url in further)),
        ("Categories", text(", ".join(paper.categories))),
        ("Kind", text(paper.kind) if paper.kind != "unknown" else ""),
    ]


def _short(url: str) -> str:
    bare = url.split("://", 1)[-1].removeprefix("www.").rstrip("/")
    return bare if len(bare) <= 44 else bare[:43] + "…"


def _tags(paper: Paper, holdings: Holdings, up: str) -> str:
    items = "".join(f"<li>{_tag(tag, holdings, up)}</li>" for tag in paper.tags)
    return f'<ul class="tags">{items}</ul>' if items else ""


def _tag(tag: Tag, holdings: Holdings, up: str) -> str:
    vocabulary = holdings.taxonomy
    told = text(tag.origin.removeprefix("source:").removeprefix("list:"))
    origin = f'<span class="quiet" data-pagefind-ignore>{told}</span>'
    if tag.id in vocabulary.themes:
        shelf: Theme | Technique = vocabulary.themes[tag.id]
        name = link(f"{up}themes/{tag.id}/", shelf.name)
    elif tag.id in vocabulary.techniques:
        shelf = vocabulary.techniques[tag.id]
        name = link(f"{up}techniques/{tag.id}/", shelf.name)
    else:
        return f"{text(tag.id)} {origin}"
    return f'{name} {origin}<p class="gist">{inline(shelf.description)}</p>'


def _alike(paper: Paper, holdings: Holdings, up: str) -> str:
    """Records that look like this one; a person decides whether they are."""
    items = "".join(
        f"<li>{link(f'{up}papers/{safe_id(other)}/', holdings.papers[other].title)} "
        f'<span class="quiet">{pair.kind}, titles alike to {pair.score:.0f} %</span></li>'
        for other, pair in holdings.alike.get(paper.id, ())
    )
    return f'<ul class="plain-list" data-pagefind-ignore>{items}</ul>' if items else ""


def _provenance(paper: Paper) -> str:
    """A line a place, with the words under which the paper was linked there."""
    places: dict[tuple[str, str | None, str | None], list[str]] = {}
    for source in paper.sources:
        anchors = places.setdefault((source.id, source.url, source.section), [])
        anchors += [source.anchor] if source.anchor and source.anchor not in anchors else []
    items = ""
    for (name, url, where), anchors in places.items():
        bare = name.partition(":")[2] or name
        shown = link(url, bare) if url else text(bare)
        detail = f", {text(where)}" if where else ""
        quoted = ", ".join(f"“{text(anchor)}”" for anchor in anchors)
        said = f' <span class="quiet">linked as {quoted}</span>' if quoted else ""
        items += f"<li>{shown}{detail}{said}</li>"
    return f'<ul class="plain-list" data-pagefind-ignore>{items}</ul>' if items else ""
