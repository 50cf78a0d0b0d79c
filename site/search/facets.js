// What narrows a search: choices (a page has some values) and measures (a page has a number).
// The state is a plain object of id and value, as it stands in the address.
export class Facets {
  constructor({ choices, measures }) {
    this.choices = choices;
    this.measures = measures.filter((measure) => measure.options.length);
    this.chosen = {};
  }

  get ids() {
    return [...this.choices, ...this.measures].map((facet) => facet.id);
  }

  get any() {
    return Object.keys(this.chosen).length > 0;
  }

  // Takes over what an address says, as far as it means something here.
  take(params) {
    this.chosen = {};
    for (const id of this.ids) if (params.has(id)) this.set(id, params.get(id));
  }

  set(id, value) {
    delete this.chosen[id];
    if (value && this.tests(id, value)) this.chosen[id] = value;
  }

  put(params) {
    for (const id of this.ids) params.delete(id);
    for (const [id, value] of Object.entries(this.chosen)) params.set(id, value);
  }

  // The pages with a value of a facet, as a test of places; nothing where there is no such value.
  tests(id, value) {
    const choice = this.choices.find((facet) => facet.id === id);
    if (choice) {
      const at = choice.values.findIndex(([name]) => name === value);
      return at < 0 ? undefined : (place) => choice.of[place].includes(at);
    }
    const { of, test } = this.measures.find((facet) => facet.id === id), bound = Number(value);
    if (!Number.isFinite(bound)) return undefined;
    return (place) => of[place] !== null && (test === "min" ? of[place] >= bound : of[place] <= bound);
  }

  // The pages that pass all that is chosen, apart from one facet where that is named.
  allowed(but = "") {
    const tests = Object.entries(this.chosen).filter(([id]) => id !== but);
    const all = tests.map(([id, value]) => this.tests(id, value));
    return (place) => all.every((test) => test(place));
  }

  // For each facet its options as [value, label, number of pages], given the other facets.
  options(count) {
    const places = [...Array(count).keys()];
    return [...this.choices, ...this.measures].map((facet) => {
      const open = places.filter(this.allowed(facet.id)), sums = new Map();
      if (!facet.values) {
        const counted = facet.options.map(([value, label]) => [String(value), label, 1]);
        return { ...facet, counted };
      }
      for (const place of open) for (const at of facet.of[place]) sums.set(at, (sums.get(at) ?? 0) + 1);
      const counted = facet.values.map(([value, label], at) => [value, label, sums.get(at) ?? 0]);
      return { ...facet, counted };
    });
  }
}
