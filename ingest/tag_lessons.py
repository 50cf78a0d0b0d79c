"""What the tagger learns from: texts and the shelves they stand on.

The papers of the catalog (curated tags and those of the lists they came from), the stories of its
methods, the taxonomy's own words, the cues, and titles that stand on no shelf
(``catalog/unrelated.jsonl``, half "train", and cues beside words of other fields). Lists name the
shelf they are about and no other, so a technique that a paper's own words give away counts as its
tag, and a theme that they give away is left open: neither an example nor a counterexample.
"""

from __future__ import annotations

import json
import random
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from octavo import catalog
from octavo.catalog import Paper, Technique, Theme
from octavo.errors import InputError
from octavo.ingest.tag import told
from octavo.ingest.tag_features import cues, pairs, terms

HINT = 0.3  # weight of a cue as an example, beside 1 for a paper
AGAINST = 3.0  # weight of a title on no shelf
HALVES = ("train", "test")
OF_LISTS = "source:list:"  # origin of the tags that a public list gave
MADE = 3  # titles made of each word of another field
FORMS = (
    *("{cue} of {word}", "{word}: {cue}", "{cue} in {word}", "effects of {cue} on {word}"),
    *("{word} and {other}", "on the {cue} of {word} and {other}"),
)


@dataclass(frozen=True)
class Example:
    """A text and its shelves. ``open`` are shelves it may or may not stand on."""

    text: str
    tags: frozenset[str]
    group: str  # what must not be torn apart by cross-validation
    open: frozenset[str] = frozenset()
    weight: float = 1.0


def shelves(root: Path = catalog.ROOT) -> list[str]:
    """Every theme and technique. The theme "other" is learned as the absence of all others, too."""
    words = catalog.taxonomy(root)
    return list(dict.fromkeys([*words.themes, *words.techniques]))


def unrelated(half: str, root: Path = catalog.ROOT) -> list[dict[str, str]]:
    """Titles that must not be tagged: ``title``, and ``kind``, near (our words) or far.

    Raises InputError for a half that is neither train nor test.
    """
    if half not in HALVES:
        raise InputError(f"half {half!r}; halves are {', '.join(HALVES)}")
    lines = (root / "unrelated.jsonl").read_text(encoding="utf-8").splitlines()
    return [each for each in map(json.loads, lines) if each["half"] == half]


def of_papers(papers: Sequence[Paper], root: Path = catalog.ROOT) -> list[Example]:
    """Papers with people's tags: by title alone, and once more with what else is known of them."""
    techniques, hints = catalog.taxonomy(root).techniques, cues(root)
    made = []
    for paper in papers:
        tags = people_said(paper)
        for text in dict.fromkeys((paper.title, told(paper))) if tags else ():
            hinted = given_away(text, hints)
            below = {h for h in hinted if h in techniques and techniques[h].theme in tags}
            here = tags | below
            made.append(Example(text, here, group(paper), frozenset(hinted - here)))
    return made


def of_words(root: Path = catalog.ROOT) -> list[Example]:
    """The taxonomy's own words and the cues, each an example of its shelf and of its theme."""
    words, made = catalog.taxonomy(root), []
    themes = {name: each.theme for name, each in words.techniques.items()}
    every: list[Theme | Technique] = [*words.themes.values(), *words.techniques.values()]
    for each in every:
        tags = frozenset({each.id, themes.get(each.id, each.id)}) - {"other"}
        made.append(Example(f"{each.name}\n{each.description}", tags, "words", weight=HINT))
    for name, phrases in cues(root).items():
        tags = frozenset({name, themes.get(name, name)})
        made += [Example(phrase, tags, "words", weight=HINT) for phrase in phrases]
    return made


def of_methods(root: Path = catalog.ROOT) -> list[Example]:
    """The stories of the methods; each belongs to the group of its first paper."""
    papers, made = catalog.papers(root), []
    for method in catalog.methods(root).values():
        story = " ".join(filter(None, (method.problem, method.idea, method.takeaway)))
        home = group(papers[method.papers[0]]) if method.papers else method.id
        tags = frozenset({method.theme, *method.techniques})
        made.append(Example(f"{method.name}\n{story}", tags, home))
    return made


def of_unrelated(root: Path = catalog.ROOT) -> list[Example]:
    """Titles on no shelf, of the half that may be learned from."""
    return [
        Example(each["title"], frozenset(), f"unrelated:{each['title']}", weight=AGAINST)
        for each in unrelated("train", root)
    ]


def of_elsewhere(root: Path = catalog.ROOT) -> list[Example]:
    """Words of other fields with our cues beside them, MADE titles for each word; on no shelf."""
    table = tomllib.loads((root / "cues.toml").read_text(encoding="utf-8"))
    phrases = sorted({phrase for its in table["themes"].values() for phrase in its})
    chance, made = random.Random(0), []
    for words in table["elsewhere"].values():
        for word in words:
            for form in chance.sample(FORMS, MADE):
                other, phrase = chance.choice(words), chance.choice(phrases)
                text = form.format(cue=phrase, word=word, other=other)
                made.append(Example(text, frozenset(), f"elsewhere:{word}"))
    return made


def lesson(root: Path = catalog.ROOT) -> list[Example]:
    """All there is to learn from."""
    papers = of_papers(list(catalog.papers(root).values()), root)
    return [*papers, *of_methods(root), *of_words(root), *of_unrelated(root), *of_elsewhere(root)]


def group(paper: Paper) -> str:
    """What papers share that are one work under two titles: their first three content words.

    >>> group(Paper("a", "LCS: Learning Compressible Subspaces")) == group(
    ...     Paper("b", "LCS: learning compressible subspaces for networks"))
    True
    """
    return " ".join([word for word in terms(paper.title) if len(word) > 2][:3])


def given_away(text: str, hints: Mapping[str, tuple[str, ...]]) -> set[str]:
    """Shelves with a cue in this text."""
    found = terms(text)
    two = pairs(found)
    three = [f"{pair} {word}" for pair, word in zip(two, found[2:], strict=False)]
    here = {*found, *two, *three}
    return {name for name, phrases in hints.items() if not here.isdisjoint(phrases)}


def people_said(paper: Paper) -> frozenset[str]:
    """Tags of a paper that people gave, here or in a list."""
    return frozenset(tag.id for tag in paper.tags if not tag.origin.startswith("model:"))


def truth(papers: Sequence[Paper], names: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Which shelves people put papers on, (papers, shelves)."""
    return np.array([[name in people_said(paper) for name in names] for paper in papers])
