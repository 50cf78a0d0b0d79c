// Meaning: the pages whose vectors point where the question's does. Vectors are codes: a table of
// the question's products with every entry of every book scores a page by look-ups.
import { halves } from "./encoder.js";
import { best } from "./fusion.js";

export class Vectors {
  // facts: count, width, pieces, size; books (pieces, size, width / pieces) as float16; codes piece
  // by piece, two in a byte where a book has 16 entries.
  constructor(facts, get) {
    this.facts = facts;
    this.ready = Promise.all([
      get("vectors/books.bin").then((b) => halves(b, 0, facts.width * facts.size)),
      get("vectors/codes.bin").then((b) => new Uint8Array(b)),
    ]);
    this.ready.catch(() => {});
  }

  // The product of `question` with every page's vector.
  async scores(question) {
    const [books, codes] = await this.ready, { count, width, pieces, size } = this.facts;
    const scores = new Float32Array(count), part = width / pieces, table = new Float32Array(size);
    for (let p = 0; p < pieces; p++) {
      for (let j = 0; j < size; j++) {
        let sum = 0;
        const entry = (p * size + j) * part;
        for (let i = 0; i < part; i++) sum += question[p * part + i] * books[entry + i];
        table[j] = sum;
      }
      if (size > 16) add(scores, table, codes, p * count, 0, 255);
      else add(scores, table, codes, (p >> 1) * count, 4 * (p & 1), 15);
    }
    return scores;
  }

  // The best `depth` of the pages that `allowed` lets through, best first, by place.
  async ranked(question, allowed, depth) {
    const scores = await this.scores(question);
    return best([...scores.keys()].filter(allowed), scores, depth);
  }
}

function add(scores, table, codes, start, shift, mask) {
  for (let n = 0; n < scores.length; n++) scores[n] += table[(codes[start + n] >> shift) & mask];
}
