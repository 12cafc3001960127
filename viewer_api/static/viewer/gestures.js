/* Wheel and fingers on a stage: the wheel and one finger scroll the stack (one finger moves a
   zoomed picture), Ctrl with the wheel and two fingers zoom, a double tap fits. */

const WHEEL_STEP = 40;
const LINE_HEIGHT = 40;
/* A swipe over most of the stage passes a long stack, a short one is not overshot. */
const SWIPE_SHARE = 0.8;
const [LEAST_STEP_PX, MOST_STEP_PX] = [4, 14];

export function watchGestures(viewport) {
  watchWheel(viewport);
  watchFingers(viewport);
  viewport.stage.addEventListener("dblclick", () => viewport.placement.fit());
}

function watchWheel(viewport) {
  let turned = 0;
  viewport.stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    if (event.ctrlKey) {
      viewport.placement.scale(event.deltaY < 0 ? 1.15 : 1 / 1.15, { x: event.clientX, y: event.clientY });
      return;
    }
    turned += event.deltaMode === 0 ? event.deltaY : event.deltaY * LINE_HEIGHT;
    const steps = Math.trunc(turned / WHEEL_STEP);
    if (!steps) return;
    turned -= steps * WHEEL_STEP;
    viewport.step(steps);
  }, { passive: false });
}

function watchFingers(viewport) {
  const { stage, placement } = viewport;
  const fingers = new Map();
  let [spread, start] = [0, null];

  const begin = () => {
    const [first, second] = fingers.values();
    spread = second ? Math.hypot(first.x - second.x, first.y - second.y) : 0;
    start = first ? { x: first.x, y: first.y, at: viewport.wished, left: placement.x, top: placement.y } : null;
  };

  stage.addEventListener("pointerdown", (event) => {
    if (event.button > 0 || event.target.closest("button, a")) return;
    stage.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    begin();
  });

  stage.addEventListener("pointermove", (event) => {
    if (!fingers.has(event.pointerId)) return;
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    const [first, second] = fingers.values();
    if (second) {
      const now = Math.hypot(first.x - second.x, first.y - second.y);
      const middle = { x: (first.x + second.x) / 2, y: (first.y + second.y) / 2 };
      if (spread > 0) placement.scale(now / spread, middle);
      spread = now;
    } else if (placement.isZoomed) {
      placement.move(start.left + first.x - start.x, start.top + first.y - start.y);
    } else {
      viewport.go(start.at + Math.trunc((first.y - start.y) / stepSize(viewport)));
    }
  });

  const lift = (event) => {
    if (fingers.delete(event.pointerId)) begin();
  };
  stage.addEventListener("pointerup", lift);
  stage.addEventListener("pointercancel", lift);
}

function stepSize({ stage, stack }) {
  const even = (stage.clientHeight * SWIPE_SHARE) / stack.count;
  return Math.min(MOST_STEP_PX, Math.max(LEAST_STEP_PX, even));
}
