/* The picture stage: scroll a stack with wheel, keys or finger; zoom; window presets.
   Every frame is a picture rendered by the hub, so what is shown is what was proved.
   Without this script the page shows one frame and plain links to the next and previous. */
"use strict";

(() => {
  const root = document.querySelector("[data-viewer]");
  if (!root) return;
  const stack = JSON.parse(document.getElementById("viewer-frames").textContent);
  const frames = stack.instances.flatMap(([uid, count]) =>
    Array.from({ length: count }, (_, index) => `${stack.prefix}${uid}${stack.middle}${index + 1}${stack.suffix}`));
  const stage = root.querySelector(".viewer-stage");
  let picture = stage.querySelector("img");
  const said = root.querySelector(".viewer-said");
  const slider = root.querySelector("input[type=range]");
  const position = root.querySelector("[data-position]");
  const again = root.querySelector("[data-again]");
  const zoomText = root.querySelector("[data-zoom-text]");
  const windowText = root.querySelector("[data-window-text]");
  const words = root.dataset;
  const KEEP = 64;
  const AHEAD = 4;
  const SLOW_MS = 180;
  const cache = new Map();
  const state = { at: Number(words.start) || 0, preset: "", zoom: 1, x: 0, y: 0, wheel: 0 };

  const address = (index) => {
    const base = frames[index];
    if (!state.preset) return base;
    return base + (base.includes("?") ? "&" : "?") + "window=" + encodeURIComponent(state.preset);
  };

  const load = (index) => {
    const url = address(index);
    let entry = cache.get(url);
    if (!entry) {
      const image = new Image();
      image.alt = picture.alt;
      image.draggable = false;
      image.src = url;
      entry = image.decode().then(() => image);
      entry.catch(() => cache.delete(url));
      cache.set(url, entry);
      if (cache.size > KEEP) cache.delete(cache.keys().next().value);
    }
    return entry;
  };

  const say = (text, retry) => {
    said.hidden = !text;
    said.firstElementChild.textContent = text;
    again.hidden = !retry;
  };

  const show = async () => {
    const index = state.at;
    const wanted = address(index);
    position.textContent = `${index + 1} / ${frames.length}`;
    if (slider) {
      slider.value = String(index + 1);
      slider.setAttribute("aria-valuetext", position.textContent);
    }
    stage.dataset.state = "loading";
    const slow = window.setTimeout(() => { if (wanted === address(state.at)) say(words.loading, false); }, SLOW_MS);
    try {
      const image = await load(index);
      if (wanted !== address(state.at)) return;
      /* The decoded element itself goes on the stage: answers are no-store, a second element
         with the same address would be fetched again. */
      picture.replaceWith(image);
      picture = image;
      picture.hidden = false;
      place();
      say("", false);
      stage.dataset.state = "shown";
      stage.dataset.frame = String(index + 1);
      for (let step = 1; step <= AHEAD; step += 1) {
        if (frames[index + step]) load(index + step).catch(() => {});
      }
      if (frames[index - 1]) load(index - 1).catch(() => {});
    } catch {
      if (wanted !== address(state.at)) return;
      picture.hidden = true;
      stage.dataset.state = "failed";
      say(words.failed, true);
    } finally {
      window.clearTimeout(slow);
    }
  };

  const go = (index) => {
    const next = Math.min(frames.length - 1, Math.max(0, index));
    if (next === state.at) return;
    state.at = next;
    show();
  };

  function place() {
    const limit = (state.zoom - 1) / 2;
    const wide = stage.clientWidth * limit;
    const high = stage.clientHeight * limit;
    state.x = Math.min(wide, Math.max(-wide, state.x));
    state.y = Math.min(high, Math.max(-high, state.y));
    picture.style.transform = `translate(${state.x}px, ${state.y}px) scale(${state.zoom})`;
    stage.classList.toggle("zoomed", state.zoom > 1);
    zoomText.textContent = `${Math.round(state.zoom * 100)} %`;
  }

  const zoom = (factor) => {
    state.zoom = Math.min(8, Math.max(1, state.zoom * factor));
    place();
  };

  const fit = () => {
    Object.assign(state, { zoom: 1, x: 0, y: 0 });
    place();
  };

  const choose = (button) => {
    state.preset = button.dataset.window;
    for (const other of root.querySelectorAll("[data-window]")) {
      other.setAttribute("aria-pressed", String(other === button));
    }
    windowText.textContent = button.textContent.trim();
    show();
  };

  const presets = Array.from(root.querySelectorAll("[data-window]"));
  presets.forEach((button) => button.addEventListener("click", () => choose(button)));

  const deeds = {
    next: () => go(state.at + 1),
    previous: () => go(state.at - 1),
    in: () => zoom(1.25),
    out: () => zoom(0.8),
    fit,
  };
  for (const button of root.querySelectorAll("[data-do]")) {
    button.addEventListener("click", (event) => {
      event.preventDefault();
      deeds[button.dataset.do]();
    });
  }
  again.addEventListener("click", show);
  if (slider) slider.addEventListener("input", () => go(Number(slider.value) - 1));

  const keys = {
    ArrowDown: deeds.next, ArrowRight: deeds.next, ArrowUp: deeds.previous, ArrowLeft: deeds.previous,
    PageDown: () => go(state.at + 10), PageUp: () => go(state.at - 10),
    Home: () => go(0), End: () => go(frames.length - 1),
    "+": deeds.in, "=": deeds.in, "-": deeds.out, 0: fit,
  };
  stage.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target !== stage) return;
    const deed = keys[event.key] || (presets[Number(event.key) - 1] && (() => choose(presets[Number(event.key) - 1])));
    if (!deed) return;
    event.preventDefault();
    deed();
  });

  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    if (event.ctrlKey) return zoom(event.deltaY < 0 ? 1.15 : 1 / 1.15);
    state.wheel += event.deltaMode === 0 ? event.deltaY : event.deltaY * 40;
    const steps = Math.trunc(state.wheel / 40);
    if (steps) {
      state.wheel -= steps * 40;
      go(state.at + steps);
    }
  }, { passive: false });

  /* One finger scrolls the stack (or moves a zoomed picture); two fingers zoom. */
  const fingers = new Map();
  let spread = 0;
  let drag = null;
  const STEP_PX = 14;

  const apart = () => {
    const [one, two] = Array.from(fingers.values());
    return Math.hypot(one.x - two.x, one.y - two.y);
  };

  stage.addEventListener("pointerdown", (event) => {
    if (event.button > 0 || event.target.closest("button")) return;
    stage.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (fingers.size === 2) spread = apart();
    drag = { x: event.clientX, y: event.clientY, at: state.at, left: state.x, top: state.y };
  });

  stage.addEventListener("pointermove", (event) => {
    if (!fingers.has(event.pointerId)) return;
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (fingers.size === 2) {
      const now = apart();
      if (spread > 0) zoom(now / spread);
      spread = now;
      return;
    }
    if (!drag) return;
    if (state.zoom > 1) {
      state.x = drag.left + event.clientX - drag.x;
      state.y = drag.top + event.clientY - drag.y;
      place();
    } else {
      go(drag.at + Math.trunc((event.clientY - drag.y) / STEP_PX));
    }
  });

  const lift = (event) => {
    fingers.delete(event.pointerId);
    drag = null;
  };
  stage.addEventListener("pointerup", lift);
  stage.addEventListener("pointercancel", lift);
  stage.addEventListener("dblclick", fit);
  window.addEventListener("resize", place);

  root.dataset.ready = "true";
  show();
})();
