"""The one error a reader of Octavo meets: what came, what is allowed, what to do."""


class InputError(ValueError):
    """Input that cannot be taken. The message is one line and complete by itself.

    >>> raise InputError("int4_matmul: group=48 does not divide in=4096; use 32, 64 or 128")
    Traceback (most recent call last):
    ...
    octavo.errors.InputError: int4_matmul: group=48 does not divide in=4096; use 32, 64 or 128
    """


class NothingNew(Exception):
    """A run that found nothing it did not already have (exit status 3)."""
