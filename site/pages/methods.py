"""Methods: an index, and the page on which a paper becomes code, a kernel and a measured number."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from octavo.catalog import Method
from octavo.site import ledger, plots, prose, source
from octavo.site.doors import address
from octavo.site.formulas import mathml
from octavo.site.holdings import Holdings
from octavo.site.markup import (
    Page,
    command,
    facts,
    inline,
    link,
    paragraphs,
    plural,
    root,
    safe_id,
    section,
    table,
    text,
)
from octavo.site.pages import papers as paper_pages

NOT_YET = '<span class="quiet">not implemented yet</span>'


def pages(holdings: Holdings) -> Iterator[Page]:
    """The index, then a page for each method."""
    yield index(holdings)
    for method in holdings.methods.values():
        yield one(method, holdings)


def index(holdings: Holdings) -> Page:
    """All methods by theme: first what runs, then what is described."""
    count = plural(len(holdings.methods), "method")
    body = (
        f'<header class="head"><h1>Methods</h1><p class="lead">{count}, '
        f"{len(holdings.implemented)} of them run here on your own model. "
        f"{link('../facets/', 'Compare them by facet')}.</p></header>"
    )
    for theme in holdings.taxonomy.themes.values():
        mine = [m for m in holdings.methods.values() if m.theme == theme.id]
        if mine:
            title = link(f"../themes/{theme.id}/", theme.name)
            body += (
                f'<section class="theme-{theme.id} accented" id="{theme.id}"><h2>{title}</h2>'
                f"{method_list(mine, holdings, 'methods')}</section>"
            )
    return Page("methods", "Methods", body, f"{count}, by theme.", section="methods")


def method_list(methods: list[Method], holdings: Holdings, here: str, state: bool = True) -> str:
    """Methods as rows: name, whether it runs (with ``state``), first sentence of the idea."""
    up = root(here)
    ordered = sorted(methods, key=lambda m: (m.id not in holdings.implemented, m.name.lower()))
    rows = "".join(
        f"<li><div>{link(f'{up}methods/{m.id}/', m.name)}"
        f" {_state(m, holdings) if state else ''}</div>"
        f"<p>{inline(first_sentence(m.idea))}</p></li>"
        for m in ordered
    )
    return f'<ul class="methods">{rows}</ul>'


def _state(method: Method, holdings: Holdings) -> str:
    if method.id not in holdings.implemented:
        return NOT_YET
    runs = holdings.latest.get(method.id, {})
    held = sum(run.verdict == "holds" for run in runs.values())
    if not runs:
        return '<span class="mark runs">runs here</span>'
    counted = f"{held} of {plural(len(method.claims), 'claim')} hold"
    return f'<span class="mark runs">runs here · {counted}</span>'


def first_sentence(said: str | None) -> str:
    """The first sentence of a text, or nothing.

    >>> first_sentence("Score a weight. Repeat.")
    'Score a weight.'
    """
    flat = " ".join((said or "").split())
    head, stop, _ = flat.partition(". ")
    return head + "." if stop else flat


def one(method: Method, holdings: Holdings) -> Page:
    """The page of one method."""
    path = f"methods/{safe_id(method.id)}"
    up = root(path)
    module = holdings.module(method.id)
    theme = holdings.taxonomy.themes.get(method.theme)
    body = (
        _head(method, holdings, up, module)
        + '<div class="split"><div class="text" data-pagefind-weight="2">'
        + _texts(method)
        + '</div><aside class="margin">'
        + facts(_facts(method, holdings, up))
        + "</aside></div>"
        + section("Formulas", _formulas(method), "formulas", "formulas")
        + section("The code", _code(module), "code", "code")
        + section("Claims", _claims(method, holdings), "claims", "ledger")
        + section("Plots", _plots(method, holdings), "plots", "plots")
        + section("Where our code differs", _differs(method), "differs", "narrow")
        + section("Papers", _papers(method, holdings, path), "papers", "narrow")
    )
    filters = [("kind", "Method"), *([("theme", theme.name)] if theme else [])]
    filters += [("state", "runs here" if module else "described")]
    about = first_sentence(method.idea) or method.name
    named = (theme.name if theme else "") + (", runs here" if module else "")
    meta = {"kind": "Method", "about": named, "gist": about}
    return Page(path, method.name, body, about, method.theme, "methods", meta, filters, True)


def _head(method: Method, holdings: Holdings, up: str, module: Path | None) -> str:
    theme = holdings.taxonomy.themes.get(method.theme)
    kicker = link(f"{up}methods/", "Method") + (
        f" · {link(f'{up}themes/{theme.id}/', theme.name)}" if theme else ""
    )
    papers = [holdings.papers[p].title for p in method.papers if p in holdings.papers]
    named = f'<p class="authors">{text("; ".join(papers))}</p>' if papers else ""
    if module is None:
        run = '<p class="notice"><b>Not implemented yet.</b> The record below describes it.</p>'
    else:
        run = command(f"octavo run {method.id}")
    return (
        f'<header class="head"><p class="kicker" data-pagefind-ignore>{kicker}</p>'
        f"<h1>{text(method.name)}</h1>"
        f"{named}{run}</header>"
    )


def _texts(method: Method) -> str:
    parts = [
        ("Problem", method.problem),
        ("Idea", method.idea),
        ("Result", method.result),
        ("Takeaway", method.takeaway),
    ]
    made = "".join(section(t, paragraphs(said), t.lower()) for t, said in parts if said)
    return made or '<p class="quiet">The four texts are not written yet.</p>'


def _facts(method: Method, holdings: Holdings, up: str) -> list[tuple[str, str]]:
    vocabulary = holdings.taxonomy
    techniques = [
        link(f"{up}techniques/{t}/", vocabulary.techniques[t].name)
        if t in vocabulary.techniques
        else text(t)
        for t in method.techniques
    ]
    kernels = [
        link(f"{up}kernels/{k}/", k) if k in holdings.kernels else f"<code>{text(k)}</code>"
        for k in method.kernels
    ]
    rows = [("Techniques", ", ".join(techniques)), ("Kernels", ", ".join(kernels))]
    for facet, values in method.facets.items():
        known = vocabulary.facets.get(facet)
        names = [
            f'<a href="{up}facets/#{text(facet)}-{text(v)}">{text(v.replace("-", " "))}</a>'
            for v in values
        ]
        rows.append((known.name if known else facet, ", ".join(names)))
    return rows


def _formulas(method: Method) -> str:
    return "".join(
        f'<figure class="formula"><div class="scroll" tabindex="0">{mathml(f.latex)}</div>'
        f"<figcaption>{inline(f.caption)}</figcaption></figure>"
        for f in method.formulas
    )


def _code(module: Path | None) -> str:
    if module is None:
        return ""
    said = module.read_text(encoding="utf-8")
    opening = prose.docstring(ast.get_docstring(ast.parse(said)))
    whole = f'<p class="quiet">The file itself: {link(module.name, module.name)}</p>'
    intro = f'<div class="opening"><p class="lead">{inline(opening.title)}</p>{opening.body}</div>'
    return intro + annotated(said) + whole


def annotated(said: str) -> str:
    """Rows of note and code; on a narrow screen the note stands above its code."""
    made = []
    for row in source.rows(said):
        note = prose.render(row.note) if row.is_docstring else paragraphs(row.note)
        number = f'<span class="line-no" aria-hidden="true">{row.first_line}</span>'
        code = source.highlight(row.code, "python")
        made.append(
            f'<div class="row"><div class="note">{note}</div>'
            f'<div class="src">{number}{code}</div></div>'
        )
    return f'<div class="annotated" data-pagefind-ignore>{"".join(made)}</div>'


def _claims(method: Method, holdings: Holdings) -> str:
    runs = holdings.latest.get(method.id, {})
    if not method.claims:
        return ""
    below = ledger.provenance(method, holdings)
    return (
        ledger.claims_table(method.claims, runs)
        + f'<div class="provenance" data-pagefind-ignore>{below}</div>'
        + _badges(method)
    )


def _badges(method: Method) -> str:
    """The badges of a method, and the line that puts each into a README."""
    names = {f"{method.id}/badge.svg": method.name}
    names |= {f"{method.id}/badges/{claim.id}.svg": claim.id for claim in method.claims}
    here = address.page(f"methods/{method.id}")
    items = "".join(
        f'<li><img src="{text(path.removeprefix(method.id + "/"))}" alt="{text(name)}" '
        'height="20" loading="lazy">'
        + command(f"[![{name}]({address.file('methods/' + path)})]({here})")
        + "</li>"
        for path, name in names.items()
    )
    return (
        '<details class="badges" data-pagefind-ignore><summary>Badges</summary>'
        f"<ul>{items}</ul></details>"
    )


def _plots(method: Method, holdings: Holdings) -> str:
    """One plot for each different series, though several claims may rest on it."""
    seen: list[object] = []
    made = ""
    for claim, run in holdings.latest.get(method.id, {}).items():
        if run.series and run.series not in seen:
            seen.append(run.series)
            made += plots.figure(run.series, f"{method.id}-{claim}")
    return made


def _differs(method: Method) -> str:
    items = "".join(f"<li>{inline(' '.join(line.split()))}</li>" for line in method.differs)
    return f"<ul>{items}</ul>" if items else ""


def _papers(method: Method, holdings: Holdings, path: str) -> str:
    known = [holdings.papers[p] for p in method.papers if p in holdings.papers]
    return "".join(
        f'<div class="entries lone">{paper_pages.entry(p, holdings, path)}</div>'
        + paper_pages.citation(p, holdings)
        for p in known
    )


def runnable(holdings: Holdings) -> str:
    """A table of what can be run now, with the command to copy; for the home page."""
    rows = [
        [
            link(f"methods/{m}/", holdings.methods[m].name),
            inline(first_sentence(holdings.methods[m].idea)),
            command(f"octavo run {m}"),
        ]
        for m in holdings.implemented
    ]
    return table(["Method", "What it does", "Command"], rows) if rows else ""
