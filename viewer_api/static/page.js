/* Small courtesies on every page: copy an address, send a filter when it changes,
   say so when a thumbnail cannot be loaded. Pages work without it. */
"use strict";

(() => {
  document.documentElement.classList.add("with-script");

  const copy = async (button) => {
    const text = document.getElementById(button.dataset.copy).textContent.trim();
    const before = button.textContent;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const range = document.createRange();
      range.selectNodeContents(document.getElementById(button.dataset.copy));
      const selection = window.getSelection();
      selection.removeAllRanges();
      selection.addRange(range);
      return;
    }
    button.textContent = button.dataset.copied;
    window.setTimeout(() => { button.textContent = before; }, 2000);
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (button) copy(button);
  });

  document.addEventListener("change", (event) => {
    const form = event.target.closest("form[data-at-once]");
    if (form) form.requestSubmit();
  });

  const lost = (image) => {
    const box = image.closest(".picture");
    if (!box || box.classList.contains("picture-lost")) return;
    box.classList.add("picture-lost");
    const text = document.createElement("span");
    text.className = "small";
    text.textContent = document.body.dataset.noPicture;
    image.replaceWith(text);
  };
  for (const image of document.querySelectorAll(".picture img")) {
    image.addEventListener("error", () => lost(image));
    if (image.complete && image.naturalWidth === 0 && image.currentSrc) lost(image);
  }

  const every = Number(document.body.dataset.refreshS || 0);
  if (every > 0) {
    window.setInterval(() => {
      if (document.visibilityState === "visible") window.location.reload();
    }, every * 1000);
  }
})();
