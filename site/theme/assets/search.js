// The search page over Pagefind's index. Text of results is set as text, never as HTML.
const STEP = 15;
const KINDS = ["Method", "Paper", "Kernel", "Technique", "Theme", "Guide"];
const id = (name) => document.getElementById(name);
const form = id("search-form"), field = id("search-q"), list = id("search-results");
const status = id("search-status"), more = id("search-more"), filters = id("search-filters");

const pagefind = await import(new URL("../pagefind/pagefind.js", import.meta.url));
const home = new URL("../", import.meta.url);
await pagefind.options({ baseUrl: home.pathname, excerptLength: 28 });
await pagefind.filters();

let turn = 0, found = [], shown = 0;
const wanted = { kind: "", theme: "" };

function marked(html) {
  const part = document.createElement("p");
  const parsed = new DOMParser().parseFromString(html, "text/html").body;
  for (const node of parsed.childNodes) {
    const child = node.nodeName === "MARK" ? document.createElement("mark") : null;
    if (child) { child.textContent = node.textContent; part.append(child); }
    else part.append(node.textContent);
  }
  return part;
}

function element(name, text, kind) {
  const made = document.createElement(name);
  made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

function row(data) {
  const item = document.createElement("li");
  const title = element("a", data.meta.title || data.url);
  title.href = data.url;
  item.append(element("span", data.meta.kind || "Guide", "kind"), title);
  if (data.meta.about) item.append(element("span", data.meta.about, "about"));
  item.append(marked(data.excerpt));
  return item;
}

async function show(mine) {
  const part = await Promise.all(found.slice(shown, shown + STEP).map((hit) => hit.data()));
  if (mine !== turn) return;
  list.append(...part.map(row));
  shown += part.length;
  more.hidden = shown >= found.length;
}

function chips(name, counts, order) {
  const keys = order.filter((key) => counts[key] || wanted[name] === key);
  if (keys.length < 2 && !wanted[name]) return [];
  const group = document.createElement("div");
  group.setAttribute("role", "group");
  group.setAttribute("aria-label", name);
  for (const key of keys) {
    const chip = element("button", `${key} `, "chip");
    chip.type = "button";
    chip.append(element("span", String(counts[key] ?? 0), "fig"));
    chip.setAttribute("aria-pressed", String(wanted[name] === key));
    chip.addEventListener("click", () => { wanted[name] = wanted[name] === key ? "" : key; run(); });
    group.append(chip);
  }
  return [group];
}

function draw(counts) {
  const kinds = counts.kind ?? {}, themes = counts.theme ?? {};
  const common = Object.keys(themes).sort((a, b) => themes[b] - themes[a] || a.localeCompare(b));
  filters.replaceChildren(...chips("kind", kinds, KINDS), ...chips("theme", themes, common.slice(0, 10)));
  filters.hidden = !filters.childElementCount;
}

function remember(query) {
  const url = new URL(location.href);
  for (const [key, value] of Object.entries({ q: query, ...wanted })) {
    if (value) url.searchParams.set(key, value); else url.searchParams.delete(key);
  }
  history.replaceState(null, "", url);
}

async function run() {
  const mine = ++turn, query = field.value.trim();
  remember(query);
  const chosen = Object.fromEntries(Object.entries(wanted).filter(([, value]) => value));
  if (!query && !Object.keys(chosen).length) {
    list.replaceChildren(); filters.hidden = true; more.hidden = true;
    status.textContent = "Type a technique, a title or a name.";
    return;
  }
  const answer = await pagefind.search(query || null, { filters: chosen });
  if (mine !== turn) return;
  found = answer.results; shown = 0;
  list.replaceChildren();
  draw(answer.totalFilters ?? answer.filters);
  status.textContent = found.length === 0
    ? `Nothing found for “${query}”. Fewer words may help.`
    : `${found.length.toLocaleString("en")} ${found.length === 1 ? "result" : "results"}`;
  await show(mine);
}

function step(event) {
  if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
  const stops = [field, ...list.querySelectorAll("a")];
  const at = stops.indexOf(document.activeElement);
  if (at < 0) return;
  const next = stops[at + (event.key === "ArrowDown" ? 1 : -1)];
  if (next) { event.preventDefault(); next.focus(); }
}

let timer = 0;
field.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(run, 150); });
form.addEventListener("submit", (event) => { event.preventDefault(); clearTimeout(timer); run(); });
more.addEventListener("click", () => show(turn));
document.addEventListener("keydown", step);

const asked = new URLSearchParams(location.search);
field.value = asked.get("q") ?? "";
wanted.kind = asked.get("kind") ?? "";
wanted.theme = asked.get("theme") ?? "";
await run();
