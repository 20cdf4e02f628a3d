"use strict";
// What a page needs beyond links and forms. Without it everything works all the same.
addEventListener("DOMContentLoaded", () => {
  // A form whose changes are not saved asks before it is left.
  for (const form of document.querySelectorAll("form[data-guard]")) {
    let changed = false;
    form.addEventListener("input", () => { changed = true; });
    form.addEventListener("submit", () => { changed = false; });
    addEventListener("beforeunload", (event) => { if (changed) event.preventDefault(); });
  }
  // Nothing is asked for while nobody looks.
  document.body.addEventListener("htmx:beforeRequest", (event) => {
    const polls = event.detail.elt.getAttribute("hx-trigger");
    if (document.hidden && polls) event.preventDefault();
  });
  // What is refused is shown where its answer would stand.
  document.body.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.xhr.status >= 400) event.detail.shouldSwap = true;
  });
  // The list of jobs is old when the last one that ran has ended.
  document.body.addEventListener("ended", () => location.reload());
});
