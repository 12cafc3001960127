/* The frames of one series: how many there are and where the picture of each is fetched. */

export const STATE = "state:";
const SUV = "suv:";
const NATIVE = "native:";

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

  /* `window` is a value as DICOMweb writes it, empty for the stored one; SUV and such a value;
     NATIVE alone for the stored one without subtraction; or STATE and the UID of a presentation
     state, which knows no palette. */
  address(index, { window, palette }) {
    const [uid, frame] = this.#frames[index];
    const query = new URLSearchParams();
    if (window.startsWith(STATE)) query.set("state", window.slice(STATE.length));
    else if (window === NATIVE) query.set("native", "1");
    else if (window.startsWith(SUV)) query.set("suv", "1");
    if (window && !query.has("state") && !query.has("native")) query.set("window", window.slice(query.has("suv") ? SUV.length : 0));
    if (palette && !query.has("state")) query.set("palette", palette);
    const asked = query.toString();
    return `${this.#data.prefix}${uid}${this.#data.middle}${frame}${this.#data.suffix}${asked ? `?${asked}` : ""}`;
  }

  clamp(index) {
    return Math.min(this.count - 1, Math.max(0, index));
  }
}
