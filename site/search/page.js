// The search page: reads the address, asks the engine, shows hits. Records are set as text, never as
// HTML. Every state has an address: typing changes it in place, a choice or Enter adds to history.
import { Engine } from "./engine.js";
import { terms } from "./lexical.js";
import { keep } from "./keeping.js";

const STEP = 15, PAUSE = 120; // hits a time; milliseconds of rest before a half-typed word is asked
const id = (name) => document.getElementById(name);
const form = id("search-form"), field = id("search-q"), list = id("search-results");
const status = id("search-status"), more = id("search-more"), filters = id("search-filters");
const grid = id("search-facets"), chips = id("search-kinds"), clear = id("search-clear");
const root = new URL("../../", import.meta.url), here = new URL("search/", root);

const facts = await (await fetch(new URL("facts.json", here), { cache: "no-cache" })).json();
const engine = new Engine(facts, here), facets = engine.facets;
let turn = 0, found = [], shown = 0;

function element(name, text, kind) {
  const made = document.createElement(name);
  made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

// A text with the question's words marked, as far as they begin a word of it.
function marked(name, text) {
  const stems = terms(field.value).filter((word) => word.length > 2)
    .map((word) => RegExp.escape ? RegExp.escape(word) : word.replace(/[^\p{L}\p{N}]/gu, "\\$&"));
  const made = document.createElement(name);
  const parts = stems.length ? text.split(new RegExp(`(?<![\\p{L}\\p{N}])(${stems.join("|")})`, "giu")) : [text];
  made.append(...parts.map((part, at) => (at % 2 ? element("mark", part) : part)));
  return made;
}

function measured(place) {
  const value = (name) => facts.measures.find((measure) => measure.id === name)?.of[place];
  const said = [["smaller", value("smaller")], ["faster", value("faster")]].filter(([, ratio]) => ratio);
  return said.map(([word, ratio]) => `${ratio} × ${word}`).join(", ");
}

async function row(place) {
  const { url, title, kind, about, gist } = await engine.entry(place);
  const item = document.createElement("li"), link = element("a", title);
  link.href = new URL(url, root);
  item.append(element("span", kind, "kind"), link);
  if (about) item.append(element("span", about, "about"));
  if (gist) item.append(marked("p", gist));
  const ratios = measured(place);
  if (ratios) item.append(element("span", `measured here: ${ratios}`, "about"));
  return item;
}

async function show(mine) {
  const part = await Promise.all(found.slice(shown, shown + STEP).map(row));
  if (mine !== turn) return;
  list.append(...part);
  shown += part.length;
  more.hidden = shown >= found.length;
}

function choice({ id: name, name: title, counted, test }) {
  const label = element("label", title), made = document.createElement("select");
  const wanted = facets.chosen[name] ?? "";
  made.name = name;
  made.append(new Option("any", ""), ...counted.filter(([value, , count]) => count || value === wanted)
    .map(([value, text, count]) => new Option(test ? text : `${text} (${count.toLocaleString("en")})`, value)));
  made.value = wanted;
  label.append(made);
  return label;
}

function chip([value, text, count]) {
  const made = element("button", text, "chip");
  made.type = "button";
  made.value = value;
  made.setAttribute("aria-pressed", String(facets.chosen.kind === value));
  made.disabled = !count && facets.chosen.kind !== value;
  return made;
}

function drawFilters() {
  const [kinds, ...others] = facets.options(engine.count), focus = document.activeElement;
  const name = focus?.name, value = focus?.value;
  chips.replaceChildren(...kinds.counted.map(chip));
  grid.replaceChildren(...others.map(choice));
  clear.hidden = !facets.any;
  const set = Object.keys(facets.chosen).filter((each) => each !== "kind").length;
  id("search-set").textContent = set ? `, ${set} set` : "";
  if (!focus?.isConnected) { // what had the focus was drawn anew
    (name ? grid.querySelector(`[name="${name}"]`) : chips.querySelector(`[value="${value}"]`))?.focus();
  }
}

function remember(how) {
  const url = new URL(location.href);
  url.searchParams.delete("q");
  if (field.value.trim()) url.searchParams.set("q", field.value.trim());
  facets.put(url.searchParams);
  if (url.href !== location.href) history[how](null, "", url);
}

function said(query, worded) {
  if (!query && !facets.any) return "Type a technique, a title, a name, or what you need in your own words.";
  const what = query ? ` for “${query}”` : "";
  if (!found.length) return `Nothing found${what}. Fewer words or filters may help.`;
  if (!worded) return `No page has these words. Nearest in meaning: ${found.length}.`;
  return `${found.length.toLocaleString("en")} ${found.length === 1 ? "result" : "results"}${what}`;
}

async function run() {
  const mine = ++turn, query = field.value.trim(), start = performance.now();
  try {
    const { places, worded } = await engine.search(query);
    if (mine !== turn) return;
    [found, shown] = [places, 0];
    performance.measure("octavo:query", { start });
    list.replaceChildren();
    await show(mine);
    if (mine !== turn) return;
    performance.measure("octavo:shown", { start });
    status.textContent = said(query, worded);
    if (query) keep(root, new URL(`${facts.folder}/files.json`, here), id("search-kept"));
  } catch (error) {
    if (mine === turn) status.textContent = `The index cannot be reached (${error.message}). Reload to try again.`;
  }
}

function changed(how = "pushState") {
  remember(how);
  drawFilters();
  return run();
}

function read() {
  const asked = new URLSearchParams(location.search);
  field.value = asked.get("q") ?? "";
  facets.take(asked);
  drawFilters();
  return run();
}

function step(event) {
  const stops = [field, ...list.querySelectorAll("a")], at = stops.indexOf(document.activeElement);
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, Escape: 0 }[event.key];
  if (at < 0 || to === undefined || !stops[to] || stops[to] === stops[at]) return;
  event.preventDefault();
  stops[to].focus();
}

let timer = 0;
field.addEventListener("input", () => {
  clearTimeout(timer);
  timer = setTimeout(() => { remember("replaceState"); run(); }, PAUSE);
});
form.addEventListener("submit", (event) => { event.preventDefault(); clearTimeout(timer); changed(); });
grid.addEventListener("change", ({ target }) => { facets.set(target.name, target.value); changed(); });
chips.addEventListener("click", ({ target }) => {
  const kind = target.closest("button")?.value;
  if (kind) { facets.set("kind", facets.chosen.kind === kind ? "" : kind); changed(); }
});
clear.addEventListener("click", () => { facets.chosen = {}; changed(); field.focus(); });
more.addEventListener("click", async () => {
  const before = shown;
  await show(turn);
  list.querySelectorAll("a")[before]?.focus();
});
document.addEventListener("keydown", step);
addEventListener("popstate", read);
id("search-narrow").hidden = false;
filters.open = matchMedia("(min-width: 62rem)").matches;
await read();
