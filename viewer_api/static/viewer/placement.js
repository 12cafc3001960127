/* Zoom and place of the picture on its stage; 1 fits the picture into the stage. */

const LARGEST = 10;

export class Placement {
  #stage;
  #canvas;

  constructor(stage, canvas) {
    this.#stage = stage;
    this.#canvas = canvas;
    this.listener = null;
    Object.assign(this, { zoom: 1, x: 0, y: 0 });
  }

  get isZoomed() {
    return this.zoom > 1;
  }

  /* Enlarge by `factor` round a point of the window; round the middle without one. */
  scale(factor, point = null) {
    const box = this.#stage.getBoundingClientRect();
    const x = point ? point.x - box.left - box.width / 2 : 0;
    const y = point ? point.y - box.top - box.height / 2 : 0;
    const zoom = Math.min(LARGEST, Math.max(1, this.zoom * factor));
    const real = zoom / this.zoom;
    this.set(zoom, x - (x - this.x) * real, y - (y - this.y) * real);
  }

  move(x, y) {
    this.set(this.zoom, x, y);
  }

  fit() {
    this.set(1, 0, 0);
  }

  set(zoom, x, y) {
    Object.assign(this, { zoom, x, y });
    this.place();
    this.listener?.(this);
  }

  /* Show another placement as it is, without telling anybody. */
  follow({ zoom, x, y }) {
    Object.assign(this, { zoom, x, y });
    this.place();
  }

  place() {
    const wide = (this.#stage.clientWidth * (this.zoom - 1)) / 2;
    const high = (this.#stage.clientHeight * (this.zoom - 1)) / 2;
    this.x = Math.min(wide, Math.max(-wide, this.x));
    this.y = Math.min(high, Math.max(-high, this.y));
    this.#canvas.style.transform = `translate(${this.x}px, ${this.y}px) scale(${this.zoom})`;
    this.#stage.classList.toggle("zoomed", this.isZoomed);
  }
}
