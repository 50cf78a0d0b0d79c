"""What searching in the browser finds, fetches and costs: the recorded run, as a page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

from octavo.site import plots
from octavo.site.figures import number
from octavo.site.holdings import Holdings
from octavo.site.markup import command, facts, section, table, text

Run = Mapping[str, Any]
MODES = {
    "pagefind": "Pagefind alone, all words wanted",
    "words": "words, by rarity",
    "dense": "meaning alone",
    "hybrid": "the search page: both, fused",
    "server": "on a server, with MiniLM",
}
PARTS = {
    "page": "the page and its scripts",
    "words": "Pagefind and its chunks",
    "facets": "facets of every page",
    "encoder": "books of the encoder, rows of the question's words",
    "vectors": "books and codes of every page",
    "entries": "titles of what is shown",
}
GOAL_OF_SERVER, GOAL_BYTES, GOAL_MS = 0.95, 700_000, 20
INTRO = (
    "<p>No server reads what you type. Words are looked up by Pagefind. For meaning, the page runs "
    "the static encoder itself: a table of word pieces, product-quantized, of which "
    "a question fetches the rows of its own words. The vectors of all pages are product codes, "
    "too: the question's products with the entries of each book are added up by look-up, and the "
    "two rankings are fused by reciprocal ranks.</p>"
)


def body(holdings: Holdings) -> str:
    """The tables and the curve of the newest run, or the command that makes one."""
    if not holdings.searches:
        return f"{INTRO}<p>No run recorded yet. This command measures it:</p>" + command(
            "octavo bench search-page"
        )
    run = holdings.searches[-1]
    return (
        INTRO
        + section("What it finds", _found(run), "found")
        + section("What it fetches, and how long it takes", _fetched(run), "fetched")
        + section("Bytes of a page's vector against what is found", _curve(run), "curve", "plots")
        + section("Every form of code", _forms(run), "forms")
        + f'<div class="provenance">{_provenance(run)}</div>'
    )


def _found(run: Run) -> str:
    rows = [
        [
            text(MODES[row["mode"]]),
            text(row["half"]),
            *(f"{row[key]:.3f}" for key in ("ndcg", "mrr", "recall")),
        ]
        for row in run["rows"]
    ]
    asked = sum(row["queries"] for row in run["rows"] if row["mode"] == "hybrid")
    return (
        f"<p>{asked} questions judged by hand, none with a word of the titles it should find. "
        "Nothing was chosen by the test half.</p>"
        + table(["How", "Half", "nDCG@10", "MRR@10", "Recall@10"], rows, (2, 3, 4))
        + f"<ul>{''.join(f'<li>{line}</li>' for line in _goals(run))}</ul>"
    )


def _goals(run: Run) -> list[str]:
    """Each goal with the value of the test half, and whether it is reached."""
    test = {row["mode"]: row["ndcg"] for row in run["rows"] if row["half"] == "test"}
    best = max(test["pagefind"], test["words"])
    share = test["hybrid"] / test["server"] if test["server"] else 0.0
    most = max(sum(first.values()) for first in run["first"])
    times = run["milliseconds"]
    return [
        _goal("better than words alone", f"{test['hybrid']:.3f}", test["hybrid"] > best),
        _goal(
            f"at least {GOAL_OF_SERVER:.0%} of the server's nDCG@10",
            f"{share:.0%}",
            share >= GOAL_OF_SERVER,
        ),
        _goal(
            f"a first query of at most {GOAL_BYTES // 1000} kB",
            f"{most / 1000:.0f} kB",
            most <= GOAL_BYTES,
        ),
        _goal(
            f"95 of 100 later queries within {GOAL_MS} ms",
            f"{number(times['p95'])} ms, half of them within {number(times['median'])} ms",
            times["p95"] <= GOAL_MS,
        ),
    ]


def _goal(what: str, value: str, reached: bool) -> str:
    return f"Goal: {what}. Measured: {value}. {'Reached.' if reached else '<b>Missed.</b>'}"


def _fetched(run: Run) -> str:
    firsts = run["first"]
    rows = [
        [text(said), _kb([each.get(part, 0) for each in firsts]), _kb([max(_of(firsts, part))])]
        for part, said in PARTS.items()
    ]
    sums = [sum(each.values()) for each in firsts]
    rows.append(["<b>in all</b>", _kb(sums), _kb([max(sums)])])
    times = run["milliseconds"]
    return (
        f"<p>{len(firsts)} first queries, each of a new reader, over {run['pages']:,} pages "
        f"({run['papers']:,} papers); kilobytes as they travel, gzip.</p>"
        + table(["Part", "Median", "Most"], rows, (1, 2))
        + f"<p>A later query with words not asked before takes {number(times['median'])} ms "
        f"(median; 95 of 100 within {number(times['p95'])} ms), index at hand. When the page has "
        "rested after a first answer, a service worker keeps all its files: from then on it "
        "searches without a network.</p>"
    )


def _of(firsts: Sequence[Mapping[str, int]], part: str) -> list[int]:
    return [each.get(part, 0) for each in firsts]


def _kb(sizes: Sequence[int]) -> str:
    return f"{median(sizes) / 1000:.0f} kB"


def _curve(run: Run) -> str:
    sizes = sorted({row["size"] for row in run["curve"] if row["size"]})
    kinds = {size: [row for row in run["curve"] if row["size"] == size] for size in sizes}

    def lines(value: Callable[[Run], float]) -> list[dict[str, Any]]:
        return [
            {
                "name": f"books of {size}",
                "x": [row["bytes_a_page"] for row in rows],
                "y": [value(row) for row in rows],
            }
            for size, rows in kinds.items()
        ]

    shared = {"x_label": "bytes a page", "x_scale": "log"}
    recall = {"title": "Share of the true ten nearest", "y_label": "recall@10"}
    ndcg = {"title": "Hybrid search, test half", "y_label": "nDCG@10"}
    return plots.figure(
        shared | recall | {"lines": lines(lambda row: float(row["recall"]))}, "recall"
    ) + plots.figure(
        shared | ndcg | {"lines": lines(lambda row: float(row["ndcg"]["test"]))}, "ndcg"
    )


def _forms(run: Run) -> str:
    chosen = (run["form"]["pieces"], run["form"]["size"])
    rows = [
        [
            _form(row) + (" (in use)" if (row["pieces"], row["size"]) == chosen else ""),
            number(row["bytes_a_page"]),
            f"{row['bytes_of_books'] / 1000:.0f}",
            f"{row['recall']:.3f}",
            f"{row['ndcg']['dev']:.3f}",
            f"{row['ndcg']['test']:.3f}",
        ]
        for row in run["curve"]
    ]
    head = ["Code", "Bytes a page", "kB of books", "Recall@10", "nDCG@10, dev", "nDCG@10, test"]
    return table(head, rows, (1, 2, 3, 4, 5))


def _form(row: Run) -> str:
    if row["pieces"] is None:
        return "float32, no code"
    return f"{row['pieces']} pieces, books of {row['size']}"


def _provenance(run: Run) -> str:
    return facts(
        [
            ("Command", f"<code>{text(run['command'])}</code>"),
            ("Encoder", text(run["encoder"])),
            ("Server", text(run["server"])),
            ("Machine", text(run["cpu"])),
            ("Commit", text(run["commit"] or "")[:10]),
            ("Date", text(run["date"])[:10]),
        ]
    )
