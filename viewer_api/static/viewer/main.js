/* The quick viewer: wires the viewports of a study page to pictures, labels, fingers, keys, cine
   and each other. Without it the page shows one frame and plain links to the next and previous.
   Every picture is rendered by the hub, so what is shown is what was proved. */

import { Cine } from "./cine.js";
import { watchGestures } from "./gestures.js";
import { watchKeys } from "./keys.js";
import { keepLabels, loadFacts } from "./labels.js";
import { Link } from "./link.js";
import { Pictures } from "./pictures.js";
import { Stack } from "./stack.js";
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
    for (const button of presets(viewport)) button.setAttribute("aria-pressed", String(button === chosen));
    viewport.part("window").textContent = chosen.textContent.trim();
    viewport.setWindow(chosen.dataset.window);
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

/* The address follows the picture: a reload, another language or a comparison start here. */
function rememberFrame(viewport) {
  const { frameName, seriesName, series } = viewport.root.dataset;
  const address = new URL(window.location.href);
  address.searchParams.set(seriesName, series);
  address.searchParams.set(frameName, String(viewport.at + 1));
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
