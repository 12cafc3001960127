/* Fetches pictures, keeps a bounded number of bytes of them, and fetches ahead of the reader.
   Pictures are kept compressed and unpacked one at a time: a thousand slices cost no more
   memory than KEPT_BYTES and the picture on the stage. */

const KEPT_BYTES = 48 * 1024 * 1024;
const AHEAD_AT_ONCE = 3;

/* Why there is no picture. `kind`: refused (the hub says why), session, busy or offline. */
export class PictureError extends Error {
  constructor(kind, text = "") {
    super(text || kind);
    this.kind = kind;
    this.text = text;
  }
}

export class Pictures {
  #kept = new Map();
  #bytes = 0;
  #running = new Map();
  #ahead = [];

  /* The picture at `url`: its bytes, digest and compression ratio (0: nothing lost). */
  async get(url) {
    const kept = this.#kept.get(url);
    if (kept) {
      this.#kept.delete(url);
      this.#kept.set(url, kept);
      return kept;
    }
    const run = this.#running.get(url) || this.#start(url);
    run.ahead = false;
    return run.promise;
  }

  /* Fetch `urls` when there is room, the first first; what was wished before and is not any more
     is given up. */
  fetchAhead(urls) {
    const wished = new Set(urls);
    for (const [url, run] of this.#running) {
      if (run.ahead && !wished.has(url)) this.#giveUp(url, run);
    }
    this.#ahead = urls.filter((url) => !this.#kept.has(url) && !this.#running.has(url));
    this.#next();
  }

  /* Give up every fetch, asked for or ahead; who waits gets an AbortError. */
  abort() {
    this.#ahead = [];
    for (const [url, run] of this.#running) this.#giveUp(url, run);
  }

  #giveUp(url, run) {
    this.#running.delete(url);
    run.abort();
  }

  #next() {
    while (this.#ahead.length && this.#running.size < AHEAD_AT_ONCE) {
      const run = this.#start(this.#ahead.shift());
      run.ahead = true;
      run.promise.catch(() => {});
    }
  }

  #start(url) {
    const controller = new AbortController();
    const run = { ahead: false, abort: () => controller.abort() };
    run.promise = download(url, controller.signal)
      .then((picture) => {
        this.#keep(url, picture);
        return picture;
      })
      .finally(() => {
        if (this.#running.get(url) === run) this.#running.delete(url);
        this.#next();
      });
    this.#running.set(url, run);
    return run;
  }

  #keep(url, picture) {
    this.#kept.set(url, picture);
    this.#bytes += picture.blob.size;
    for (const [old, { blob }] of this.#kept) {
      if (this.#bytes <= KEPT_BYTES || old === url) break;
      this.#kept.delete(old);
      this.#bytes -= blob.size;
    }
  }
}

/* The picture at `url`; raises PictureError, or AbortError where `signal` gave it up. */
export async function download(url, signal) {
  const answer = await request(url, signal);
  if (answer.status === 401) throw new PictureError("session");
  if (answer.status === 503) throw new PictureError("busy");
  const type = answer.headers.get("Content-Type") || "";
  if (!answer.ok || !type.startsWith("image/")) throw new PictureError("refused", await why(answer));
  return {
    blob: await answer.blob(),
    digest: (answer.headers.get("ETag") || "").replaceAll('"', ""),
    ratio: Number(answer.headers.get("X-Compression-Ratio")) || 0,
  };
}

async function request(url, signal) {
  try {
    return await fetch(url, { signal, headers: { Accept: "image/png, image/jpeg, application/json;q=0.5" } });
  } catch (error) {
    throw error.name === "AbortError" ? error : new PictureError("offline");
  }
}

async function why(answer) {
  try {
    const { error } = await answer.json();
    return [error.title, error.advice].filter(Boolean).join(" ");
  } catch {
    return "";
  }
}
