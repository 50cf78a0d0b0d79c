// The search page over Pagefind's index. Text of results is set as text, never as HTML.
// Pagefind wants every word of a query; a question in a reader's own words rarely has a page with
// all of them. So each word is asked for alone and pages are ranked by the rarity of what they hold.
const STEP = 15;
const KINDS = ["Method", "Paper", "Kernel", "Technique", "Theme", "Guide"];
const COMMON = new Set(("a an and are as at be by can do does for from has have how i in into is it its my of on or "
  + "than that the their them then there these they this to use used using want what when where whether which "
  + "while with without you").split(" "));
const id = (name) => document.getElementById(name);
const form = id("search-form"), field = id("search-q"), list = id("search-results");
const status = id("search-status"), more = id("search-more"), filters = id("search-filters");

const pagefind = await import(new URL("../pagefind/pagefind.js", import.meta.url));
await pagefind.options({ baseUrl: new URL("../", import.meta.url).pathname, excerptLength: 28 });
const known = await pagefind.filters();
const size = Object.values(known.kind ?? {}).reduce((sum, count) => sum + count, 1);

// What can be run comes before what is only described, and methods before other pages.
const favoured = new Map();
for (const [filter, weight] of [[{ kind: "Method" }, 1.03], [{ state: "runs here" }, 1.1]]) {
  for (const hit of (await pagefind.search(null, { filters: filter })).results) favoured.set(hit.id, weight);
}

let turn = 0, found = [], shown = 0;
const wanted = { kind: "", theme: "", year: "" };

function element(name, text, kind) {
  const made = document.createElement(name);
  made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

// An excerpt is HTML with <mark>; parsed apart from the page, only marks and text are taken over.
function marked(html) {
  const part = document.createElement("p");
  for (const node of new DOMParser().parseFromString(html, "text/html").body.childNodes) {
    part.append(node.nodeName === "MARK" ? element("mark", node.textContent) : node.textContent);
  }
  return part;
}

function row(data) {
  const item = document.createElement("li");
  const title = element("a", data.meta.title || data.url);
  title.href = data.url;
  item.append(element("span", data.meta.kind || "Guide", "kind"), title);
  if (data.meta.about) item.append(element("span", data.meta.about, "about"));
  const gist = data.meta.gist;
  if (gist === undefined) item.append(marked(data.excerpt));
  else if (gist.trim()) item.append(element("p", gist));
  return item;
}

async function show(mine) {
  const part = await Promise.all(found.slice(shown, shown + STEP).map((hit) => hit.data()));
  if (mine !== turn) return;
  list.append(...part.map(row));
  shown += part.length;
  more.hidden = shown >= found.length;
}

function chip(kind) {
  const made = element("button", kind, "chip");
  made.type = "button";
  made.setAttribute("aria-pressed", String(wanted.kind === kind));
  made.addEventListener("click", () => {
    wanted.kind = wanted.kind === kind ? "" : kind;
    for (const other of filters.querySelectorAll(".chip")) {
      other.setAttribute("aria-pressed", String(other.textContent === wanted.kind));
    }
    run();
  });
  return made;
}

function choice(name, label, values) {
  const made = document.createElement("select");
  made.setAttribute("aria-label", name);
  made.append(new Option(label, ""), ...values.map((value) => new Option(value, value)));
  made.value = wanted[name];
  made.addEventListener("change", () => { wanted[name] = made.value; run(); });
  return made;
}

function drawFilters() {
  const years = Object.keys(known.year ?? {}).sort().reverse();
  filters.replaceChildren(
    ...KINDS.filter((kind) => known.kind?.[kind]).map(chip),
    choice("theme", "any theme", Object.keys(known.theme ?? {}).sort()),
    choice("year", "any year", years),
  );
  filters.hidden = false;
}

function remember(query) {
  const url = new URL(location.href);
  for (const [key, value] of Object.entries({ q: query, ...wanted })) {
    if (value) url.searchParams.set(key, value); else url.searchParams.delete(key);
  }
  history.replaceState(null, "", url);
}

async function ranked(query, chosen) {
  const all = (await pagefind.search(query || null, { filters: chosen })).results;
  const words = [...new Set(query.toLowerCase().split(/[\s,;:?!]+/))].filter((w) => w && !COMMON.has(w));
  if (words.length < 2) return all;
  const pages = new Map();
  let total = 0;
  for (const word of words) {
    const hits = (await pagefind.search(word, { filters: chosen })).results;
    const rarity = Math.log(1 + size / (1 + hits.length)), best = hits[0]?.score || 1;
    total += rarity;
    for (const hit of hits) {
      const page = pages.get(hit.id) ?? { hit, worth: 0, held: 0 };
      page.held += rarity;
      page.worth += rarity * (0.8 + 0.2 * Math.min(1, hit.score / best)) * (favoured.get(hit.id) ?? 1);
      pages.set(hit.id, page);
    }
  }
  for (const hit of all) if (pages.has(hit.id)) pages.get(hit.id).hit = hit;
  return [...pages.values()].filter((page) => page.held > 0.45 * total)
    .sort((a, b) => b.worth - a.worth).map((page) => page.hit);
}

async function run() {
  const mine = ++turn, query = field.value.trim();
  remember(query);
  const chosen = Object.fromEntries(Object.entries(wanted).filter(([, value]) => value));
  if (!query && !Object.keys(chosen).length) {
    list.replaceChildren();
    more.hidden = true;
    status.textContent = "Type a technique, a title or a name.";
    return;
  }
  const results = await ranked(query, chosen);
  if (mine !== turn) return;
  found = results;
  shown = 0;
  list.replaceChildren();
  const count = `${found.length.toLocaleString("en")} ${found.length === 1 ? "result" : "results"}`;
  status.textContent = found.length ? count : `Nothing found for “${query}”. Fewer words may help.`;
  await show(mine);
}

function step(event) {
  if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
  const stops = [field, ...list.querySelectorAll("a")];
  const next = stops[stops.indexOf(document.activeElement) + (event.key === "ArrowDown" ? 1 : -1)];
  if (stops.includes(document.activeElement) && next) { event.preventDefault(); next.focus(); }
}

let timer = 0;
field.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(run, 150); });
form.addEventListener("submit", (event) => { event.preventDefault(); clearTimeout(timer); run(); });
more.addEventListener("click", () => show(turn));
document.addEventListener("keydown", step);

const asked = new URLSearchParams(location.search);
field.value = asked.get("q") ?? "";
for (const name of Object.keys(wanted)) wanted[name] = asked.get(name) ?? "";
drawFilters();
await run();
