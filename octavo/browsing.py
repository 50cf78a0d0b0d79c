"""Search in the browser, measured in one: what it finds, what it fetches, and how long it takes.

The site is built, served on this machine and asked by Chromium, as a reader would. Beside it stand
Pagefind alone, each ranking alone, and search on a server with the MiniLM encoder over the same
records. The curve asks what other codes of the same vectors would find: words as the page ranked
them, meaning by each form of code, fused as the page does it.
"""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from statistics import fmean, median
from typing import Any, NamedTuple

import numpy as np
import torch

from octavo import bench, catalog, chromium
from octavo.ingest import judged, ranking, static
from octavo.ingest.judged import Judged
from octavo.ingest.library import Library
from octavo.ingest.ranking import Hit
from octavo.site.holdings import Holdings
from octavo.site.search import entries, index, quantizer

MODES = ("pagefind", "words", "dense", "hybrid")
FORMS = [(8, 16), (16, 16), (32, 16), (64, 16), (96, 16), (16, 256), (32, 256), (64, 256)]
FIRST = 10  # queries of the dev half that are each a new reader's first
RECORDED = Path("results") / "search-page.jsonl"
Answers = list[dict[str, list[int]]]  # a query each: places by mode
ANSWERS = """async ({queries, modes}) => {
  const {Engine} = await import("/assets/search/engine.js");
  const base = new URL("/search/", location.href);
  const facts = await (await fetch(new URL("facts.json", base))).json();
  const engine = new Engine(facts, base), answers = [];
  const pagefind = await engine.words.pagefind();
  for (const query of queries) {
    const found = (await pagefind.search(query)).results.map(({id}) => engine.words.place.get(id));
    const answer = {pagefind: found.filter((place) => place !== undefined)};
    for (const mode of modes) answer[mode] = (await engine.search(query, mode)).places;
    answers.push(answer);
  }
  return answers;
}"""
TIMES = """async (queries) => {
  const {Engine} = await import("/assets/search/engine.js");
  const base = new URL("/search/", location.href);
  const facts = await (await fetch(new URL("facts.json", base))).json();
  const engine = new Engine(facts, base), times = [];
  const shelves = [...Array(facts.encoder.shelves).keys()];
  await Promise.all(shelves.map((number) => engine.encoder.shelf(number)));
  await engine.search("a first query");
  for (const query of queries) {
    const start = performance.now();
    await engine.search(query);
    times.push(performance.now() - start);
  }
  return times;
}"""


class Costs(NamedTuple):
    """Compressed bytes of first queries by kind of file, and milliseconds of later ones."""

    first: list[dict[str, int]]
    times: list[float]


def costs(site: Path, queries: Sequence[Judged]) -> Costs:
    """What searching a built site costs a reader.

    Raises InputError where there is no Chromium or no Playwright.
    """
    with _served(site) as (browser, address):
        return _costs(browser, address, queries)


def _costs(browser: Any, address: str, queries: Sequence[Judged]) -> Costs:
    some = [each.query for each in queries if each.half == "dev"][:FIRST]
    first = [_first(browser, address, query) for query in some]
    return Costs(first, _asked(browser, address, TIMES, [each.query for each in queries]))


def measure(
    site: Path, holdings: Holdings, server_library: Library, advance: Callable[[str], None]
) -> dict[str, Any]:
    """The whole measurement of a built site, as one JSON-ready document.

    Raises InputError where there is no Chromium or no Playwright.
    """
    queries = judged.queries()
    known = entries.read(site, holdings)
    texts = [each.query for each in queries]
    with _served(site) as (browser, address):
        spent = _costs(browser, address, queries)
        advance("what queries cost")
        given = {"queries": texts, "modes": list(MODES[1:])}
        answers: Answers = _asked(browser, address, ANSWERS, given)
        advance("judged queries in the page")
    server = [asdict(judged.evaluate(server_library, half, "hybrid")) for half in judged.HALVES]
    advance("the same on a server")
    hits = _hits(known, holdings)
    rows = [
        _score(mode, half, queries, [_found(a[mode], hits) for a in answers])
        for half in judged.HALVES
        for mode in MODES
    ]
    curve = list(_curve(known, queries, answers, hits))
    advance("the curve")
    return {
        "encoder": static.load("static").origin,
        "server": server_library.encoder.origin,
        "form": asdict(index.Form()),
        "pages": len(known),
        "papers": len(holdings.papers),
        "rows": rows + [{**row, "mode": "server"} for row in server],
        "first": spent.first,
        "milliseconds": spread(spent.times),
        "curve": curve,
    }


def record(document: Mapping[str, Any], root: Path = catalog.ROOT) -> None:
    """Append a run to `catalog/results/search-page.jsonl`."""
    bench.append(root / RECORDED, [bench.provenance("search-page") | dict(document)])


@contextmanager
def _served(site: Path) -> Iterator[tuple[Any, str]]:
    """A browser and the address at which the site is served to it."""
    from octavo.site.server import server

    with chromium.browser() as browser, server(site, 0) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield browser, f"http://127.0.0.1:{running.server_address[1]}/"
        running.shutdown()


def _first(browser: Any, address: str, query: str) -> dict[str, int]:
    """Compressed bytes by kind of file that a first query of a new reader fetches."""
    context = browser.new_context(service_workers="block")
    page = context.new_page()
    answers: list[Any] = []
    page.on("response", lambda answer: answers.append(answer))
    page.goto(address + "search/?q=" + query.replace(" ", "+"))
    page.wait_for_selector("#search-results li", timeout=120_000)
    sizes: dict[str, int] = {}
    for answer in answers:
        kind = _kind(answer.url)
        sizes[kind] = sizes.get(kind, 0) + len(gzip.compress(answer.body()))
    context.close()
    return sizes


