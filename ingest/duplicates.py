"""Records that look like one paper though nothing names them so: an edited title, a preprint.

Identity (`catalog.identity`) merges what shares an id, or a title with its first author. What is
left is shown to people, never merged: titles alike to 90 % of their letters, or one inside the
other, and authors, years and ids that do not speak against it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

from octavo.catalog import Paper, identity

ALIKE = 90.0  # of 100, of the titles' letters with their words in order of the alphabet
WHOLE = 95.0  # where authors are not known on both sides
COMMON = 60  # a word that begins more buckets than this is shared by chance
YEARS = 2  # between a preprint and its venue
RARE = 3  # words of a title under which it is looked for
INSIDE = 4  # words that a title needs to be found inside a longer one


@dataclass(frozen=True)
class Pair:
    """Two papers that may be one. ``score`` is how alike the titles are, of 100."""

    one: str
    other: str
    kind: str  # "same title", "edited title", or "preprint and venue"
    score: float


def near_duplicates(papers: Iterable[Paper]) -> list[Pair]:
    """Every pair, the most alike first.

    >>> a = Paper("a", "Pruning by Synaptic Flow", ("H. Tanaka",), year=2020, arxiv="2006.05467")
    >>> b = Paper("b", "Pruning by Synaptic Flows", ("Hidenori Tanaka",), year=2021, doi="10.1/x")
    >>> near_duplicates([a, b])
    [Pair(one='a', other='b', kind='preprint and venue', score=98.0)]
    """
    known = {paper.id: paper for paper in papers}
    titles = {own: identity.normalise_title(paper.title) for own, paper in known.items()}
    numbers = {own: _numbers(title) for own, title in titles.items()}
    alike = ((a, b) for a, b in _candidates(titles) if numbers[a] == numbers[b])
    pairs = (_judged(known[a], known[b], titles) for a, b in alike)
    return sorted((p for p in pairs if p), key=lambda pair: (-pair.score, pair.one, pair.other))


def of_each(pairs: Iterable[Pair]) -> dict[str, list[tuple[str, Pair]]]:
    """The other paper and the pair, for each paper that is in one."""
    found: dict[str, list[tuple[str, Pair]]] = defaultdict(list)
    for pair in pairs:
        found[pair.one].append((pair.other, pair))
        found[pair.other].append((pair.one, pair))
    return dict(found)


def _candidates(titles: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Pairs of ids whose titles share one of their rarest words; each pair once."""
    seen: set[tuple[str, str]] = set()
    counts = Counter(word for title in titles.values() for word in set(title.split()))
    buckets: dict[str, list[str]] = defaultdict(list)
    for own, title in titles.items():
        for word in sorted(set(title.split()), key=lambda w: (counts[w], w))[:RARE]:
            buckets[word].append(own)
    for word in sorted(buckets):
        if len(buckets[word]) <= COMMON:
            for pair in combinations(sorted(buckets[word]), 2):
                if pair not in seen:
                    seen.add(pair)
                    yield pair


def _judged(one: Paper, other: Paper, titles: Mapping[str, str]) -> Pair | None:
    from rapidfuzz import fuzz

    a, b = titles[one.id], titles[other.id]
    if _far_apart(one, other):
        return None
    shared = _share_an_author(one, other)
    if shared is False:
        return None
    least = ALIKE if shared else WHOLE
    score = fuzz.token_sort_ratio(a, b, score_cutoff=least)
    inside = shared and min(len(a.split()), len(b.split())) >= INSIDE
    if score < least and inside and fuzz.token_set_ratio(a, b) == 100:
        score = least
    return Pair(one.id, other.id, _kind(one, other, a == b), round(score, 1)) if score else None


def _numbers(title: str) -> frozenset[str]:
    """Words with digits: YOLOv3 and YOLOv4, part 1 and part 2 are two papers each."""
    return frozenset(word for word in title.split() if any(c.isdigit() for c in word))


def _far_apart(one: Paper, other: Paper) -> bool:
    return bool(one.year and other.year and abs(one.year - other.year) > YEARS)


def _share_an_author(one: Paper, other: Paper) -> bool | None:
    """Whether some surname is on both; None where a side has no authors."""
    if not one.authors or not other.authors:
        return None
    mine, theirs = ({identity.surname(a) for a in each.authors} for each in (one, other))
    return bool(mine & theirs)


def _kind(one: Paper, other: Paper, same: bool) -> str:
    ids = [bool(each.arxiv) for each in (one, other)]
    if ids[0] != ids[1] and any(each.doi or each.openreview or each.venue for each in (one, other)):
        return "preprint and venue"
    return "same title" if same else "edited title"
