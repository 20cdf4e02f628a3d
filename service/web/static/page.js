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
  // A part that asks again and again goes on when nobody answers, or whoever stands before the service does.
  const asks = (element) => (element.getAttribute("hx-trigger") || "").startsWith("every");
  // What is refused is shown where its answer would stand.
  document.body.addEventListener("htmx:beforeSwap", (event) => {
    const status = event.detail.xhr.status;
    if (status >= 400) event.detail.shouldSwap = status < 500 || !asks(event.detail.requestConfig.elt);
  });
  // When nobody answers, that is said until somebody does.
  const lost = document.getElementById("lost");
  const say = (event) => {
    const status = event.detail.xhr.status;
    lost.hidden = status > 0 && !(status >= 500 && asks(event.detail.requestConfig.elt));
  };
  for (const each of ["htmx:afterRequest", "htmx:sendError"]) document.body.addEventListener(each, say);
  // What somebody opened stays open when its part of the page is put in anew.
  let open = [];
  document.body.addEventListener("htmx:beforeSwap", (event) => {
    open = [...event.detail.target.querySelectorAll("details[open][id]")].map((each) => each.id);
  });
  document.body.addEventListener("htmx:afterSwap", () => {
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  });
  // The list of jobs is old when the last one that ran has ended.
  document.body.addEventListener("ended", () => location.reload());
});
