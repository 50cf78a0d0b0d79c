"""Text to word pieces: BERT's uncased tokenizer, with every word it has met kept.

A text is cleaned, stripped of accents, lowered and split at spaces and punctuation; a word is split
greedily into the longest pieces of the vocabulary (Devlin et al. 2019, arXiv:1810.04805, and the
code its authors published). Words recur, so a word is split once: the rest is looking up.

A vocabulary is a file with a line a piece, whose number is the line's. That of the static encoder
is learnt from the texts it was trained on (`octavo train`); MiniLM's comes with its weights.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import cache
from itertools import chain
from pathlib import Path

VOCABULARY = Path(__file__).parent / "weights" / "vocabulary.txt"
UNKNOWN, MARK = "[UNK]", "##"  # MARK: of a piece that goes on with a word
LONGEST = 100  # characters of a word; a longer one is unknown
KEPT = 200_000  # words remembered, after which memory starts anew

_ASCII = re.compile(r"[a-z0-9]+|[!-/:-@\[-`{-~]")
_CJK = re.compile(
    "[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002a6df\U0002a700-\U0002ceaf"
    "\U0002f800-\U0002fa1f]"
)
_UNSEEN = re.compile(r"[^\t\n\r -~]+")  # control characters, where all is ASCII


class WordPiece(dict[str, tuple[int, ...]]):
    """Pieces of every word met so far; a word not met yet is split when it is looked up."""

    def __init__(self, vocabulary: Sequence[str]) -> None:
        super().__init__()
        self._numbers = {piece: number for number, piece in enumerate(vocabulary)}
        self._unknown = (self._numbers[UNKNOWN],)

    @property
    def size(self) -> int:
        """Pieces of the vocabulary."""
        return len(self._numbers)

    def number(self, piece: str) -> int:
        """The number of a piece of the vocabulary."""
        return self._numbers[piece]

    def pieces(self, text: str) -> list[int]:
        """Numbers of the pieces of a text."""
        if len(self) > KEPT:
            self.clear()
        return list(chain.from_iterable(map(self.__getitem__, words(text))))

    def __missing__(self, word: str) -> tuple[int, ...]:
        self[word] = found = self._split(word)
        return found

    def _split(self, word: str) -> tuple[int, ...]:
        found, start = [], 0
        while start < len(word) <= LONGEST:
            ends = range(len(word), start, -1)
            mark = MARK if start else ""
            end = next((e for e in ends if mark + word[start:e] in self._numbers), None)
            if end is None:
                return self._unknown
            found.append(self._numbers[mark + word[start:end]])
            start = end
        return tuple(found) or self._unknown


def words(text: str) -> list[str]:
    r"""The words of a text, each punctuation mark and each Chinese character one of them.

    >>> words("Naïve 4-bit\tQuantization!")
    ['naive', '4', '-', 'bit', 'quantization', '!']
    """
    if text.isascii():
        plain = text if text.isprintable() else _UNSEEN.sub("", text)
        return _ASCII.findall(plain.lower())
    return list(chain.from_iterable(_apart(word) for word in _clean(text).split(" ") if word))


@cache
def wordpiece(vocabulary: Path = VOCABULARY) -> WordPiece:
    """The tokenizer with a vocabulary, by default the static encoder's."""
    return WordPiece(vocabulary.read_text(encoding="utf-8").splitlines())


def _clean(text: str) -> str:
    seen = "".join(" " if c.isspace() else c for c in text if c in "\t\n\r" or _is_seen(c))
    bare = unicodedata.normalize("NFD", _CJK.sub(r" \g<0> ", seen))
    return "".join(c.lower() for c in bare if unicodedata.category(c) != "Mn")


def _is_seen(character: str) -> bool:
    return unicodedata.category(character)[0] != "C" and character != "\ufffd"


def _apart(word: str) -> list[str]:
    parts, plain = [], ""
    for character in word:
        if _is_mark(character):
            parts += [plain, character]
            plain = ""
        else:
            plain += character
    return [part for part in (*parts, plain) if part]


def _is_mark(character: str) -> bool:
    if character.isascii():
        return not character.isalnum()
    return unicodedata.category(character)[0] == "P"
