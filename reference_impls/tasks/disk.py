"""The reader's data sets by a short name: `cifar10:DIR`, `images:DIR?side=64`, `glue:FILE`.

After a question mark stand settings of the loader, `key=value` with `&` between.

| form           | what it reads                                               |
| -------------- | ----------------------------------------------------------- |
| cifar10:DIR    | CIFAR-10 in the Python or the binary form                    |
| cifar100:DIR   | CIFAR-100 likewise                                          |
| images:DIR     | a folder of images for each class, as ImageNet is laid out  |
| glue:FILE      | a tab-separated file as GLUE has them                       |
| datasets:NAME  | what the package `datasets` loads, if it is installed       |
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from octavo.errors import InputError
from octavo.reference_impls.tasks import cifar, folders, glue, hub
from octavo.reference_impls.tasks.walk import Walk

FORMS: dict[str, Callable[..., Walk]] = {
    "cifar10": partial(cifar.walk, classes=10),
    "cifar100": partial(cifar.walk, classes=100),
    "images": folders.walk,
    "glue": glue.walk,
    "datasets": hub.walk,
}


def known(name: str) -> bool:
    """Whether a name is of one of the forms."""
    return name.partition(":")[0] in FORMS


def load(name: str) -> Walk:
    """Batches of a data set on the reader's disk.

    Raises:
        InputError: a setting that the form does not have, or what its loader says of the files.
    """
    form, _, rest = name.partition(":")
    where, _, words = rest.partition("?")
    if not where:
        raise InputError(f"{name!r}: write what to read after the colon, as in {form}:DIR")
    return FORMS[form](where, **_settings(form, words))


def _settings(form: str, words: str) -> dict[str, Any]:
    """`key=value` words with the types that the loader's own defaults have."""
    parameters = inspect.signature(FORMS[form]).parameters.values()
    allowed = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
    allowed.pop("classes", None)
    found: dict[str, Any] = {}
    for word in filter(None, words.split("&")):
        key, _, text = word.partition("=")
        if key not in allowed:
            raise InputError(f"{form} has no setting {key!r}; it has: {', '.join(allowed)}")
        if isinstance(allowed[key], int) and not text.isdecimal():
            raise InputError(f"{form}: {key}={text!r}; a whole number is wanted")
        found[key] = int(text) if isinstance(allowed[key], int) else text
    return found
