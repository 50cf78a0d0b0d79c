"""A digest as Markdown, for a mail, a post or a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from octavo.catalog import Theme
from octavo.ingest.digest import Digest, Pick


def markdown(digest: Digest, themes: Mapping[str, Theme]) -> str:
    """The whole digest."""
    about = f" on {themes[digest.theme].name.lower()}" if digest.theme else ""
    head = f"# Week {digest.week}{about}\n\n{digest.first} to {digest.last}: {count(digest)}.\n"
    parts = [head]
    for theme, picks in digest.by_theme.items():
        parts.append(f"\n## {themes[theme].name}\n")
        parts += [f"\n{text}" for pick in picks for text in _pick(pick)]
    return "".join(parts) + f"\n*{digest.note[:1].upper()}{digest.note[1:]}.*\n"


def count(digest: Digest) -> str:
    """How much there is, in words."""
    picks = len(digest.picks)
    return f"{picks or 'no'} new {'paper' if picks == 1 else 'papers'}"


def _pick(pick: Pick) -> Iterator[str]:
    title = f"[{plain(pick.title)}]({pick.url})" if pick.url else plain(pick.title)
    yield f"### {title}\n\nPicked because: {plain(pick.why)}.\n"
    for quote in pick.summary:
        yield f"> {quote.part.capitalize()}: “{plain(quote.sentence)}” (the authors, abstract)\n"
    if pick.no_summary:
        yield f"Not quoted: {pick.no_summary}.\n"
    for method in pick.methods:
        runs = f": `{method.command}`" if method.command else ", not implemented yet"
        yield f"- Near it: {plain(method.name)} ({method.cosine:.2f}){runs}\n"


def plain(text: str) -> str:
    r"""A text whose signs Markdown does not read.

    >>> plain("the *best* [of] 2")
    'the \\*best\\* \\[of\\] 2'
    """
    return "".join(f"\\{sign}" if sign in "\\`*_[]<>#|" else sign for sign in text)
