/* One viewport: which frame is wished for, which one is on the stage, and what stands beside it.
   A picture and everything said about it change in the same moment; a picture asked for under
   another window is dropped, so what is on the stage is always what stands beside it. */

import { PictureError } from "./pictures.js";
import { Placement } from "./placement.js";

const AHEAD = 12;
const BEHIND = 3;
const SLOW_MS = 250;

export class Viewport {
  #pictures;
  #words;
  #canvas = document.createElement("canvas");
  #serving = false;
  #waiting = [];
  #direction = 1;

  /* `parts` are the elements of `root`, found by their data attributes in main.js. */
  constructor(root, stack, pictures, words) {
    this.root = root;
    this.stack = stack;
    this.stage = root.querySelector(".viewer-stage");
    this.placement = new Placement(this.stage, this.#canvas);
    this.window = root.dataset.firstWindow || "";
    this.palette = "";
    this.wished = stack.clamp(Number(root.dataset.start) || 0);
    this.at = this.wished;
    this.facts = null;
    this.listeners = { shown: [], moved: [] };
    this.#pictures = pictures;
    this.#words = words;
    this.#prepareStage();
  }

  part(name) {
    return this.root.querySelector(`[data-part="${name}"]`);
  }

  on(event, listener) {
    this.listeners[event].push(listener);
  }

  /* Wish for a frame; resolves once it, or a later wish, is on the stage or has failed.
     `quiet` moves come from a linked viewport and are not passed on. */
  go(index, { quiet = false } = {}) {
    const next = this.stack.clamp(index);
    if (next !== this.wished) this.#direction = next > this.wished ? 1 : -1;
    const changed = next !== this.wished;
    this.wished = next;
    if (changed && !quiet) this.#tell("moved");
    return this.refresh();
  }

  step(count) {
    return this.go(this.wished + count);
  }

  /* Show the frames through another window, in another palette; a presentation state has its own. */
  setLook({ window = this.window, palette = this.palette }) {
    if (this.#is({ window, palette })) return this.refresh();
    Object.assign(this, { window, palette });
    this.#pictures.abort();
    return this.refresh();
  }

  /* Fetch what is wished for, once more where it failed. */
  refresh() {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      this.#serve();
    });
  }

  #prepareStage() {
    const image = this.stage.querySelector("img");
    this.#canvas.setAttribute("role", "img");
    this.#canvas.setAttribute("aria-label", image.alt);
    this.#canvas.width = this.#canvas.height = 1;
    image.replaceWith(this.#canvas);
    this.part("again").addEventListener("click", () => this.refresh());
  }

  /* One picture at a time, always the newest wish next: however fast the reader scrolls, the
     hub is asked for no more than can be shown. */
  async #serve() {
    if (this.#serving) return;
    this.#serving = true;
    while (this.#waiting.length) {
      const waiting = this.#waiting;
      this.#waiting = [];
      const [index, look] = [this.wished, { window: this.window, palette: this.palette }];
      await this.#show(index, look);
      if (index !== this.wished || !this.#is(look)) this.#waiting.push(...waiting);
      else waiting.forEach((resolve) => resolve());
    }
    this.#serving = false;
  }

  #is({ window, palette }) {
    return window === this.window && palette === this.palette;
  }

  async #show(index, look) {
    const url = this.stack.address(index, look);
    const slow = setTimeout(() => this.#say(this.#words.loading, "loading"), SLOW_MS);
    this.stage.dataset.state = "loading";
    try {
      const picture = await this.#pictures.get(url);
      const bitmap = await createImageBitmap(picture.blob, { colorSpaceConversion: "none", premultiplyAlpha: "none" })
        .catch(() => { throw new PictureError("refused"); });
      if (this.#is(look)) this.#draw(index, look, picture, bitmap);
      bitmap.close();
    } catch (error) {
      if (this.#is(look) && index === this.wished && error.name !== "AbortError") this.#fail(index, error);
    } finally {
      clearTimeout(slow);
    }
  }

  #draw(index, look, picture, bitmap) {
    if (this.#canvas.width !== bitmap.width || this.#canvas.height !== bitmap.height) {
      this.#canvas.width = bitmap.width;
      this.#canvas.height = bitmap.height;
    }
    this.#canvas.getContext("2d").drawImage(bitmap, 0, 0);
    this.#canvas.hidden = false;
    this.at = index;
    this.picture = picture;
    this.#say("", "shown");
    Object.assign(this.stage.dataset, { frame: index + 1, ...look, digest: picture.digest });
    this.placement.place();
    this.#tell("shown");
    this.#pictures.fetchAhead(this.#neighbours(index, look));
  }

  #fail(index, error) {
    /* No picture is better than one that is not what stands beside it. */
    this.#canvas.hidden = true;
    this.at = index;
    this.picture = null;
    const text = error instanceof PictureError ? this.#words[error.kind] : this.#words.refused;
    this.#say(error.text || text, "failed");
    this.stage.dataset.frame = index + 1;
    this.#tell("shown");
  }

  #neighbours(index, look) {
    const places = [];
    for (let step = 1; step <= AHEAD; step += 1) places.push(index + step * this.#direction);
    for (let step = 1; step <= BEHIND; step += 1) places.push(index - step * this.#direction);
    return places.filter((place) => place === this.stack.clamp(place))
      .map((place) => this.stack.address(place, look));
  }

  #say(text, state) {
    const said = this.part("said");
    said.hidden = !text;
    said.firstElementChild.textContent = text;
    this.part("again").hidden = state !== "failed";
    this.stage.dataset.state = state;
  }

  #tell(event) {
    for (const listener of this.listeners[event]) listener(this);
  }
}
