"""What is new: papers, and claims whose verdict was given or has changed."""

from __future__ import annotations

from collections.abc import Iterator

from octavo.catalog import Claim, Method, Paper, Result
from octavo.ingest.digest import Digest
from octavo.ingest.digest_text import count
from octavo.site.doors.feeds import Feed, Item
from octavo.site.figures import expected, measured
from octavo.site.holdings import Holdings

FIRST_DAY = "1970-01-01"  # of what has no date
PAPERS, CLAIMS, OF_THEME = 100, 200, 50  # items of each feed at most
NEW_PAPERS = Feed("feeds/papers", "Octavo: new papers", "Papers, newest first.", "papers")
WEEKS = Feed("feeds/digests", "Octavo: the week", "New papers by theme, weekly.", "digests")
VERDICTS = Feed(
    "feeds/claims",
    "Octavo: verdicts",
    "Claims that were measured for the first time, or whose verdict has changed.",
    "benchmarks",
)


def feeds(holdings: Holdings) -> Iterator[tuple[Feed, list[Item]]]:
    """Every feed with its items, newest first."""
    papers, claims = new_papers(holdings), verdicts(holdings)
    yield NEW_PAPERS, papers[:PAPERS]
    yield VERDICTS, claims[:CLAIMS]
    yield WEEKS, [_week(each) for each in holdings.digests]
    for theme in holdings.taxonomy.themes.values():
        shelf = {paper.id for paper in holdings.papers_of_theme(theme.id)}
        mine = [each for each in papers if each.id.removeprefix("papers/") in shelf]
        mine += [
            each
            for each in claims
            if holdings.methods[each.link.removeprefix("methods/")].theme == theme.id
        ]
        name = f"Octavo: {theme.name.lower()}"
        about = f"New papers on {theme.name.lower()}, and verdicts on its methods."
        yield (
            Feed(f"feeds/themes/{theme.id}", name, about, f"themes/{theme.id}"),
            sorted(mine, key=_newest, reverse=True)[:OF_THEME],
        )


def _week(digest: Digest) -> Item:
    """The entry of a week."""
    return Item(
        id=f"digests/{digest.week}",
        title=f"{digest.week}: {count(digest)}",
        date=f"{digest.last}T00:00:00Z",
        link=f"digests/{digest.week.lower()}",
        said="; ".join(pick.title for pick in digest.picks),
        tags=tuple(digest.by_theme),
    )


def new_papers(holdings: Holdings) -> list[Item]:
    """Papers, newest first."""
    items = [_paper(each) for each in holdings.papers.values() if each.status == "active"]
    return sorted(items, key=_newest, reverse=True)


def dated(paper: Paper) -> str:
    """The day a paper has: the first of its arXiv id's month, else of its year.

    >>> dated(Paper("x", "X", arxiv="2006.05467", year=2020)), dated(Paper("x", "X", year=2019))
    ('2020-06-01T00:00:00Z', '2019-01-01T00:00:00Z')
    >>> dated(Paper("x", "X", arxiv="cs/0112017")), dated(Paper("x", "X"))
    ('2001-12-01T00:00:00Z', '1970-01-01T00:00:00Z')
    """
    if paper.arxiv:
        number = paper.arxiv.rpartition("/")[2]
        year = (1900 if number[0] == "9" and "/" in paper.arxiv else 2000) + int(number[:2])
        return f"{year}-{number[2:4]}-01T00:00:00Z"
    return f"{paper.year or 1970}-01-01T00:00:00Z"


def verdicts(holdings: Holdings) -> list[Item]:
    """First verdicts and changed ones, newest first."""
    items = []
    for method_id, runs in holdings.history.items():
        method = holdings.methods[method_id]
        claims = {claim.id: claim for claim in method.claims}
        for before, run in changes(runs):
            if run.claim in claims:
                items.append(_verdict(method, claims[run.claim], before, run))
    return sorted(items, key=_newest, reverse=True)


def changes(runs: tuple[Result, ...]) -> Iterator[tuple[str | None, Result]]:
    """Runs after which a claim's word was another, with the word before; quick never beats full."""
    stands: dict[str, Result] = {}
    for run in sorted(runs, key=lambda each: each.date):
        last = stands.get(run.claim)
        if last is not None and run.quick and not last.quick:
            continue
        stands[run.claim] = run
        if last is None or last.verdict != run.verdict:
            yield (last.verdict if last else None), run


def _paper(paper: Paper) -> Item:
    about = ", ".join(x for x in (str(paper.year or ""), paper.venue or "") if x)
    away = f"https://arxiv.org/abs/{paper.arxiv}" if paper.arxiv else paper.url
    return Item(
        id=f"papers/{paper.id}",
        title=paper.title,
        date=dated(paper),
        link=f"papers/{paper.id}",
        said=paper.summary or paper.abstract or about or paper.title,
        authors=paper.authors,
        tags=tuple(sorted({tag.id for tag in paper.tags})),
        away=away,
    )


def _verdict(method: Method, claim: Claim, before: str | None, run: Result) -> Item:
    was = f" (was: {before})" if before else ""
    return Item(
        id=f"verdicts/{method.id}/{claim.id}/{run.date}",
        title=f"{method.name}, {claim.id}: {run.verdict}{was}",
        date=run.date.replace("+00:00", "Z") if "T" in run.date else f"{run.date}T00:00:00Z",
        link=f"methods/{method.id}",
        said=(
            f"{claim.statement} Reported: {claim.reported}. Expected here: {expected(claim)}. "
            f"Measured: {measured(run, claim.unit)}. Verdict: {run.verdict}."
        ),
        tags=(run.verdict, method.id),
    )


def _newest(item: Item) -> tuple[str, str]:
    return (item.date, item.id)
