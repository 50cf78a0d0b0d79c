"""Three sentences of an abstract that say problem, idea and result: the authors' own, as written.

Each sentence is held against the phrases with which authors introduce these parts, and against
where in an abstract they usually stand. Nothing is generated; a part that no sentence speaks of
is left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

PARTS = ("problem", "idea", "result")
FEWEST = 20  # characters of a sentence worth quoting


@dataclass(frozen=True)
class Quote:
    """A sentence of an abstract, word for word, and what it says."""

    part: str
    sentence: str


def sentences(text: str) -> list[str]:
    """A text cut into sentences, each a piece of it exactly.

    >>> sentences("Pruning helps, e.g. on BERT. We prune 2.5 times more. See Fig. 3 for it.")
    ['Pruning helps, e.g. on BERT.', 'We prune 2.5 times more.', 'See Fig. 3 for it.']
    """
    flat = " ".join(text.split())
    breaks = (
        m for m in _END.finditer(flat) if not _SHORT.search(flat[max(0, m.start() - 9) : m.start()])
    )
    starts = [0, *(found.end() for found in breaks)]
    ends = [*starts[1:], len(flat)]
    cut = (flat[start:end].strip() for start, end in zip(starts, ends, strict=True))
    return [sentence for sentence in cut if sentence]


def quotes(abstract: str | None) -> list[Quote]:
    """At most three sentences, one for each part, in the abstract's order.

    >>> [quote.part for quote in quotes(
    ...     "Large models are too slow for phones. We propose to prune them. "
    ...     "Experiments show 3x fewer parameters at the same accuracy.")]
    ['problem', 'idea', 'result']
    """
    told = [each for each in sentences(abstract or "") if len(each) >= FEWEST]
    taken: dict[int, str] = {}
    for part in ("idea", "result", "problem"):  # the surest phrases first
        rest = (at for at in range(len(told)) if at not in taken)
        worth = {at: _worth(told[at], part, at, len(told)) for at in rest}
        best = max(worth, key=lambda at: (worth[at], -at), default=None)
        if best is not None and worth[best] >= 1:
            taken[best] = part
    return [Quote(taken[at], told[at]) for at in sorted(taken)]


def _worth(sentence: str, part: str, at: int, count: int) -> float:
    """Phrases of a part that a sentence has, and up to 1/2 for standing where the part does."""
    place = at / max(count - 1, 1)
    where = {"problem": 1 - place, "idea": 1 - 2 * abs(place - 0.4), "result": place}[part]
    return len({m.lower() for m in _SAYS[part].findall(sentence)}) + where / 2


_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[\"'(\[]?[A-Z0-9$\\])")
_SHORT = re.compile(r"\b(e\.g|i\.e|et al|cf|vs|Fig|Eq|Sec|Tab|No|resp|approx|w\.r\.t|[A-Z])\.$")
_SAYS = {
    "problem": re.compile(
        r"\b(however|but|challeng\w+|difficult\w*|expensive|costly|limit\w*|suffer\w*|bottleneck|"
        r"prohibitiv\w*|hinder\w*|too (?:slow|large|big)|lack\w*|problem|remains?|require[sd]?|"
        r"unfortunately|despite|huge|degrad\w+|impractical|constrain\w*)\b",
        re.IGNORECASE,
    ),
    "idea": re.compile(
        r"\b(we (?:propose|present|introduce|develop|describe|design|suggest|explore|study|show how"
        r"|investigate|apply|perform)|in this (?:paper|work|study)|this (?:paper|work) \w+|"
        r"is proposed|our (?:method|approach|idea|framework|algorithm)|novel|new method)\b",
        re.IGNORECASE,
    ),
    "result": re.compile(
        r"(\b(?:experiment\w*|results?|outperform\w*|achiev\w+|demonstrat\w+|show(?:s|n)? that|"
        r"state[- ]of[- ]the[- ]art|improv\w+|reduc\w+ \w+ by|accuracy|speed-?up|faster|without "
        r"(?:any )?loss)\b|\d+(?:\.\d+)?\s?(?:%|x\b|×|times\b))",
        re.IGNORECASE,
    ),
}
