/* The page of a whole slide: learns its levels from the hub, then wires view, tiles, stage, hands
   and what stands beside the picture. */

import { PictureError } from "./pictures.js";
import { Pyramid } from "./slide_pyramid.js";
import { Stage } from "./slide_stage.js";
import { Tiles } from "./slide_tiles.js";
import { View } from "./slide_view.js";
import { watchHands, watchKeys, watchOverview } from "./slide_hands.js";

/* Lengths a scale bar may have, in micrometres; the longest that is not wider than MOST_BAR_PX. */
const BARS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000];
const MOST_BAR_PX = 160;
/* By custom a pixel of 10 µm is a magnification of 1. */
const MICROMETRES_AT_ONE = 10;
const STEP = 1.5;

class SlidePage {
  #root = document.querySelector("[data-slide]");
  #words = JSON.parse(document.getElementById("slide-words").textContent);
  #dialog = document.getElementById("slide-help");

  async start() {
    this.part("again").addEventListener("click", () => this.#tryAgain());
    this.#say(this.#words.loading);
    try {
      this.#open(new Pyramid(await this.#levels()));
    } catch (error) {
      this.#say(this.#words[error instanceof PictureError ? error.kind : "refused"], { failed: true });
    }
  }

  part(name) {
    return this.#root.querySelector(`[data-part="${name}"]`);
  }

  #tryAgain() {
    if (!this.pyramid) {
      window.location.reload();
      return;
    }
    this.tiles.forgive();
    this.drawing.refresh();
  }

  async #levels() {
    const answer = await fetch(this.#root.dataset.levels, { headers: { Accept: "application/json" } })
      .catch(() => { throw new PictureError("offline"); });
    if (answer.status === 401) throw new PictureError("session");
    if (answer.status === 503) throw new PictureError("busy");
    if (!answer.ok) throw new PictureError("refused");
    return (await answer.json()).levels;
  }

  #open(pyramid) {
    const [stage, overview] = [this.part("stage"), this.part("overview")];
    overview.style.aspectRatio = `${pyramid.width} / ${pyramid.height}`;
    this.#root.classList.add("open");
    this.pyramid = pyramid;
    this.stage = stage;
    this.tiles = new Tiles(() => this.drawing.refresh());
    this.view = new View(pyramid, stage);
    this.drawing = new Stage(pyramid, this.view, this.tiles, { canvas: this.part("canvas"), overview });
    this.drawing.listener = (drawn) => this.#write(drawn);
    this.view.listener = () => this.drawing.refresh();
    watchHands(stage, this.view);
    watchOverview(overview, pyramid, this.view);
    this.#watchControls();
    new ResizeObserver(() => this.view.settle()).observe(stage);
    stage.focus({ preventScroll: true });
    this.drawing.refresh();
  }

  #watchControls() {
    const deeds = {
      in: () => this.view.enlarge(STEP),
      out: () => this.view.enlarge(1 / STEP),
      fit: () => this.view.fit(),
      own: () => this.view.enlarge(1 / (this.view.scale * (window.devicePixelRatio || 1))),
      full: () => this.#toggleFull(),
      leave: () => { if (this.#root.classList.contains("full")) this.#toggleFull(); },
      overview: () => { this.part("overview").hidden = !this.part("overview").hidden; this.drawing.refresh(); },
      help: () => this.#dialog.showModal(),
    };
    watchKeys(this.stage, this.view, deeds);
    for (const button of this.#root.querySelectorAll("[data-do]")) {
      button.addEventListener("click", () => deeds[button.dataset.do]());
    }
    this.#dialog.querySelector("[data-close]").addEventListener("click", () => this.#dialog.close());
  }

  #toggleFull() {
    const full = this.#root.classList.toggle("full");
    document.body.classList.toggle("has-full", full);
    this.#root.querySelector("[data-do=full]").setAttribute("aria-pressed", String(full));
    this.stage.focus({ preventScroll: true });
  }

  #write({ level, missing, failed }) {
    const [first] = failed;
    const state = missing ? "loading" : first ? "failed" : "shown";
    Object.assign(this.stage.dataset, { level, state, scale: this.view.scale, x: this.view.x, y: this.view.y });
    this.#say(first ? this.#words[first.kind] || this.#words.refused : "", { failed: Boolean(first) });
    const micrometres = this.pyramid.micrometres / this.view.scale;
    this.part("zoom").textContent = micrometres
      ? `${round(MICROMETRES_AT_ONE / micrometres)} ×`
      : `${Math.round(this.view.scale * 100)} %`;
    this.#writeBar(micrometres);
  }

  #writeBar(micrometres) {
    const bar = this.part("bar");
    const length = BARS.findLast((one) => one / micrometres <= MOST_BAR_PX);
    bar.hidden = !micrometres || !length;
    this.part("no-scale").hidden = Boolean(micrometres);
    if (bar.hidden) return;
    bar.style.width = `${length / micrometres}px`;
    bar.textContent = length < 1000 ? `${length} µm` : `${length / 1000} mm`;
    bar.dataset.micrometres = length;
  }

  #say(text, { failed = false } = {}) {
    const said = this.part("said");
    said.hidden = !text;
    said.firstElementChild.textContent = text;
    this.part("again").hidden = !failed;
    if (failed) this.part("stage").dataset.state = "failed";
  }
}

function round(value) {
  return value < 10 ? Math.round(value * 10) / 10 : Math.round(value);
}

new SlidePage().start();
