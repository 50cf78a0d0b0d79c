// The scheme switch, folds, the copy buttons, and "/" to search. Pages read well without any of it.
"use strict";

const page = document.documentElement;
const system = matchMedia("(prefers-color-scheme: dark)");

function current() {
  return page.dataset.scheme || (system.matches ? "dark" : "light");
}

function label(button) {
  const next = current() === "dark" ? "light" : "dark";
  button.setAttribute("aria-label", `Switch to the ${next} scheme`);
  button.title = `Switch to the ${next} scheme`;
}

const button = document.getElementById("scheme");
if (button) {
  button.hidden = false;
  label(button);
  system.addEventListener("change", () => label(button));
  button.addEventListener("click", () => {
    page.dataset.scheme = current() === "dark" ? "light" : "dark";
    try { localStorage.setItem("octavo-scheme", page.dataset.scheme); } catch { /* for this page only */ }
    label(button);
  });
}

const here = document.querySelector(".top nav [aria-current]");
if (here) here.parentElement.scrollLeft = here.offsetLeft - here.parentElement.offsetLeft - 48;

// A link into a fold opens it.
function unfold() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let fold = target?.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
  target?.scrollIntoView();
}
if (location.hash) unfold();
addEventListener("hashchange", unfold);

async function copy(target) {
  const told = target.textContent;
  try {
    await navigator.clipboard.writeText(target.dataset.copy);
    target.textContent = "Copied";
  } catch {
    const text = target.parentElement.querySelector("code, pre");
    getSelection().selectAllChildren(text);
    target.textContent = "Selected";
  }
  setTimeout(() => { target.textContent = told; }, 1600);
}

document.addEventListener("click", (event) => {
  const target = event.target.closest("button[data-copy]");
  if (target) copy(target);
});

document.addEventListener("keydown", (event) => {
  const busy = event.target.closest("input, textarea, select, [contenteditable]");
  if (event.key !== "/" || busy || event.ctrlKey || event.metaKey || event.altKey) return;
  const field = document.querySelector(".book input[type=search], .find input");
  if (field) { event.preventDefault(); field.focus(); field.select(); }
});
