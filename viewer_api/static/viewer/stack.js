/* The frames of one series: how many there are and where the picture of each is fetched. */

export const STATE = "state:";

export class Stack {
  #data;
  #frames;

  constructor(data) {
    this.#data = data;
    this.#frames = data.instances.flatMap(([uid, count]) =>
      Array.from({ length: count }, (_, index) => [uid, index + 1]));
  }

  get count() {
    return this.#frames.length;
  }

  get factsAddress() {
    return this.#data.facts;
  }

  /* `window` is a value as DICOMweb writes it, empty for the stored one, or STATE and the UID of a
     presentation state. */
  address(index, window) {
    const [uid, frame] = this.#frames[index];
    const base = `${this.#data.prefix}${uid}${this.#data.middle}${frame}${this.#data.suffix}`;
    if (window.startsWith(STATE)) return `${base}?state=${encodeURIComponent(window.slice(STATE.length))}`;
    return window ? `${base}?window=${encodeURIComponent(window)}` : base;
  }

  clamp(index) {
    return Math.min(this.count - 1, Math.max(0, index));
  }
}
