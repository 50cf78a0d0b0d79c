// Several rankings as one, as octavo.ingest.ranking does it in Python.

// Reciprocal ranks: a page scores the sum over rankings of 1 / (k + rank). Places, best first.
export function fused(rankings, k) {
  const scores = new Map();
  for (const ranking of rankings) {
    ranking.forEach((place, at) => scores.set(place, (scores.get(place) ?? 0) + 1 / (k + at + 1)));
  }
  return [...scores.keys()].sort((a, b) => scores.get(b) - scores.get(a) || a - b);
}

// The `depth` places with the highest scores (a typed array), best first, equal ones by place. Where
// there are more, only those that can be among them are put in order.
export function best(places, scores, depth) {
  if (places.length > depth) {
    const sorted = new scores.constructor(places.length);
    for (let at = 0; at < sorted.length; at++) sorted[at] = scores[places[at]];
    const least = sorted.sort()[sorted.length - depth];
    places = places.filter((place) => scores[place] >= least);
  }
  return places.sort((a, b) => scores[b] - scores[a] || a - b).slice(0, depth);
}

// A method and its papers as one hit, at the place of the better one. A method that runs stands for
// its papers; one that is only described leaves its paper first.
export function oneAnIdea(places, methods) {
  const here = new Set(places), leads = new Map();
  for (const place of places) {
    if (!methods.has(place)) continue;
    const { runs, papers } = methods.get(place), found = papers.filter((paper) => here.has(paper));
    const lead = runs || !found.length ? place : found[0];
    for (const member of [place, ...found]) if (!leads.has(member)) leads.set(member, lead);
  }
  return [...new Set(places.map((place) => leads.get(place) ?? place))];
}
