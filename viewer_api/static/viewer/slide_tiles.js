/* Fetches tiles, those wished for first, and keeps a bounded number of bytes of them unpacked. */

import { PictureError, download } from "./pictures.js";

const AT_ONCE = 6;
const KEPT_BYTES = 128 * 1024 * 1024;
const BYTES_PER_PIXEL = 4;

export class Tiles {
  #kept = new Map();
  #bytes = 0;
  #running = new Map();
  #wished = [];
  #failed = new Map();
  #changed;

  /* `changed` is called whenever a tile has come or has failed. */
  constructor(changed) {
    this.#changed = changed;
  }

  /* The unpacked picture at `url`, null while it is not here. */
  get(url) {
    const bitmap = this.#kept.get(url);
    if (!bitmap) return null;
    this.#kept.delete(url);
    this.#kept.set(url, bitmap);
    return bitmap;
  }

  /* Why a tile did not come: a PictureError, null for one that has not failed. */
  failure(url) {
    return this.#failed.get(url) || null;
  }

  /* Fetch `urls`, the first first; what was wished before and is not any more is given up. */
  wish(urls) {
    const wished = new Set(urls);
    for (const [url, controller] of this.#running) {
      if (wished.has(url)) continue;
      this.#running.delete(url);
      controller.abort();
    }
    this.#wished = urls.filter((url) => !this.#kept.has(url) && !this.#running.has(url) && !this.#failed.has(url));
    this.#next();
  }

  /* Forget what has failed: the next wish asks for it once more. */
  forgive() {
    this.#failed.clear();
  }

  #next() {
    while (this.#wished.length && this.#running.size < AT_ONCE) this.#start(this.#wished.shift());
  }

  async #start(url) {
    const controller = new AbortController();
    this.#running.set(url, controller);
    try {
      const { blob } = await download(url, controller.signal);
      const bitmap = await createImageBitmap(blob).catch(() => { throw new PictureError("refused"); });
      this.#keep(url, bitmap);
    } catch (error) {
      if (error.name !== "AbortError") this.#failed.set(url, error);
    }
    if (this.#running.get(url) !== controller) return; /* Given up, or asked for anew. */
    this.#running.delete(url);
    this.#next();
    this.#changed();
  }

  #keep(url, bitmap) {
    this.#kept.get(url)?.close();
    this.#kept.set(url, bitmap);
    this.#bytes = Array.from(this.#kept.values()).reduce((sum, one) => sum + weight(one), 0);
    for (const [old, one] of this.#kept) {
      if (this.#bytes <= KEPT_BYTES || old === url) break;
      this.#kept.delete(old);
      this.#bytes -= weight(one);
      one.close();
    }
  }
}

function weight({ width, height }) {
  return width * height * BYTES_PER_PIXEL;
}
