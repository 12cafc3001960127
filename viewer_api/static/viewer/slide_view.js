/* Which part of the slide is on the stage: the place in its middle, and how large a pixel of the
   finest level is shown. Lengths on the stage are in CSS pixels. */

const LARGEST = 4;
/* At the smallest the whole slide takes this share of the stage. */
const SMALLEST_SHARE = 0.5;

export class View {
  #pyramid;
  #stage;

  constructor(pyramid, stage) {
    this.#pyramid = pyramid;
    this.#stage = stage;
    this.listener = null;
    this.fit();
  }

  get box() {
    const [wide, high] = [this.#stage.clientWidth / this.scale / 2, this.#stage.clientHeight / this.scale / 2];
    return { left: this.x - wide, top: this.y - high, right: this.x + wide, bottom: this.y + high };
  }

  fit() {
    this.#set(this.#pyramid.width / 2, this.#pyramid.height / 2, this.#fitting);
  }

  centre(x, y) {
    this.#set(x, y, this.scale);
  }

  /* Move by a distance on the stage. */
  move(wide, high) {
    this.#set(this.x + wide / this.scale, this.y + high / this.scale, this.scale);
  }

  /* Enlarge by `factor`; `point` of the window, else the middle of the stage, stays where it is. */
  enlarge(factor, point = null) {
    const box = this.#stage.getBoundingClientRect();
    const [right, down] = point ? [point.x - box.left - box.width / 2, point.y - box.top - box.height / 2] : [0, 0];
    const scale = Math.min(LARGEST, Math.max(this.#fitting * SMALLEST_SHARE, this.scale * factor));
    this.#set(this.x + right / this.scale - right / scale, this.y + down / this.scale - down / scale, scale);
  }

  /* After the stage has changed its size. */
  settle() {
    this.#set(this.x, this.y, Math.max(this.scale, this.#fitting * SMALLEST_SHARE));
  }

  get #fitting() {
    const { clientWidth, clientHeight } = this.#stage;
    return Math.min(clientWidth / this.#pyramid.width, clientHeight / this.#pyramid.height, LARGEST);
  }

  /* The middle of the stage stays on the slide. */
  #set(x, y, scale) {
    this.x = Math.min(this.#pyramid.width, Math.max(0, x));
    this.y = Math.min(this.#pyramid.height, Math.max(0, y));
    this.scale = scale;
    this.listener?.(this);
  }
}
