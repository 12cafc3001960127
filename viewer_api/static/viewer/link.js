/* Two viewports that move together. Slices of one frame of reference are matched by their place in
   the body; those of two examinations by the distance from where they were linked; others by their
   share of the stack. The page says which. */

const PARALLEL = 0.9;

export class Link {
  #pair;
  #said;
  #words;
  #anchor = null;

  constructor(pair, box, said, words) {
    this.#pair = pair;
    this.#said = said;
    this.#words = words;
    for (const viewport of pair) {
      viewport.on("moved", () => this.#follow(viewport));
      const label = viewport.placement.listener;
      viewport.placement.listener = (placement) => {
        label(placement);
        if (this.isOn) this.#zoom(viewport);
      };
    }
    this.box = box;
    box.addEventListener("change", () => this.settle());
    this.settle();
  }

  get isOn() {
    return this.box.checked;
  }

  other(viewport) {
    return this.#pair[0] === viewport ? this.#pair[1] : this.#pair[0];
  }

  /* What stands side by side now belongs together from here on. */
  settle() {
    this.#anchor = this.#pair.map((viewport) => viewport.wished);
    this.#said.textContent = this.isOn ? this.#words[this.#how()] : this.#words.unlinked;
  }

  #follow(moved) {
    if (!this.isOn) return;
    const target = this.#target(moved);
    if (target !== null) this.other(moved).go(target, { quiet: true });
  }

  #zoom(moved) {
    const other = this.other(moved);
    other.placement.follow(moved.placement);
    other.part("zoom").textContent = moved.part("zoom").textContent;
  }

  #how() {
    const [one, other] = this.#pair.map((viewport) => viewport.facts);
    const placed = this.#pair.every(({ facts }, place) => typeof facts?.along[this.#anchor[place]] === "number");
    if (!placed || Math.abs(dot(one.normal, other.normal)) < PARALLEL) return "linkedByShare";
    return one.frameOfReference && one.frameOfReference === other.frameOfReference ? "linkedByPlace" : "linkedByDistance";
  }

  #target(moved) {
    const other = this.other(moved);
    if (this.#how() === "linkedByShare") {
      const share = moved.stack.count > 1 ? moved.wished / (moved.stack.count - 1) : 0;
      return Math.round(share * (other.stack.count - 1));
    }
    const now = moved.facts.along[moved.wished];
    if (typeof now !== "number") return null;
    const sense = Math.sign(dot(moved.facts.normal, other.facts.normal));
    if (this.#how() === "linkedByPlace") return nearest(other.facts.along, sense * now);
    const [from, to] = [moved, other].map((viewport) => viewport.facts.along[this.#anchor[this.#pair.indexOf(viewport)]]);
    return nearest(other.facts.along, to + sense * (now - from));
  }
}

function dot(one, other) {
  return one.reduce((sum, value, axis) => sum + value * other[axis], 0);
}

function nearest(along, wanted) {
  let best = null;
  along.forEach((place, index) => {
    if (typeof place !== "number") return;
    if (best === null || Math.abs(place - wanted) < Math.abs(along[best] - wanted)) best = index;
  });
  return best;
}
