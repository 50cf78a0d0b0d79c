"""Themes that show by themselves in the catalog and in its lists: the recorded run, in plots."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from octavo.site import plots
from octavo.site.holdings import Holdings
from octavo.site.markup import Page, command, facts, fold, link, plural, section, table, text

Shelf = Mapping[str, Any]
LINES, SPAN = 5, 10  # themes that a plot tells apart; years it shows at most
LEAD = (
    "No shelf of ours: papers grouped by what their titles and abstracts mean, each group named "
    "by the words that tell it from the others."
)


def pages(holdings: Holdings) -> Iterator[Page]:
    """The one page."""
    body = f'<header class="head"><p class="kicker">{link("../", "Themes")}</p>'
    body += f'<h1>Emerging themes</h1><p class="lead">{LEAD}</p></header>'
    body += "".join(_run(run, holdings) for run in holdings.emerging)
    body += section("Of your own library", _commands(), "run")
    yield Page("themes/emerging", "Emerging themes", body, LEAD, section="themes")


def _commands() -> str:
    return command("octavo themes --source Awesome-Pruning") + command("octavo bench themes")


def _run(run: Mapping[str, Any], holdings: Holdings) -> str:
    told = (
        "<p>The adjusted Rand index says how alike the groupings are that five seeds of the "
        "clustering give: 1 is the same grouping, 0 what chance gives. How many themes there are "
        "is the number, of four tried, at which it is highest.</p>"
    )
    provenance = facts(
        [
            ("Command", f"<code>{text(run['command'])}</code>"),
            ("Encoder", text(run["shelves"][0]["encoder"])),
            ("Commit", f"<code>{text((run['commit'] or '')[:12])}</code>"),
            ("Date", text(run["date"][:10])),
        ]
    )
    shelves = "".join(_shelf(shelf, holdings) for shelf in run["shelves"])
    return f'{told}{_overview(run)}{shelves}<div class="provenance">{provenance}</div>'


def _overview(run: Mapping[str, Any]) -> str:
    rows = [
        [
            link(f"#{_anchor(shelf)}", _name(shelf)),
            str(len(shelf["themes"])),
            f"{shelf['papers']:,}",
            f"{shelf['stability']:.2f}",
        ]
        for shelf in run["shelves"]
    ]
    heads = ["Papers of", "Themes", "Papers", "Rand index"]
    return f'<div class="stack">{table(heads, rows, (1, 2, 3))}</div>'


def _shelf(shelf: Shelf, holdings: Holdings) -> str:
    """A plot of sizes over time, and a table of the themes with the papers nearest each centre."""
    rows = [
        [
            text(theme["name"]),
            f"{theme['size']:,}",
            text(_span(theme["years"])),
            "<br>".join(_paper(paper, holdings) for paper in theme["papers"]),
        ]
        for theme in shelf["themes"]
    ]
    heads = ["Theme", "Papers", "Years", "Nearest its centre"]
    listed = f'<div class="stack">{table(heads, rows, (1,))}</div>'
    body = (
        f"<p>{text(shelf['summary'])}; adjusted Rand index {shelf['stability']:.2f}.</p>"
        + f'<div class="plots">{plots.figure(_series(shelf), _anchor(shelf))}</div>'
        + fold("Each theme, with the papers nearest its centre", listed)
        + _outliers(shelf, holdings)
    )
    return section(_name(shelf), body, _anchor(shelf))


def _series(shelf: Shelf) -> dict[str, Any]:
    """Papers a year of the largest themes; nothing where fewer than three years are known."""
    seen = sorted({year for theme in shelf["themes"] for year in _known(theme["years"])})
    years = [year for year in seen if year > seen[-1] - SPAN] if seen else []
    lines = [
        {
            "name": theme["name"],
            "x": years,
            "y": [theme["years"].get(str(year), 0) for year in years],
        }
        for theme in shelf["themes"][:LINES]
    ]
    return {
        "title": f"Papers a year in the largest themes of {_name(shelf)}",
        "x_label": "year",
        "y_label": "papers",
        "lines": lines if len(years) > 2 else [],
    }


def _span(years: Mapping[str, int]) -> str:
    known = _known(years)
    if not known:
        return "unknown"
    return f"{known[0]}" if known[0] == known[-1] else f"{known[0]} to {known[-1]}"


def _known(years: Mapping[str, int]) -> list[int]:
    """The years among the keys; papers without one are counted as unknown."""
    return sorted(int(year) for year in years if year.isdigit())


def _paper(paper: Mapping[str, Any], holdings: Holdings) -> str:
    if paper["id"] not in holdings.papers:
        return text(paper["title"])
    return link(f"../../papers/{paper['id']}/", paper["title"])


def _outliers(shelf: Shelf, holdings: Holdings) -> str:
    """Papers far from every centre."""
    if not shelf["outliers"]:
        return ""
    items = "".join(f"<li>{_paper(paper, holdings)}</li>" for paper in shelf["outliers"])
    count = len(shelf["outliers"])
    return fold(plural(count, "outlier"), f"<ul>{items}</ul>")


def _name(shelf: Shelf) -> str:
    """A source in words.

    >>> _name({"of": "list:he-y/Awesome-Pruning"}), _name({"of": "catalog"})
    ('he-y/Awesome-Pruning', 'the whole catalog')
    """
    kind, _, rest = str(shelf["of"]).partition(":")
    words = re.sub(r"-[0-9a-f]{10,}$", "", rest.rpartition("/")[2]).replace("-", " ")
    return words.capitalize() if kind == "feed" else rest or "the whole catalog"


def _anchor(shelf: Shelf) -> str:
    return re.sub(r"[^a-z0-9]+", "-", str(shelf["of"]).lower()).strip("-")
