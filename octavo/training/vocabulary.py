"""The pieces of the static encoder: a WordPiece vocabulary of the training texts themselves.

What the field says often (quantization, sparsity, teacher) becomes one piece, with one vector.
"""

from __future__ import annotations

from collections.abc import Iterable

from octavo.ingest.wordpiece import MARK, UNKNOWN, words

SIZE = 20_000
LEAST = 2  # times that a pair must be met to become one piece
LETTERS = 256  # single characters kept, the most frequent


def learn(texts: Iterable[str], size: int = SIZE) -> list[str]:
    """At most `size` pieces, the one for what is unknown first (Schuster and Nakajima, 2012)."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.WordPiece(unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.WordPieceTrainer(
        vocab_size=size,
        min_frequency=LEAST,
        special_tokens=[UNKNOWN],
        limit_alphabet=LETTERS,
        continuing_subword_prefix=MARK,
        show_progress=False,
    )
    tokenizer.train_from_iterator((" ".join(words(text)) for text in texts), trainer)
    found = tokenizer.get_vocab()
    return sorted(found, key=found.__getitem__)
