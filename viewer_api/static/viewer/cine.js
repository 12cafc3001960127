/* Plays a stack round and round at its own rate. A picture that is late is waited for, never
   skipped: what moves is what was recorded. */

const STACK_RATE = 10;

export class Cine {
  #viewport;
  #button;
  #words;
  #run = 0;

  constructor(viewport, words) {
    this.#viewport = viewport;
    this.#button = viewport.part("play");
    this.#words = words;
    this.speed = 1;
    if (!this.#button) return;
    this.#button.addEventListener("click", () => this.toggle());
    viewport.part("speed").addEventListener("change", (event) => { this.speed = Number(event.target.value); });
    document.addEventListener("visibilitychange", () => { if (document.hidden) this.stop(); });
    this.#write();
  }

  get isPlaying() {
    return this.#run !== 0;
  }

  toggle() {
    if (this.isPlaying) this.stop();
    else this.#play();
  }

  stop() {
    this.#run = 0;
    this.#write();
  }

  async #play() {
    if (!this.#button) return;
    const run = performance.now() || 1;
    this.#run = run;
    this.#write();
    let due = run;
    while (this.#run === run) {
      await this.#viewport.go((this.#viewport.wished + 1) % this.#viewport.stack.count);
      due = Math.max(due + 1000 / this.#rate(), performance.now());
      await new Promise((resolve) => { setTimeout(resolve, due - performance.now()); });
      if (this.#viewport.stage.dataset.state === "failed") this.stop();
    }
  }

  #rate() {
    return (this.#viewport.facts?.rate || STACK_RATE) * this.speed;
  }

  #write() {
    if (!this.#button) return;
    this.#button.textContent = this.isPlaying ? this.#words.pause : this.#words.play;
    this.#button.setAttribute("aria-pressed", String(this.isPlaying));
  }
}
