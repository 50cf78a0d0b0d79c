"""How well papers are tagged by machine: the recorded evaluation, in tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from octavo.site.holdings import Holdings
from octavo.site.markup import Page, command, fold, plural, section, table, text

READ = {"titles": "title alone", "texts": "title and abstract or summary"}
OF = {"all": "all", "lists": "from public lists", "curated": "curated here"}
KIND = {"near": "our words, another field", "far": "other computer science"}
LEAD = (
    "Papers that nobody has shelved yet get their themes and techniques from a classifier. It was "
    "judged on papers it had not seen; this is what it got right, and what it did not."
)


def pages(holdings: Holdings) -> Iterator[Page]:
    """The one page."""
    body = f'<header class="head"><h1>Tagging</h1><p class="lead">{LEAD}</p></header>'
    body += "".join(map(_run, holdings.tagger)) or "<p>Nothing was recorded yet.</p>"
    body += section("Run it", command("octavo bench tagger") + command("octavo tag -"), "run")
    yield Page("tagging", "Tagging", body, LEAD, section="benchmarks", searchable=True)


def _run(run: Mapping[str, Any]) -> str:
    return (
        section("Papers never seen", _scores(run), "scores")
        + section("Papers that must not be tagged", _false(run["unrelated"]), "false-tags")
        + section("Each shelf", _shelves(run["shelves"]), "shelves")
        + section("The run", _facts(run), "facts", "narrow")
    )


def _scores(run: Mapping[str, Any]) -> str:
    rows = [
        [
            text(READ[row["read"]]),
            text(OF[row["papers"]]),
            text(row["what"]),
            f"{row['count']:,}",
            *(f"{row[key]:.3f}" for key in ("precision", "recall", "micro", "macro")),
        ]
        for row in run["rows"]
    ]
    heads = ["Read", "Papers", "Shelves", "Count", "Precision", "Recall", "Micro F1", "Macro F1"]
    told = (
        f"<p>{plural(run['abstracts'], 'paper')} of the catalog with tags of people "
        f"{'has' if run['abstracts'] == 1 else 'have'} the authors’ abstract, and "
        f"{plural(run['summaries'], 'paper')} a one-line summary of ours. Where there is no "
        "abstract, what abstracts would add was not measured: the rows with more than a title "
        "stand on summaries.</p><p>Five-fold cross-validation, titles that begin alike kept "
        "together. Lists name the theme they are about and seldom a second one or every "
        "technique, so a right answer that no list noted counts as wrong.</p>"
    )
    return told + f'<div class="stack">{table(heads, rows, range(3, 8))}</div>'


def _false(rows: Sequence[Mapping[str, Any]]) -> str:
    made = [
        [
            text(KIND[row["kind"]]),
            str(row["titles"]),
            str(row["tagged"]),
            f"{100 * row['tagged'] / max(row['titles'], 1):.1f} %",
            "; ".join(f"{text(w['title'])} ({text(', '.join(w['tags']))})" for w in row["which"])
            or "none",
        ]
        for row in rows
    ]
    heads = ["Titles", "Count", "Tagged", "Share", "Which"]
    told = (
        "<p>Titles of the test half of <code>catalog/unrelated.jsonl</code>, written by us and "
        "never learned from: pruning of orchards, quantization of fields, distillation of "
        "spirits, and computer science that has nothing to do with compression.</p>"
    )
    return told + f'<div class="stack">{table(heads, made, (1, 2, 3))}</div>'


def _shelves(rows: Sequence[Mapping[str, Any]]) -> str:
    made = [
        [
            text(row["shelf"]),
            str(row["papers"]),
            *(f"{row[key]:.2f}" for key in ("precision", "recall", "f1")),
        ]
        for row in sorted(rows, key=lambda row: (-row["papers"], row["shelf"]))
    ]
    shown = table(["Shelf", "Papers", "Precision", "Recall", "F1"], made, range(1, 5))
    return fold(f"All {plural(len(made), 'shelf', 'shelves')}", shown)


def _facts(run: Mapping[str, Any]) -> str:
    speed = run["speed"]
    return (
        f"<p>Tagger {text(run['version'])}, {text(run['date'][:10])}, commit "
        f"<code>{text(run['commit'][:12])}</code>, {text(run['cpu'])}: loaded in "
        f"{speed['load_seconds']:.2f} s, then {speed['titles_a_second']:,} titles or "
        f"{speed['abstracts_a_second']:,} titles with 150 words more a second on one core. "
        f"Expected calibration error of theme scores: {run['calibration']:.4f}. One logistic "
        "regression a shelf, over "
        "words, pieces of words, phrases and the static encoder’s vectors.</p>"
    )
