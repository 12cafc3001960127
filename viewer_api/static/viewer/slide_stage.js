/* Draws the slide: on the stage the tiles of the level that fits, over coarser ones that are here
   already; in the corner the whole slide with a frame round what is on the stage. */

const GLASS = "#f4f4f2";
const FRAME = "#0b6072";

export class Stage {
  #pyramid;
  #view;
  #tiles;
  #canvas;
  #overview;
  #due = 0;

  constructor(pyramid, view, tiles, { canvas, overview }) {
    this.#pyramid = pyramid;
    this.#view = view;
    this.#tiles = tiles;
    this.#canvas = canvas;
    this.#overview = overview;
    this.listener = null;
  }

  /* Draw with the next picture of the screen, once however often this is asked for. */
  refresh() {
    if (!this.#due) this.#due = requestAnimationFrame(() => { this.#due = 0; this.#draw(); });
  }

  #draw() {
    const dots = window.devicePixelRatio || 1;
    const level = this.#pyramid.levelFor(this.#view.scale * dots);
    const needed = level.tilesIn(this.#view.box);
    const whole = this.#pyramid.coarsest.tilesIn({ left: 0, top: 0, right: this.#pyramid.width, bottom: this.#pyramid.height });
    this.#tiles.wish([...needed, ...whole].map(({ url }) => url));
    this.#drawStage(level, dots);
    this.#drawOverview(whole, dots);
    const failed = needed.map(({ url }) => this.#tiles.failure(url)).filter(Boolean);
    const missing = needed.filter(({ url }) => !this.#tiles.get(url)).length - failed.length;
    this.listener?.({ level: this.#pyramid.levels.indexOf(level), missing, failed });
  }

  #drawStage(level, dots) {
    const context = sized(this.#canvas, dots);
    const { left, top } = this.#view.box;
    const size = this.#view.scale * dots;
    const { levels } = this.#pyramid;
    for (let index = levels.length - 1; index >= levels.indexOf(level); index -= 1) {
      for (const tile of levels[index].tilesIn(this.#view.box)) {
        const bitmap = this.#tiles.get(tile.url);
        if (bitmap) drawTile(context, bitmap, tile, [left, top, size]);
      }
    }
  }

  #drawOverview(whole, dots) {
    if (this.#overview.hidden) return;
    const context = sized(this.#overview, dots);
    const size = this.#overview.width / this.#pyramid.width;
    for (const tile of whole) {
      const bitmap = this.#tiles.get(tile.url);
      if (bitmap) drawTile(context, bitmap, tile, [0, 0, size]);
    }
    const { left, top, right, bottom } = this.#view.box;
    context.strokeStyle = FRAME;
    context.lineWidth = 2 * dots;
    context.strokeRect(left * size, top * size, (right - left) * size, (bottom - top) * size);
  }
}

/* The edges are whole dots, or a seam would show between two tiles. */
function drawTile(context, bitmap, tile, [left, top, size]) {
  const place = (at, origin) => Math.round((at - origin) * size);
  const [x, y] = [place(tile.left, left), place(tile.top, top)];
  const [wide, high] = [place(tile.left + tile.wide, left) - x, place(tile.top + tile.high, top) - y];
  const [across, down] = tile.share;
  context.drawImage(bitmap, 0, 0, bitmap.width * across, bitmap.height * down, x, y, wide, high);
}

function sized(canvas, dots) {
  const [wide, high] = [Math.round(canvas.clientWidth * dots), Math.round(canvas.clientHeight * dots)];
  if (canvas.width !== wide || canvas.height !== high) {
    canvas.width = wide;
    canvas.height = high;
  }
  const context = canvas.getContext("2d");
  context.fillStyle = GLASS;
  context.fillRect(0, 0, wide, high);
  return context;
}
