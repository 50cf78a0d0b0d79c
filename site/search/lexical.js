// Words: the pages that hold them, by Pagefind. It wants every word of a query, and a question in a
// reader's own words rarely has a page with all of them. So each word is asked for alone, and pages
// are ranked by the rarity of the words they hold.
import { best } from "./fusion.js";

const COMMON = new Set(("a an and are as at be by can do does for from has have how i in into is it its my of on or "
  + "than that the their them then there these they this to use used using want what when where whether which "
  + "while with without you").split(" "));

export function terms(query) {
  const all = query.toLowerCase().split(/[\s,;:?!]+/).filter(Boolean);
  const rare = [...new Set(all)].filter((word) => !COMMON.has(word));
  return rare.length ? rare : all;
}

export class Words {
  // `facts.pages` are Pagefind's names of the pages.
  constructor(facts) {
    this.count = facts.pages.length;
    this.place = new Map(facts.pages.map((name, place) => [name, place]));
    this.asked = new Map(); // hits of each word
  }

  async open() {
    const found = await import(new URL("../../pagefind/pagefind.js", import.meta.url));
    await found.options({ baseUrl: "/", excerptLength: 1 });
    return found;
  }

  pagefind() {
    this.opened ??= this.open();
    this.opened.catch(() => { this.opened = undefined; }); // a lost connection is asked again
    return this.opened;
  }

  // Hits of one search of Pagefind's, as places with scores, best first.
  hits(text) {
    if (!this.asked.has(text)) {
      const found = this.pagefind().then((pagefind) => pagefind.search(text)).then(({ results }) => (
        results.flatMap(({ id, score }) => (this.place.has(id) ? [[this.place.get(id), score]] : []))));
      found.catch(() => this.asked.delete(text));
      this.asked.set(text, found);
    }
    return this.asked.get(text);
  }

  // The best `depth` of the pages that `allowed` lets through, best first, by place.
  async ranked(query, allowed, depth) {
    const words = terms(query);
    if (words.length < 2 || /^".+"$/.test(query)) {
      return (await this.hits(query)).map(([place]) => place).filter(allowed).slice(0, depth);
    }
    const worth = new Float64Array(this.count), found = [];
    for (const hits of await Promise.all(words.map((word) => this.hits(word)))) {
      const rarity = Math.log(1 + this.count / (1 + hits.length)), top = hits[0]?.[1] || 1;
      for (const [place, score] of hits) {
        if (!allowed(place)) continue;
        if (!worth[place]) found.push(place);
        worth[place] += rarity * (0.8 + 0.2 * Math.min(1, score / top));
      }
    }
    return best(found, worth, depth);
  }
}
