// BERT's uncased WordPiece, as octavo.ingest.wordpiece does it in Python: a test holds both against
// each other. The vocabulary lies in small files.
const LONGEST_WORD = 100; // characters; a longer word is unknown
const SPACE = /[\t\n\v\f\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]/u;
const DROPPED = /\ufffd|(?![\t\n\r])\p{C}/u;
const PUNCTUATION = /[!-/:-@[-`{-~]|\p{P}/u;
const IDEOGRAPH = /[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u{20000}-\u{2a6df}\u{2a700}-\u{2ceaf}\u{2f800}-\u{2fa1f}]/u;

// Words and punctuation marks of a text, in lower case and without accents.
export function words(text) {
  let clean = "";
  for (const c of text) {
    if (DROPPED.test(c)) continue;
    clean += SPACE.test(c) ? " " : IDEOGRAPH.test(c) ? ` ${c} ` : c;
  }
  const found = [""];
  for (const c of clean.normalize("NFD").replace(/\p{Mn}/gu, "")) {
    for (const low of c.toLowerCase()) { // one by one: a sigma at the end of a word stays a sigma
      if (SPACE.test(low)) found.push("");
      else if (PUNCTUATION.test(low)) found.push(low, "");
      else found[found.length - 1] += low;
    }
  }
  return found.filter(Boolean);
}

// The file a piece lies in: a hash of its first three characters (of those after "##").
export function shelf(piece, count) {
  const inside = piece.length > 2 && piece.startsWith("##");
  let mark = inside ? 47 : 0;
  for (const c of [...(inside ? piece.slice(2) : piece)].slice(0, 3)) {
    mark = (Math.imul(mark, 0x9e3779b1) + c.codePointAt(0)) >>> 0;
  }
  return (Math.imul(mark ^ (mark >>> 15), 0x85ebca6b) >>> 0) % count;
}

// Longest piece first, again and again. `has` says (in time) whether the vocabulary has a piece;
// `unknown` is the piece of a word that has none.
export async function pieces(word, has, unknown) {
  const letters = [...word], found = [];
  if (letters.length > LONGEST_WORD) return [unknown];
  for (let start = 0, end; start < letters.length; start = end) {
    const before = start ? "##" : "";
    for (end = letters.length; end > start; end--) {
      if (await has(before + letters.slice(start, end).join(""))) break;
    }
    if (end === start) return [unknown];
    found.push(before + letters.slice(start, end).join(""));
  }
  return found;
}
