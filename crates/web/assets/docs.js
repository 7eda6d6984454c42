// The search box of the API reference, and opening the call that a link leads to.
"use strict";

const search = document.getElementById("search");
const calls = Array.from(document.querySelectorAll("details.operation"));

function open() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target instanceof HTMLDetailsElement) target.open = true;
}

function filter() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const call of calls) {
    const text = call.querySelector("summary").textContent.toLowerCase();
    call.hidden = !words.every((word) => text.includes(word));
  }
  for (const section of document.querySelectorAll("main > section")) {
    section.hidden = !section.querySelector("details.operation:not([hidden])");
  }
}

window.addEventListener("hashchange", open);
open();
if (search) {
  search.parentElement.hidden = false;
  search.addEventListener("input", filter);
}
