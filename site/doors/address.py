"""Where the site will stand, and names of things that hold wherever it stands."""

from __future__ import annotations

import os
import uuid

HERE = "http://127.0.0.1:8000/"  # what `octavo site serve` answers to


def base() -> str:
    """The site's address with a slash at its end: OCTAVO_SITE_URL, else the local server's."""
    given = os.environ.get("OCTAVO_SITE_URL", "").strip()
    return given.rstrip("/") + "/" if given else HERE


def file(path: str) -> str:
    """The address of a file, by its path from the root of the site."""
    return base() + path


def page(path: str) -> str:
    """The address of a page, by its path without slashes at the ends ("" is the home)."""
    return base() + (f"{path}/" if path else "")


def urn(what: str) -> str:
    """A name that stays when the site moves.

    >>> urn("papers/synflow")
    'urn:uuid:065eea44-c7ac-5c0b-b0ef-aeaba136730c'
    """
    return f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, 'octavo/' + what)}"
