"""What the types cannot say: ids resolve, words are of the vocabulary, places are right."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

from octavo.catalog import identity
from octavo.catalog.expectations import EXPECTATIONS, VERDICTS
from octavo.catalog.records import KINDS, STATUSES, Claim, Method, Paper, Result, Taxonomy, Trend
from octavo.catalog.schema import Page

_SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_KERNEL = re.compile(r"[a-z0-9]+(_[a-z0-9]+)*")
_ORIGIN = re.compile(r"curated|source:\S.*|model:[^:\s]+:(0(\.\d+)?|1(\.0+)?)")
_COLOUR = re.compile(r"#[0-9a-f]{6}")


def taxonomy(words: Taxonomy, page: Page) -> None:
    """Ids are slugs, a technique's theme exists, an accent is a colour."""
    for key, table in (("themes", words.themes), ("techniques", words.techniques)):
        for name in table:
            _slug(name, f"{key}.{name}", page)
    for theme in words.themes.values():
        if not _COLOUR.fullmatch(theme.accent):
            page.say(f"themes.{theme.id}.accent", f"{theme.accent!r}; expected #rrggbb, lower case")
    for each in words.techniques.values():
        _among(each.theme, words.themes, "theme", f"techniques.{each.id}.theme", page)
    for facet in words.facets.values():
        for name in (facet.id, *facet.values):
            _slug(name, f"facets.{facet.id}", page)


def paper(given: Paper, page: Page) -> None:
    """Facts of one paper are well formed."""
    _slug(given.id, "id", page)
    _one_of(given.kind, KINDS, "kind", page)
    _one_of(given.status, STATUSES, "status", page)
    if given.arxiv is not None and identity.arxiv_id(given.arxiv) != (given.arxiv, None):
        page.say("arxiv", f"{given.arxiv!r}; expected an arXiv id without version, as 2006.05467")
    if given.arxiv_version is not None and given.arxiv is None:
        page.say("arxiv_version", "a version of no arXiv id; give the id or leave both out")
    if given.doi is not None and identity.doi(given.doi) != given.doi:
        page.say("doi", f"{given.doi!r}; expected a DOI in lower case, as 10.1145/3447548.3467262")
    if given.year is not None and not 1900 <= given.year <= 2100:
        page.say("year", f"{given.year}; expected 1900 to 2100")
    for key, url in (("url", given.url), ("code", given.code)):
        _web(url, key, page)
    for at, tag in enumerate(given.tags):
        if not _ORIGIN.fullmatch(tag.origin):
            allowed = "curated, source:<list or feed>, model:<version>:<score>"
            page.say(f"tags[{at}].origin", f"{tag.origin!r}; allowed: {allowed}")


def shelves(given: Paper, words: Taxonomy, page: Page) -> None:
    """A tag set by us (curated or by a model) is a theme or technique of the taxonomy."""
    for at, tag in enumerate(given.tags):
        known = tag.id in words.themes or tag.id in words.techniques
        if not known and not tag.origin.startswith("source:"):
            page.say(f"tags[{at}].id", _unknown(tag.id, "theme or technique"))


def place(given: Paper, stem: str, last: str, known: Mapping[str, Paper], page: Page) -> None:
    """A paper stands in its year's file, sorted by id, once."""
    home = "unknown" if given.year is None else str(given.year)
    if stem != home:
        page.say("year", f"{given.id} belongs in papers/{home}.jsonl, not {stem}.jsonl")
    if given.id in known:
        page.say("id", f"{given.id!r} is already taken; ids are unique over all years")
    elif given.id < last:
        page.say("id", f"{given.id!r} stands after {last!r}; lines are sorted by id")


def method(given: Method, stem: str, words: Taxonomy, known: Collection[str], page: Page) -> None:
    """Everything a method refers to exists."""
    if given.id != stem:
        page.say("id", f"{given.id!r} in a file called {stem}.toml; they must be the same")
    _slug(given.id, "id", page)
    _among(given.theme, words.themes, "theme", "theme", page)
    if not given.papers:
        page.say("papers", "empty; a method has at least one paper")
    for at, name in enumerate(given.papers):
        _among(name, known, "paper", f"papers[{at}]", page)
    for at, name in enumerate(given.techniques):
        _among(name, words.techniques, "technique", f"techniques[{at}]", page)
    for name, values in given.facets.items():
        _facet(name, values, words, page)
    for at, name in enumerate(given.kernels):
        if not _KERNEL.fullmatch(name):
            page.say(f"kernels[{at}]", f"{name!r}; expected a folder of kernels/, as int4_matmul")
    _claims(given.claims, words, page)


def result(given: Result, stem: str, page: Page) -> None:
    """A line of the ledger stands in its method's file and has one of the three verdicts."""
    if given.method != stem:
        page.say("method", f"{given.method!r} in the ledger of {stem}")
    _one_of(given.verdict, VERDICTS, "verdict", page)


def shared_identities(papers: Iterable[Paper]) -> list[str]:
    """One line for each identity key that two papers claim."""
    owners: dict[str, str] = {}
    problems = []
    for each in papers:
        for key in sorted(identity.keys(each)):
            if (owner := owners.setdefault(key, each.id)) != each.id:
                problems.append(
                    f"catalog/papers/{each.year or 'unknown'}.jsonl:1: {each.id}: the same paper "
                    f"as {owner} ({key}); merge the two records"
                )
    return problems


def _facet(name: str, values: tuple[str, ...], words: Taxonomy, page: Page) -> None:
    facet = words.facets.get(name)
    if facet is None:
        page.say(f"facets.{name}", _unknown(name, "facet", words.facets))
        return
    for at, value in enumerate(values):
        if value not in facet.values:
            page.say(f"facets.{name}[{at}]", _unknown(value, f"value of {name}", facet.values))


def _claims(claims: tuple[Claim, ...], words: Taxonomy, page: Page) -> None:
    seen: set[str] = set()
    for at, claim in enumerate(claims):
        key = f"claims[{at}]"
        _slug(claim.id, f"{key}.id", page)
        if claim.id in seen:
            page.say(f"{key}.id", f"{claim.id!r} is already taken in this file")
        seen.add(claim.id)
        if claim.task is not None:
            _among(claim.task, words.tasks, "task", f"{key}.task", page)
        _wish(claim, key, page)
        if claim.trend:
            _wish(claim.trend, f"{key}.trend", page)


def _wish(wish: Claim | Trend, key: str, page: Page) -> None:
    _one_of(wish.expect, EXPECTATIONS, f"{key}.expect", page)
    if wish.tolerance < 0:
        page.say(f"{key}.tolerance", f"{wish.tolerance}; expected zero or more")


def _slug(name: str, key: str, page: Page) -> None:
    if not _SLUG.fullmatch(name):
        page.say(key, f"{name!r}; expected kebab-case, as stripe-pruning")


def _one_of(value: str, allowed: Iterable[str], key: str, page: Page) -> None:
    if value not in (words := tuple(allowed)):
        page.say(key, f"{value!r}; allowed: {', '.join(words)}")


def _among(name: str, known: Collection[str], what: str, key: str, page: Page) -> None:
    if name not in known:
        page.say(key, _unknown(name, what, known if len(known) < 60 else ()))


def _unknown(name: str, what: str, known: Collection[str] = ()) -> str:
    where = f"one of {', '.join(known)}" if known else "see catalog/"
    return f"unknown {what} {name!r}; {where}"


def _web(url: str | None, key: str, page: Page) -> None:
    if url is not None and not re.match(r"https?://[^\s/]+", url):
        page.say(key, f"{url!r}; expected an address that starts with https:// or http://")
