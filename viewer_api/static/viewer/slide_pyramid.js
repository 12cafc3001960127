/* The pyramid of a slide: its levels from fine to coarse. Every place is in pixels of the finest
   one, whatever level is drawn. */

export class Pyramid {
  constructor(levels) {
    const [finest] = levels;
    this.width = finest.width;
    this.height = finest.height;
    this.micrometres = finest.mm_per_pixel ? finest.mm_per_pixel * 1000 : 0;
    this.levels = levels.map((level) => new Level(level, this));
  }

  get coarsest() {
    return this.levels.at(-1);
  }

  /* The coarsest level whose pixels are hardly larger than the dots of the screen; `dots` are the
     dots on which a pixel of the finest level is shown. */
  levelFor(dots) {
    return this.levels.findLast((level) => level.factor * dots <= SLACK) || this.levels[0];
  }
}

/* A pixel may be shown on one and a half dots: levels lie a factor of four apart, and the next finer
   one has sixteen times as many tiles. */
const SLACK = 1.5;

class Level {
  #data;
  #frames = null;

  constructor(data, { width }) {
    this.#data = data;
    this.factor = width / data.width;
    if (data.order === "listed") {
      this.#frames = new Map();
      data.places.forEach(([column, row], index) => {
        const place = `${column},${row}`;
        if (!this.#frames.has(place)) this.#frames.set(place, index + 1);
      });
    }
  }

  get width() {
    return this.#data.width;
  }

  /* The tiles that touch a box of the finest level, those nearest to its middle first. */
  tilesIn({ left, top, right, bottom }) {
    const { tile_width: wide, tile_height: high, tiles: [columns, rows] } = this.#data;
    const [first, last] = span(left, right, wide * this.factor, columns);
    const [above, below] = span(top, bottom, high * this.factor, rows);
    const tiles = [];
    for (let row = above; row <= below; row += 1) {
      for (let column = first; column <= last; column += 1) {
        const tile = this.#tile(column, row);
        if (tile) tiles.push(tile);
      }
    }
    const [x, y] = [(left + right) / 2, (top + bottom) / 2];
    const far = (tile) => Math.hypot(tile.left + tile.wide / 2 - x, tile.top + tile.high / 2 - y);
    return tiles.sort((one, other) => far(one) - far(other));
  }

  /* A tile: where its picture is, where it lies on the finest level, and how much of it is slide:
     the last ones of a row or column are filled up. Null where a sparse slide has none. */
  #tile(column, row) {
    const { tile_width: wide, tile_height: high, tiles: [columns] } = this.#data;
    const frame = this.#frames ? this.#frames.get(`${column},${row}`) : row * columns + column + 1;
    if (!frame || frame > this.#data.frames) return null;
    const [x, y] = [column * wide, row * high];
    const [used, deep] = [Math.min(wide, this.#data.width - x), Math.min(high, this.#data.height - y)];
    return {
      url: `${this.#data.frames_url}${frame}/rendered?quality=90`,
      left: x * this.factor,
      top: y * this.factor,
      wide: used * this.factor,
      high: deep * this.factor,
      share: [used / wide, deep / high],
    };
  }
}

function span(from, to, size, count) {
  return [Math.max(0, Math.floor(from / size)), Math.min(count - 1, Math.ceil(to / size) - 1)];
}
