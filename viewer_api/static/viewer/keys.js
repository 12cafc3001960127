/* The keyboard, for the viewport that was used last. Keys typed into a field, pressed on a button
   or together with Ctrl, Alt or Command stay the browser's. */

const LEAP = 10;

export function watchKeys(viewer) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (!belongs(event.target, event.key)) return;
    const deed = DEEDS[event.key] || preset(event.key);
    if (!deed) return;
    event.preventDefault();
    deed(viewer, viewer.active);
  });
}

const next = (_, viewport) => viewport.step(1);
const previous = (_, viewport) => viewport.step(-1);
const larger = (_, viewport) => viewport.placement.scale(1.25);
const smaller = (_, viewport) => viewport.placement.scale(0.8);

const DEEDS = {
  ArrowDown: next,
  ArrowRight: next,
  ArrowUp: previous,
  ArrowLeft: previous,
  PageDown: (_, viewport) => viewport.step(LEAP),
  PageUp: (_, viewport) => viewport.step(-LEAP),
  Home: (_, viewport) => viewport.go(0),
  End: (_, viewport) => viewport.go(viewport.stack.count - 1),
  "+": larger,
  "=": larger,
  "-": smaller,
  0: (_, viewport) => viewport.placement.fit(),
  " ": (viewer, viewport) => viewer.cineOf(viewport).toggle(),
  p: (viewer, viewport) => viewer.chooseNext(viewport, "states"),
  c: (viewer, viewport) => viewer.chooseNext(viewport, "palettes"),
  f: (viewer) => viewer.toggleFull(),
  l: (viewer) => viewer.toggleLink(),
  "?": (viewer) => viewer.help(),
  Escape: (viewer) => viewer.leaveFull(),
};

function preset(key) {
  const number = Number(key);
  if (!Number.isInteger(number) || number < 1) return null;
  return (viewer, viewport) => viewer.choosePreset(viewport, number - 1);
}

function belongs(target, key) {
  if (document.querySelector("dialog[open]")) return false;
  if (target.closest("input, select, textarea, [contenteditable]")) return key === "Escape" || key === "?";
  if (target.closest("button, a, summary") && (key === " " || key === "Enter")) return false;
  return target === document.body || Boolean(target.closest("[data-viewers]"));
}
