"""What the reader sets, held against what is allowed: the same line for every method.

>>> one_of("scope", "row", ("global", "layer"))
Traceback (most recent call last):
octavo.errors.InputError: scope='row'; allowed are 'global', 'layer'
>>> share("density", 0.0)
Traceback (most recent call last):
octavo.errors.InputError: density=0.0: allowed is 0 < density <= 1; 0.1 keeps a tenth
"""

from __future__ import annotations

from collections.abc import Iterable

from octavo.errors import InputError


def one_of(name: str, given: str, allowed: Iterable[str]) -> None:
    """A setting that is a word.

    Raises:
        InputError: it is none of those allowed; they are named.
    """
    words = list(allowed)
    if given not in words:
        raise InputError(f"{name}={given!r}; allowed are {', '.join(map(repr, words))}")


def share(name: str, given: float) -> None:
    """A setting that says which share stays.

    Raises:
        InputError: it is not above 0 and at most 1.
    """
    if not 0 < given <= 1:
        raise InputError(f"{name}={given}: allowed is 0 < {name} <= 1; 0.1 keeps a tenth")
