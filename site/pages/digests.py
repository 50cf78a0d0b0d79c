"""The digests: weeks of the catalog with their new papers, by theme."""

from __future__ import annotations

from collections.abc import Iterator

from octavo.ingest.digest import Digest, Pick
from octavo.ingest.digest_text import count
from octavo.site.holdings import Holdings
from octavo.site.markup import Page, command, inline, link, section, text


def pages(holdings: Holdings) -> Iterator[Page]:
    """The index of weeks, and a page for each."""
    made = holdings.digests
    yield index(made)
    for digest in made:
        yield one(digest, holdings)


def index(made: list[Digest]) -> Page:
    """All weeks that have a page."""
    listed = "".join(
        f"<li>{link(f'{digest.week.lower()}/', digest.week)} "
        f"<small>{digest.first} to {digest.last}</small><br>"
        f"{text(count(digest))}: {text('; '.join(pick.title for pick in digest.picks[:3]))}"
        f"{' …' if len(digest.picks) > 3 else ''}</li>"
        for digest in made
    )
    lead = (
        "What came in a week, by theme: why each paper was picked, and what its authors say. The "
        "day of a paper is told from its arXiv number."
    )
    body = (
        f'<header class="head"><h1>Digests</h1><p class="lead">{lead}</p></header>'
        + (f'<ol class="entries">{listed}</ol>' if made else "<p>No week holds a paper yet.</p>")
        + section("Any other week", command("octavo digest --week 2019-W42"), "any")
    )
    return Page("digests", "Digests", body, lead, section="papers")


def one(digest: Digest, holdings: Holdings) -> Page:
    """The page of a week."""
    path = f"digests/{digest.week.lower()}"
    lead = f"{digest.first} to {digest.last}: {count(digest)}."
    body = (
        f'<header class="head"><p class="kicker" data-pagefind-ignore>{link("../", "Digest")}</p>'
        f'<h1>Week {digest.week}</h1><p class="lead">{lead}</p></header>'
    )
    for theme, picks in digest.by_theme.items():
        name = holdings.taxonomy.themes[theme].name
        body += section(name, "".join(_pick(pick) for pick in picks), theme)
    note = inline(digest.note[:1].upper() + digest.note[1:])
    body += section("What it rests on", f"<p>{note}.</p>", "note", "narrow")
    return Page(path, f"Week {digest.week}", body, lead, section="papers", searchable=True)


def _pick(pick: Pick) -> str:
    quoted = "".join(
        f"<blockquote><p>{text(quote.sentence)}</p><footer>{quote.part.capitalize()}; the authors, "
        "abstract</footer></blockquote>"
        for quote in pick.summary
    )
    near = "".join(
        f"<li>{link(f'../../methods/{method.id}/', method.name)} ({method.cosine:.2f})"
        + (f": <code>{text(method.command)}</code>" if method.command else ", not implemented yet")
        + "</li>"
        for method in pick.methods
    )
    return (
        f"<h3>{link(f'../../papers/{pick.id}/', pick.title)}</h3>"
        f"<p>Picked because: {text(pick.why)}.</p>{quoted}"
        + (f"<p>Not quoted: {inline(pick.no_summary)}.</p>" if pick.no_summary else "")
        + (f"<p>Methods near it:</p><ul>{near}</ul>" if near else "")
    )
