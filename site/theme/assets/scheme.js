// Runs before the first paint, so that a chosen scheme never flashes.
"use strict";
document.documentElement.classList.replace("no-js", "js");
try {
  const chosen = localStorage.getItem("octavo-scheme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.scheme = chosen;
} catch { /* storage refused: the system's scheme stands */ }
