// A question as a vector: the weighted sum of its pieces' rows, each row put together from books.
// Rows lie in small files that are fetched when a word first asks for one of them.
import { pieces, shelf, words } from "./wordpiece.js";

// IEEE half precision to numbers: browsers without Float16Array are still about.
export function halves(buffer, start, count) {
  const view = new DataView(buffer), out = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    const bits = view.getUint16(start + 2 * i, true), exponent = (bits >> 10) & 31, part = bits & 1023;
    const size = exponent ? 2 ** (exponent - 25) * (1024 + part) : 2 ** -24 * part;
    out[i] = bits & 0x8000 ? -size : size;
  }
  return out;
}

export class Encoder {
  // `get(path)` gives the bytes of a file; `facts` are the encoder's lines of facts.json.
  constructor(facts, get) {
    this.facts = facts;
    this.get = get;
    this.shelves = new Map();
    this.known = new Map(); // rows of each word that was asked for
    this.books = get("encoder/books.bin").then((b) => halves(b, 0, facts.width * facts.size));
  }

  shelf(number) {
    if (!this.shelves.has(number)) {
      const read = this.get(`encoder/${number}.bin`).then((buffer) => this.read(buffer));
      read.catch(() => this.shelves.delete(number)); // a lost connection is asked again
      this.shelves.set(number, read);
    }
    return this.shelves.get(number);
  }

  read(buffer) {
    const bytes = new Uint8Array(buffer), end = bytes.indexOf(10), rows = new Map();
    const names = new TextDecoder().decode(bytes.subarray(0, end)).split(" ").filter(Boolean);
    const weights = halves(buffer, end + 1, names.length), parts = this.facts.parts;
    const first = end + 1 + 2 * names.length;
    names.forEach((name, i) => rows.set(name, {
      weight: weights[i], codes: bytes.subarray(first + i * parts, first + (i + 1) * parts),
    }));
    return rows;
  }

  async row(piece) {
    return (await this.shelf(shelf(piece, this.facts.shelves))).get(piece);
  }

  async rows(word) {
    if (!this.known.has(word)) {
      const found = await pieces(word, async (piece) => Boolean(await this.row(piece)), this.facts.unknown);
      const rows = await Promise.all(found.map((piece) => this.row(piece)));
      this.known.set(word, rows.filter(Boolean));
    }
    return this.known.get(word);
  }

  async encode(text) {
    const books = await this.books, { width, parts, size } = this.facts;
    const rows = (await Promise.all(words(text).map((word) => this.rows(word)))).flat();
    const sum = new Float64Array(width), part = width / parts;
    for (const { weight, codes } of rows) {
      for (let p = 0; p < parts; p++) {
        const entry = (p * size + codes[p]) * part;
        for (let i = 0; i < part; i++) sum[p * part + i] += weight * books[entry + i];
      }
    }
    const length = Math.hypot(...sum);
    return length ? sum.map((x) => x / length) : sum;
  }
}
