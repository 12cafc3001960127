/* What stands beside a picture: number and place of the slice, sides of the body, window, zoom,
   compression. Nothing ever covers a pixel. */

import { STATE } from "./stack.js";

const SIDES = ["left", "right", "top", "bottom"];

export function keepLabels(viewport, words) {
  viewport.on("shown", () => write(viewport, words));
  viewport.on("moved", () => writeWish(viewport));
  const zoom = () => {
    viewport.part("zoom").textContent = `${Math.round(viewport.placement.zoom * 100)} %`;
  };
  viewport.placement.listener = zoom;
  zoom();
}

export async function loadFacts(viewport, words) {
  try {
    const answer = await fetch(viewport.stack.factsAddress, { headers: { Accept: "application/json" } });
    if (!answer.ok) return;
    viewport.facts = await answer.json();
  } catch {
    return; /* The pictures stand without them; the next page asks again. */
  }
  write(viewport, words);
}

function write(viewport, words) {
  const { at, stack, facts } = viewport;
  viewport.part("number").textContent = `${at + 1} / ${stack.count}`;
  viewport.part("place").textContent = place(facts?.along[at]);
  viewport.part("loss").textContent = loss(viewport, words);
  writeSides(viewport, words);
  writeWish(viewport);
}

function writeWish(viewport) {
  const slider = viewport.part("slider");
  if (!slider) return;
  slider.value = String(viewport.wished + 1);
  slider.setAttribute("aria-valuetext", `${viewport.wished + 1} / ${viewport.stack.count}`);
}

function place(along) {
  if (typeof along !== "number") return "";
  const rounded = along.toFixed(1);
  return `${along > 0 ? "+" : ""}${rounded === "-0.0" ? "0.0" : rounded} mm`;
}

function loss({ picture, facts }, words) {
  const said = [];
  if (picture) said.push(picture.ratio > 0 ? words.lossy.replace("{ratio}", picture.ratio.toFixed(1)) : words.lossless);
  if (typeof facts?.lossyRatio === "number") {
    const { lossyRatio } = facts;
    said.push(lossyRatio > 0 ? words.sentLossy.replace("{ratio}", String(Math.round(lossyRatio * 10) / 10)) : words.sentLossyUnknown);
  }
  return said.join(" · ");
}

function writeSides({ root, at, facts, picture, window }, words) {
  /* A presentation state may turn the picture: then nothing is said about its sides. */
  const known = facts && picture && !window.startsWith(STATE) && typeof facts.edges[at] === "number" ? facts.sides[facts.edges[at]] : null;
  SIDES.forEach((side, place) => {
    const element = root.querySelector(`[data-side="${side}"]`);
    const letters = known ? known[place] : "";
    element.textContent = letters;
    element.title = Array.from(letters, (letter) => words.sides[letter]).join(", ");
  });
}
