/* Mouse, fingers and keys on a slide: drag moves, the wheel and two fingers zoom where they are, a
   double tap comes closer; a tap on the overview goes there. */

const WHEEL_STEP = 0.0015;
const LINE_HEIGHT = 40;
const STEP = 1.5;
const MOVE_SHARE = 0.25;

export function watchHands(stage, view) {
  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    const turned = event.deltaMode === 0 ? event.deltaY : event.deltaY * LINE_HEIGHT;
    view.enlarge(Math.exp(-turned * WHEEL_STEP), { x: event.clientX, y: event.clientY });
  }, { passive: false });
  stage.addEventListener("dblclick", (event) => view.enlarge(2, { x: event.clientX, y: event.clientY }));
  watchFingers(stage, view);
}

export function watchOverview(overview, pyramid, view) {
  const go = (event) => {
    const box = overview.getBoundingClientRect();
    view.centre(((event.clientX - box.left) / box.width) * pyramid.width, ((event.clientY - box.top) / box.height) * pyramid.height);
  };
  overview.addEventListener("pointerdown", (event) => {
    event.stopPropagation();
    overview.setPointerCapture(event.pointerId);
    go(event);
  });
  overview.addEventListener("pointermove", (event) => {
    if (overview.hasPointerCapture(event.pointerId)) go(event);
  });
}

/* `deeds` are those of the page: fit, own (pixel by pixel), overview, full, leave and help. */
export function watchKeys(stage, view, deeds) {
  const across = (share) => view.move(stage.clientWidth * share, 0);
  const down = (share) => view.move(0, stage.clientHeight * share);
  const keys = {
    ArrowLeft: () => across(-MOVE_SHARE),
    ArrowRight: () => across(MOVE_SHARE),
    ArrowUp: () => down(-MOVE_SHARE),
    ArrowDown: () => down(MOVE_SHARE),
    PageUp: () => down(-1),
    PageDown: () => down(1),
    "+": () => view.enlarge(STEP),
    "=": () => view.enlarge(STEP),
    "-": () => view.enlarge(1 / STEP),
    0: deeds.fit,
    1: deeds.own,
    o: deeds.overview,
    f: deeds.full,
    Escape: deeds.leave,
    "?": deeds.help,
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (document.querySelector("dialog[open]") || event.target.closest("input, select, textarea")) return;
    if (event.target !== document.body && !event.target.closest("[data-slide]")) return;
    const deed = keys[event.key];
    if (!deed) return;
    event.preventDefault();
    deed();
  });
}

function watchFingers(stage, view) {
  const fingers = new Map();

  stage.addEventListener("pointerdown", (event) => {
    if (event.button > 0 || event.target.closest("button, a")) return;
    stage.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  });

  stage.addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId);
    if (!before) return;
    const old = Array.from(fingers.values());
    const now = { x: event.clientX, y: event.clientY };
    fingers.set(event.pointerId, now);
    const [one, other] = fingers.values();
    if (other) pinch(view, old, [one, other]);
    else view.move(before.x - now.x, before.y - now.y);
  });

  const lift = (event) => fingers.delete(event.pointerId);
  stage.addEventListener("pointerup", lift);
  stage.addEventListener("pointercancel", lift);
}

function pinch(view, [a, b], [c, d]) {
  const [old, now] = [middle(a, b), middle(c, d)];
  view.move(old.x - now.x, old.y - now.y);
  const spread = Math.hypot(a.x - b.x, a.y - b.y);
  if (spread > 0) view.enlarge(Math.hypot(c.x - d.x, c.y - d.y) / spread, now);
}

function middle(one, other) {
  return { x: (one.x + other.x) / 2, y: (one.y + other.y) / 2 };
}
