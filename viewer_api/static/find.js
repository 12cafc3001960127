/* Find a person: shows results while the reader types. Without this script the same form
   is sent by its button; the server answers the same rows either way. */
"use strict";

(() => {
  const form = document.querySelector("[data-find]");
  if (!form) return;
  const box = form.querySelector("input[name=q]");
  const area = document.getElementById("results");
  const said = document.getElementById("results-said");
  const PAUSE_MS = 250;
  let waiting = 0;
  let running = null;
  let composing = false;
  let shown = box.value.trim();

  const say = () => {
    const first = area.querySelector("[data-said]");
    said.textContent = first ? first.dataset.said : "";
  };

  const ask = async () => {
    const text = box.value.trim();
    if (text === shown || composing) return;
    shown = text;
    if (running) running.abort();
    running = new AbortController();
    document.body.classList.add("busy");
    area.setAttribute("aria-busy", "true");
    try {
      const address = `${form.dataset.find}?${new URLSearchParams({ q: text })}`;
      const answer = await fetch(address, {
        signal: running.signal,
        headers: { "X-Requested-With": "fetch" },
        credentials: "same-origin",
      });
      if (answer.status === 401 || answer.redirected) return window.location.reload();
      if (!answer.ok) throw new Error(String(answer.status));
      area.innerHTML = await answer.text();
      say();
    } catch (error) {
      if (error.name === "AbortError") return;
      shown = null;
      area.replaceChildren(document.getElementById("results-failed").content.cloneNode(true));
      say();
    }
    document.body.classList.remove("busy");
    area.setAttribute("aria-busy", "false");
  };

  const soon = () => {
    window.clearTimeout(waiting);
    waiting = window.setTimeout(ask, PAUSE_MS);
  };

  box.addEventListener("compositionstart", () => { composing = true; });
  box.addEventListener("compositionend", () => { composing = false; soon(); });
  box.addEventListener("input", soon);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    window.clearTimeout(waiting);
    ask();
  });
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-again]")) ask();
  });

  const rows = () => Array.from(area.querySelectorAll("a.person"));
  document.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    const all = rows();
    const at = all.indexOf(document.activeElement);
    if (at < 0 && document.activeElement !== box) return;
    const next = at + (event.key === "ArrowDown" ? 1 : -1);
    event.preventDefault();
    if (next < 0) box.focus();
    else if (all[next]) all[next].focus();
  });
})();
