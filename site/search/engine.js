// A question's answer: both rankings, fused. Each loads what it needs when it is first asked, and
// where one cannot be had the other answers alone.
import { Encoder } from "./encoder.js";
import { Vectors } from "./dense.js";
import { Facets } from "./facets.js";
import { fused, oneAnIdea } from "./fusion.js";
import { Words } from "./lexical.js";

const NEAREST = 5; // pages shown for a question of which no page has a word

export class Engine {
  constructor(facts, base) {
    this.facts = facts;
    this.count = facts.pages.length;
    this.base = new URL(`${facts.folder}/`, base);
    this.facets = new Facets(facts);
    this.methods = new Map(facts.papers.map(([at, runs, papers]) => [at, { runs, papers }]));
    this.words = new Words(facts);
    this.files = new Map();
  }

  async get(path) {
    const answer = await fetch(new URL(path, this.base));
    if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
    return answer.arrayBuffer();
  }

  get encoder() {
    return this.reader ??= new Encoder(this.facts.encoder, (path) => this.get(path));
  }

  get vectors() {
    return this.store ??= new Vectors(this.facts.vectors, (path) => this.get(path));
  }

  // {places, worded}: the pages for a question, best first, and whether any has one of its words;
  // else the few nearest in meaning are all there is. `mode` is words, dense or hybrid.
  async search(query, mode = "hybrid") {
    const allowed = this.facets.allowed(), { depth, k } = this.facts;
    if (!query) {
      const all = this.facets.any ? [...Array(this.count).keys()].filter(allowed) : [];
      return { places: all, worded: true };
    }
    const asked = await Promise.allSettled([
      mode === "dense" ? [] : this.words.ranked(query, allowed, depth),
      mode === "words" ? [] : this.meant(query, allowed, depth),
    ]);
    const [words, dense] = asked.map(({ value }) => value);
    if (!words && !dense) throw asked[0].reason;
    const worded = mode === "dense" || !words || words.length > 0;
    const rankings = [words ?? [], (dense ?? []).slice(0, worded ? depth : NEAREST)];
    return { places: oneAnIdea(fused(rankings, k), this.methods), worded };
  }

  async meant(query, allowed, depth) {
    const vectors = this.vectors; // asked for before the question is read: both travel at once
    return vectors.ranked(await this.encoder.encode(query), allowed, depth);
  }

  // What is shown of a page: {url, title, kind, about, gist}.
  async entry(place) {
    const size = this.facts.per_file, number = Math.floor(place / size);
    if (!this.files.has(number)) {
      const file = this.get(`entries/${number}.json`).then((b) => JSON.parse(new TextDecoder().decode(b)));
      file.catch(() => this.files.delete(number));
      this.files.set(number, file);
    }
    const [url, title, kind, about, gist] = (await this.files.get(number))[place % size];
    return { url, title, kind, about, gist };
  }
}
