/* The desk by keyboard: one key presses the button that names it. Without this script every
   button is still there. Keys rest while something is being typed. */
"use strict";

(() => {
  const typing = (element) => Boolean(element.closest("input, textarea, select, [contenteditable]"));
  let pressed = false;

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.isComposing) return;
    if (event.key === "Escape" && typing(document.activeElement)) document.activeElement.blur();
    if (typing(event.target)) return;
    const key = event.key.toLowerCase();
    const wanted = document.querySelector(`[data-key="${CSS.escape(key)}"]`);
    if (!wanted || pressed) return;
    event.preventDefault();
    // One press, one decision: what comes after the answer is another case.
    pressed = wanted.type === "submit";
    if (wanted.matches("input, textarea")) wanted.focus();
    else wanted.click();
  });

  window.addEventListener("pageshow", () => { pressed = false; });

  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-print]")) window.print();
  });
})();
