// The site's service worker: it answers from what the search page asked it to keep, and only where
// the network gives no answer. See search/keeping.js.
const NAME = "octavo-search:";

addEventListener("install", () => skipWaiting());
addEventListener("activate", (event) => event.waitUntil(clients.claim()));

addEventListener("fetch", (event) => {
  const { request } = event, url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== location.origin) return;
  event.respondWith(fetch(request).catch(async (error) => {
    const kept = await caches.match(url.pathname, { ignoreSearch: true });
    if (kept) return kept;
    throw error;
  }));
});

addEventListener("message", (event) => event.waitUntil(keep(event.data, event.source)));

async function keep({ files, root }, page) {
  const wanted = await (await fetch(files)).json(), name = NAME + files, cache = await caches.open(name);
  for (const path of wanted) {
    const url = new URL(path, root);
    if (!await cache.match(url)) await cache.add(new Request(url, { cache: "no-cache" }));
  }
  for (const other of await caches.keys()) {
    if (other.startsWith(NAME) && other !== name) await caches.delete(other);
  }
  page?.postMessage({ kept: wanted.length });
}
