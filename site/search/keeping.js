// Searching without a network: once a first answer is shown and the page rests, a service worker is
// asked to keep all that any question may need (a few megabytes). A worker, because Pagefind fetches
// its own files and because a reload then works as well. The network still comes first: what is
// kept answers only where the network does not.
let asked = false;

export async function keep(root, files, told) {
  if (asked || !navigator.serviceWorker || navigator.connection?.saveData) return;
  asked = true;
  const rest = globalThis.requestIdleCallback ?? ((call) => setTimeout(call, 300));
  await new Promise((done) => { rest(done, { timeout: 3000 }); });
  try {
    navigator.serviceWorker.addEventListener("message", ({ data }) => {
      if (data.kept) told.textContent = "Kept for use without a network.";
    });
    await navigator.serviceWorker.register(new URL("offline.js", root), { updateViaCache: "none" });
    const { active } = await navigator.serviceWorker.ready;
    active.postMessage({ files: files.href, root: root.href });
  } catch {
    asked = false; // refused here (a private window, no space): searching goes on as before
  }
}