def _kind(url: str) -> str:
    if "/search/data/" in url:
        return url.split("/search/data/")[1].split("/")[1]
    return "words" if "/pagefind/" in url else "facets" if "facts.json" in url else "page"


def _asked(browser: Any, address: str, script: str, given: Any) -> Any:
    """What a script says, run in a page of the site."""
    page = browser.new_page()
    page.set_default_timeout(0)
    page.goto(address + "about/")
    told = page.evaluate(script, given)
    page.close()
    return told


def _hits(known: Sequence[entries.Entry], holdings: Holdings) -> dict[int, Hit]:
    """The pages that are judged, by place: methods and papers."""
    return {
        at: Hit(
            each.kind.lower(),
            each.own,
            each.title,
            0.0,
            implemented=each.own in holdings.implemented,
            papers=holdings.methods[each.own].papers if each.kind == "Method" else (),
        )
        for at, each in enumerate(known)
        if each.kind in ("Method", "Paper")
    }


def _found(places: Sequence[int], hits: Mapping[int, Hit]) -> list[Hit]:
    return ranking.one_an_idea([hits[at] for at in places if at in hits])[: judged.DEPTH]


def _score(
    mode: str, half: str, queries: Sequence[Judged], found: Sequence[Sequence[Hit]]
) -> dict[str, Any]:
    pairs = [
        (judged.gains_of(hits, each.relevant), each.relevant.values())
        for each, hits in zip(queries, found, strict=True)
        if each.half == half
    ]
    return {
        "mode": mode,
        "half": half,
        "queries": len(pairs),
        "ndcg": round(fmean(judged.ndcg(*pair) for pair in pairs), 4),
        "mrr": round(fmean(judged.mrr(gains) for gains, _ in pairs), 4),
        "recall": round(fmean(judged.recall(*pair) for pair in pairs), 4),
    }


def _curve(
    known: Sequence[entries.Entry],
    queries: Sequence[Judged],
    answers: Answers,
    hits: Mapping[int, Hit],
) -> Iterator[dict[str, Any]]:
    """For each form of code: bytes, how many of the true ten nearest it finds, and what that does.

    The last row is float32 vectors as they are.
    """
    encoder = static.load("static")
    vectors = torch.from_numpy(encoder.encode([each.text for each in known]))
    questions = encoder.encode([each.query for each in queries])
    exact = _nearest(vectors.numpy(), questions)
    for pieces, size in FORMS:
        books = quantizer.fit(vectors, pieces, size)
        codes = quantizer.encode(vectors, books)
        near = _nearest(quantizer.decode(codes, books).numpy(), questions)
        facts: dict[str, Any] = {"pieces": pieces, "size": size}
        facts |= {"bytes_a_page": len(quantizer.packed(codes, size)) / len(codes)}
        facts |= {"bytes_of_books": 2 * books.numel()}
        yield facts | _worth(near, exact, queries, answers, hits)
    facts = {"pieces": None, "size": None, "bytes_a_page": 4.0 * encoder.width}
    yield facts | {"bytes_of_books": 0} | _worth(exact, exact, queries, answers, hits)


def _nearest(vectors: Any, questions: Any) -> list[list[int]]:
    order = np.argsort(-(questions @ vectors.T), axis=1, kind="stable")[:, : ranking.DEPTH]
    return [list(map(int, row)) for row in order]


def _worth(
    near: Sequence[Sequence[int]],
    exact: Sequence[Sequence[int]],
    queries: Sequence[Judged],
    answers: Answers,
    hits: Mapping[int, Hit],
) -> dict[str, Any]:
    same = [len({*a[:10]} & {*b[:10]}) / 10 for a, b in zip(near, exact, strict=True)]
    both = [
        _found(_fused([answer["words"], list(places)]), hits)
        for answer, places in zip(answers, near, strict=True)
    ]
    scores = {h: _score("hybrid", h, queries, both)["ndcg"] for h in judged.HALVES}
    return {"recall": round(fmean(same), 4), "ndcg": scores}


def _fused(rankings: Sequence[Sequence[int]]) -> list[int]:
    scores: dict[int, float] = {}
    for ranked in rankings:
        for rank, at in enumerate(ranked, 1):
            scores[at] = scores.get(at, 0.0) + 1 / (ranking.K + rank)
    return sorted(scores, key=lambda at: (-scores[at], at))


def spread(times: Sequence[float]) -> dict[str, float]:
    """Median and 95th percentile."""
    ordered = sorted(times)
    last = ordered[int(0.95 * (len(ordered) - 1))]
    return {"median": round(median(ordered), 2), "p95": round(last, 2)}


def table(document: Mapping[str, Any]) -> Any:
    """The scores and sizes for the terminal."""
    from rich.table import Table

    shown = Table("half", "mode", "nDCG@10", "MRR@10", "recall@10", box=None)
    first = [sum(each.values()) for each in document["first"]]
    times = document["milliseconds"]
    shown.title = (
        f"first query {median(first) / 1e3:.0f} kB (most {max(first) / 1e3:.0f}), "
        f"later {times['median']} ms (95 %: {times['p95']})"
    )
    for row in document["rows"]:
        means = (f"{row[key]:.3f}" for key in ("ndcg", "mrr", "recall"))
        shown.add_row(row["half"], row["mode"], *means)
    return shown
