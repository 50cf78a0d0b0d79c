"""What the tagger sees of a paper: words, pieces of words, phrases that give a shelf away, meaning.

Four blocks side by side, each linear in the text, so that a text costs a few look-ups a word:

=========  =====================================================================================
words      single words and pairs, 1 + log count times rarity, of unit length
pieces     a word as the unit vector of its runs of 3 to 5 characters, words weighted by rarity:
           "dequantizing" is near "quantization" though nobody has seen it
cues       1 for each shelf with a phrase of ``catalog/cues.toml`` in the title, BODY in the rest
meaning    the static encoder's vector, where there is one
=========  =====================================================================================

A title and what follows it are read apart and added, the title with weight TITLE.
"""

from __future__ import annotations

import math
import re
import tomllib
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from octavo import catalog
from octavo.errors import InputError

Matrix = Any  # scipy.sparse.csr_matrix, (texts, features); its package carries no types

TITLE = 0.6  # of a text that has more than a title; the rest weighs 1 - TITLE
CUED = 0.5  # a cue in the title; half of it for one in the rest
BODY = 0.5
PIECE = (3, 4, 5)  # characters
CUE_WORDS = 3  # of the longest cue
CHARACTERS = 4000  # of a text that are read


@dataclass(frozen=True)
class Vocabulary:
    """What was seen in training: rarity of words and pairs, and of pieces; cues by phrase."""

    words: Mapping[str, float]  # inverse document frequency, in the order of the columns
    pieces: Mapping[str, float]
    cues: Mapping[str, tuple[int, ...]]  # phrase -> columns of the cue block
    shelves: int  # columns of the cue block

    @cached_property
    def word_at(self) -> dict[str, int]:
        """Column of each word and pair."""
        return {word: at for at, word in enumerate(self.words)}

    @cached_property
    def piece_at(self) -> dict[str, int]:
        """Column of each piece."""
        return {piece: at for at, piece in enumerate(self.pieces)}

    @cached_property
    def rarest(self) -> float:
        """Weight of a word that was never seen."""
        return max(self.words.values(), default=1.0)


def terms(text: str) -> list[str]:
    """Words and numbers of a text, lower case, in the singular, accents off.

    >>> terms("Post-Training 4bit Quantization of W4A8 Networks: naïve losses")
    ['post', 'training', '4', 'bit', 'quantization', 'of', 'w4a8', 'network', 'naive', 'losse']
    """
    plain = text[:CHARACTERS]
    if not plain.isascii():
        plain = unicodedata.normalize("NFKD", plain).encode("ascii", "ignore").decode()
    return [
        word[:-1] if len(word) > 3 and word[-1] == "s" and word[-2] not in "sui" else word
        for word in _TERM.findall(plain.lower())
    ]


def pairs(found: Sequence[str]) -> list[str]:
    """Neighbours, two by two.

    >>> pairs(["low", "rank", "adaptation"])
    ['low rank', 'rank adaptation']
    """
    return [f"{one} {other}" for one, other in pairwise(found)]


def pieces(word: str) -> list[str]:
    """Runs of 3 to 5 characters of a word between its edges.

    >>> pieces("bit")
    [' bi', 'bit', 'it ', ' bit', 'bit ', ' bit ']
    """
    edged = f" {word} "
    return [edged[at : at + n] for n in PIECE for at in range(len(edged) - n + 1)]


def cues(root: Path = catalog.ROOT) -> dict[str, tuple[str, ...]]:
    """Phrases by theme and technique. Raises InputError for a shelf that does not exist."""
    text = (root / "cues.toml").read_text(encoding="utf-8")
    words, told = catalog.taxonomy(root), tomllib.loads(text)
    for kind, known in (("themes", words.themes), ("techniques", words.techniques)):
        for name in told.get(kind, {}).keys() - known.keys():
            raise InputError(f"cues.toml: {kind}.{name}: no such shelf; see taxonomy.toml")
    found: dict[str, tuple[str, ...]] = {}
    for name, given in chain(told["themes"].items(), told["techniques"].items()):
        found[name] = (*found.get(name, ()), *(" ".join(terms(phrase)) for phrase in given))
    return found


