"""The reader's own model and data, named as PACKAGE.MODULE:ATTRIBUTE; data by its place, too."""

from __future__ import annotations

import ast
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any

from octavo.errors import InputError


def thing(name: str) -> Any:
    """What stands at `package.module:attribute`; a function or class there is called first.

    >>> thing("math:pi")
    3.141592653589793

    Raises:
        InputError: no such module or attribute.
    """
    module, _, attribute = name.partition(":")
    if not attribute:
        raise InputError(
            f"{name!r}: write PACKAGE.MODULE:ATTRIBUTE, as in torchvision.models:resnet18"
        )
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        value = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise InputError(f"{name!r}: {error}") from None
    makes = isinstance(value, type) or (callable(value) and hasattr(value, "__code__"))
    return value() if makes else value


def data(name: str) -> Any:
    """What stands at PACKAGE.MODULE:ATTRIBUTE, or a data set on disk, as in `cifar10:DIR`.

    Raises:
        InputError: no such thing, or files that are not what their form says.
    """
    from octavo.reference_impls.tasks import disk

    return disk.load(name) if disk.known(name) else thing(name)


def settings(pairs: Sequence[str]) -> dict[str, Any]:
    """`key=value` words as a dictionary; values are Python literals, or else text.

    >>> settings(["density=0.1", "grid=max", "ignored=('fc',)"])
    {'density': 0.1, 'grid': 'max', 'ignored': ('fc',)}
    """
    found = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals:
            raise InputError(f"--set {pair!r}: write key=value")
        try:
            found[key] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            found[key] = {"true": True, "false": False, "none": None}.get(text.lower(), text)
    return found
