/* The quick viewer: wires the viewports of a study page to pictures, labels, fingers, keys, cine
   and each other. Without it the page shows one frame and plain links to the next and previous.
   Every picture is rendered by the hub, so what is shown is what was proved. */

import { Cine } from "./cine.js";
import { watchGestures } from "./gestures.js";
import { watchKeys } from "./keys.js";
import { keepLabels, loadFacts } from "./labels.js";
import { Link } from "./link.js";
import { Pictures } from "./pictures.js";
import { Stack, STATE } from "./stack.js";
import { Viewport } from "./viewport.js";

const ADDRESS_MS = 400;

class Viewer {
  #frame = document.querySelector("[data-viewers]");
  #dialog = document.getElementById("viewer-help");
  #words = JSON.parse(document.getElementById("viewer-words").textContent);
  #cines = new Map();
  #link = null;

  start() {
    const roots = this.#frame ? Array.from(this.#frame.querySelectorAll("[data-viewer]")) : [];
    if (!roots.length) return;
    this.viewports = roots.map((root) => this.#open(root));
    [this.active] = this.viewports;
    if (this.viewports.length === 2) this.#linkPair();
    watchKeys(this);
    this.#watchPage();
    for (const viewport of this.viewports) {
      viewport.refresh();
      loadFacts(viewport, this.#words).then(() => this.#link?.settle());
    }
    this.active.stage.focus({ preventScroll: true });
  }

  cineOf(viewport) {
    return this.#cines.get(viewport);
  }

  choosePreset(viewport, place) {
    const button = presets(viewport)[place];
    if (!button) return;
    this.#setWindow(viewport, button);
    if (!this.#link?.isOn) return;
    const other = this.#link.other(viewport);
    const same = presets(other).find((one) => one.dataset.window === button.dataset.window);
    if (same) this.#setWindow(other, same);
  }

  /* `name` is states or palettes: the list of choices. In a linked pair both follow, where both
     have it. */
  choose(viewport, name, value) {
    this.#choose(viewport, name, value);
    if (this.#link?.isOn && has(this.#link.other(viewport), name, value)) this.#choose(this.#link.other(viewport), name, value);
  }

  /* The choice after the one that is made, round and round. */
  chooseNext(viewport, name) {
    const list = viewport.part(name);
    if (list) this.choose(viewport, name, list.options[(list.selectedIndex + 1) % list.options.length].value);
  }

  toggleFull() {
    const full = this.#frame.classList.toggle("full");
    document.body.classList.toggle("has-full", full);
    for (const button of this.#frame.querySelectorAll("[data-do=full]")) button.setAttribute("aria-pressed", String(full));
    this.#placeAll();
    this.active.stage.focus({ preventScroll: true });
  }

  leaveFull() {
    if (this.#frame.classList.contains("full")) this.toggleFull();
  }

  toggleLink() {
    if (this.#link) this.#link.box.click();
  }

  help() {
    this.#dialog.showModal();
  }

  #open(root) {
    const data = JSON.parse(root.querySelector("script[type='application/json']").textContent);
    const viewport = new Viewport(root, new Stack(data), new Pictures(), this.#words);
    keepLabels(viewport, this.#words);
    watchGestures(viewport);
    this.#cines.set(viewport, new Cine(viewport, this.#words));
    this.#watchControls(viewport);
    viewport.on("shown", later(() => rememberFrame(viewport)));
    root.dataset.ready = "true";
    return viewport;
  }

  #watchControls(viewport) {
    const deeds = {
      next: () => viewport.step(1),
      previous: () => viewport.step(-1),
      in: () => viewport.placement.scale(1.25),
      out: () => viewport.placement.scale(0.8),
      fit: () => viewport.placement.fit(),
      full: () => this.toggleFull(),
      help: () => this.help(),
    };
    for (const control of viewport.root.querySelectorAll("[data-do]")) {
      control.addEventListener("click", (event) => {
        event.preventDefault();
        deeds[control.dataset.do]();
      });
    }
    presets(viewport).forEach((button, place) =>
      button.addEventListener("click", () => this.choosePreset(viewport, place)));
    for (const name of ["states", "palettes"]) {
      viewport.part(name)?.addEventListener("change", (event) => this.choose(viewport, name, event.target.value));
    }
    const slider = viewport.part("slider");
    if (slider) slider.addEventListener("input", () => viewport.go(Number(slider.value) - 1));
    for (const used of ["pointerdown", "focusin"]) {
      viewport.root.addEventListener(used, () => this.#activate(viewport));
    }
  }

  #activate(viewport) {
    this.active = viewport;
    for (const one of this.viewports) one.root.classList.toggle("active", one === viewport);
  }

  #setWindow(viewport, chosen) {
    this.#show(viewport, { window: chosen.dataset.window, word: chosen.textContent.trim() });
  }

  /* A presentation state says everything itself: with one no window and no palette is chosen. */
  #choose(viewport, name, value) {
    const list = viewport.part(name);
    list.value = value;
    if (name === "palettes") {
      this.#show(viewport, viewport.window.startsWith(STATE) ? stored(viewport) : {}, value);
    } else {
      this.#show(viewport, value ? { window: value, word: list.selectedOptions[0].textContent.trim() } : stored(viewport));
    }
  }

  #show(viewport, { window = viewport.window, word = viewport.part("window").textContent }, palette = viewport.palette) {
    const isState = window.startsWith(STATE);
    const [states, palettes] = [viewport.part("states"), viewport.part("palettes")];
    if (states && !isState) states.value = "";
    if (palettes && isState) palettes.value = "";
    for (const button of presets(viewport)) button.setAttribute("aria-pressed", String(button.dataset.window === window));
    viewport.part("window").textContent = word;
    viewport.part("palette-word").textContent = palettes?.value ? palettes.selectedOptions[0].textContent : "";
    viewport.setLook({ window, palette: isState ? "" : palette });
  }

  #linkPair() {
    const box = document.getElementById("link-scrolling");
    this.#link = new Link(this.viewports, box, document.getElementById("link-said"), this.#words);
  }

  #placeAll() {
    for (const { placement } of this.viewports) placement.place();
  }

  #watchPage() {
    window.addEventListener("resize", () => this.#placeAll());
    this.#dialog.querySelector("[data-close]").addEventListener("click", () => this.#dialog.close());
  }
}

function presets(viewport) {
  return Array.from(viewport.root.querySelectorAll("[data-window]:is(button)"));
}

/* The first button shows what is stored. */
function stored(viewport) {
  const [first] = presets(viewport);
  return { window: "", word: first ? first.textContent.trim() : viewport.root.dataset.stored };
}

function has(viewport, name, value) {
  return Array.from(viewport.part(name)?.options || []).some((one) => one.value === value);
}

/* The address follows the picture: a reload, another language or a comparison start here. */
function rememberFrame(viewport) {
  const { frameName, seriesName, series } = viewport.root.dataset;
  const address = new URL(window.location.href);
  address.searchParams.set(seriesName, series);
  address.searchParams.set(frameName, String(viewport.at + 1));
  if (viewport.root.dataset.slot === "now") {
    if (viewport.window.startsWith(STATE)) address.searchParams.set("state", viewport.window.slice(STATE.length));
    else address.searchParams.delete("state");
  }
  window.history.replaceState(null, "", address);
  for (const [name, value] of [[seriesName, series], [frameName, String(viewport.at + 1)]]) {
    for (const field of document.querySelectorAll(`input[type=hidden][name="${name}"]`)) field.value = value;
  }
}

function later(deed) {
  let timer = 0;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(deed, ADDRESS_MS);
  };
}

new Viewer().start();