def vocabulary(texts: Iterable[str], shelves: Sequence[str], root: Path) -> Vocabulary:
    """What these texts hold more than once or twice, and the cues of these shelves."""
    seen = [terms(text) for text in texts]
    words = Counter(chain.from_iterable({*found, *pairs(found)} for found in seen))
    kinds = {word for found in seen for word in found}
    runs = Counter(chain.from_iterable(set(pieces(word)) for word in kinds))
    phrases: dict[str, tuple[int, ...]] = {}
    for name, its in cues(root).items():
        for phrase in its if name in shelves else ():
            phrases[phrase] = (*phrases.get(phrase, ()), shelves.index(name))
    return Vocabulary(
        _rarity(words, len(seen), 2), _rarity(runs, len(kinds), 3), phrases, len(shelves)
    )


def features(texts: Sequence[str], known: Vocabulary) -> Matrix:
    """Words, pieces and cues of texts. A text is a title, a line break, and what follows it."""
    split = [text.partition("\n")[::2] for text in texts]
    titles = _lexical([title for title, _ in split], known)
    if not any(rest for _, rest in split):
        return titles
    share = np.array([1.0 if not rest else TITLE for _, rest in split])
    rests = _lexical([rest for _, rest in split], known)
    whole = sparse.diags(share) @ titles + sparse.diags(1 - share) @ rests
    at = titles.shape[1] - known.shelves  # cues are not thinned: one found in the title counts 1
    cued = titles[:, at:].maximum(BODY * rests[:, at:])
    return sparse.hstack([whole[:, :at], cued], format="csr")


def _lexical(texts: Sequence[str], known: Vocabulary) -> Matrix:
    found = [terms(text) for text in texts]
    return sparse.hstack(
        [_words(found, known), _pieces(found, known), _cues(found, known)], format="csr"
    )


def _words(found: Sequence[Sequence[str]], known: Vocabulary) -> Matrix:
    at, rarity = known.word_at, np.array(list(known.words.values()))
    counted = [
        Counter(at[word] for word in chain(each, pairs(each)) if word in at) for each in found
    ]
    rows = _sparse(counted, len(at))
    rows.data = (1 + np.log(rows.data)) * rarity[rows.indices]
    return _unit(rows)


def _pieces(found: Sequence[Sequence[str]], known: Vocabulary) -> Matrix:
    kinds = sorted({word for each in found for word in each})
    column = {word: at for at, word in enumerate(kinds)}
    at, rarity = known.piece_at, np.array(list(known.pieces.values()))
    spelled = _sparse([Counter(at[p] for p in pieces(w) if p in at) for w in kinds], len(at))
    spelled.data = spelled.data * rarity[spelled.indices]
    used = _sparse([Counter({column[word]: 1 for word in set(each)}) for each in found], len(kinds))
    weights = np.array([known.words.get(word, known.rarest) for word in kinds])
    used.data = used.data * weights[used.indices] if kinds else used.data
    return _unit(used) @ _unit(spelled)


def _cues(found: Sequence[Sequence[str]], known: Vocabulary) -> Matrix:
    return _sparse([dict.fromkeys(_cued(each, known.cues), CUED) for each in found], known.shelves)


def _cued(found: Sequence[str], phrases: Mapping[str, tuple[int, ...]]) -> set[int]:
    two = pairs(found)
    three = (f"{pair} {word}" for pair, word in zip(two, found[2:], strict=False))
    here = {*found, *two, *three}.intersection(phrases)
    return {at for phrase in here for at in phrases[phrase]}


def _sparse(rows: Sequence[Mapping[int, float]], width: int) -> Matrix:
    ends = np.cumsum([0, *(len(row) for row in rows)])
    columns = np.fromiter(chain.from_iterable(rows), np.int32, ends[-1])
    values = np.fromiter(chain.from_iterable(row.values() for row in rows), np.float64, ends[-1])
    return sparse.csr_matrix((values, columns, ends), shape=(len(rows), width))


def _unit(rows: Matrix) -> Matrix:
    length = np.sqrt(np.asarray(rows.multiply(rows).sum(axis=1)).ravel())
    return sparse.diags(1 / np.maximum(length, 1e-12)) @ rows


def _rarity(counted: Counter[str], texts: int, fewest: int) -> dict[str, float]:
    often = sorted(each for each, count in counted.items() if count >= fewest)
    return {each: math.log((1 + texts) / (1 + counted[each])) + 1 for each in often}


_TERM = re.compile(r"[a-z][a-z\d]*|\d+")
