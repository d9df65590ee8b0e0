/* The small parts that the page is built of. */

const SIGNS = { done: "✓", now: "", retrying: "↻", ahead: "", skipped: "–", held: "‖", refused: "⊘", cancelled: "⊘", dead: "✕" };
const VERDICT_SIGNS = { pass: "✓", warn: "!", hold: "‖" };
const WORDS = { now: "under way", retrying: "will be tried again", ahead: "to come" };

/** An element with attributes and children; a string becomes text. */
export function el(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children.filter((child) => child !== ""));
  return made;
}

/** How long ago, short: "12 s", "4 min", "3 h", "2 d". */
export function ago(iso) {
  const seconds = Math.max(0, (Date.now() - Date.parse(iso)) / 1000);
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  return seconds < 172800 ? `${Math.floor(seconds / 3600)} h` : `${Math.floor(seconds / 86400)} d`;
}

/** One image, two images. */
export const count = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;

/** A time of today as a clock, another day with its date. */
export function clock(iso) {
  const at = new Date(iso);
  const time = at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
  return at.toDateString() === new Date().toDateString() ? time : `${at.toLocaleDateString()} ${time}`;
}

/** A gate's score with its unit. */
export function score(gate) {
  if (gate.score === null) return "";
  const unit = ["", "1"].includes(gate.unit) ? "" : ` ${gate.unit}`;
  return unit ? `${Number(gate.score.toPrecision(3))}${unit}` : gate.score.toFixed(3);
}

export const tag = (state) => el("span", { class: `tag ${state}` }, state);

export function verdict(word, more = "") {
  return el("span", { class: `tag ${word}` }, `${VERDICT_SIGNS[word] ?? "?"} ${word}${more ? ` · ${more}` : ""}`);
}

/** The path as six steps. */
export function steps(path) {
  return el("div", { class: "steps", role: "list", "aria-label": "Path of the study" }, ...path.map((step) => {
    const words = `${step.stage}: ${WORDS[step.status] ?? step.status}`;
    return el("span", { class: `step ${step.status}`, role: "listitem", "aria-label": words, title: words },
      el("i", { "aria-hidden": "true" }, SIGNS[step.status] ?? ""), step.stage);
  }));
}

/** Scores of a series' instances as bars from a common floor to 1, the limits dashed, the worst named. */
export function strip(instances, warnBelow, holdBelow) {
  const scores = instances.map((instance) => instance.score).filter((value) => value !== null);
  if (scores.length < 2) return [];
  const lowest = Math.min(...scores), highest = Math.max(1, ...scores);
  const floor = Math.max(0, Math.min(lowest, holdBelow ?? lowest) - 0.1);
  const y = (value) => 60 * (1 - (value - floor) / (highest - floor));
  const svg = shape("svg", { class: "strip", viewBox: `0 0 ${scores.length} 60`, preserveAspectRatio: "none", role: "img",
    "aria-label": `scores of ${scores.length} instances, the worst ${lowest.toFixed(3)}` });
  scores.forEach((value, index) => {
    const kind = value < holdBelow ? "hold" : value < warnBelow ? "warn" : "pass";
    svg.append(shape("rect", { class: kind, x: index + 0.1, width: 0.8, y: y(value), height: Math.max(0.5, 60 - y(value)) }));
  });
  for (const limit of [warnBelow, holdBelow].filter((value) => value !== undefined && value !== null)) {
    svg.append(shape("line", { x1: 0, x2: scores.length, y1: y(limit), y2: y(limit) }));
  }
  const worst = scores.indexOf(lowest) + 1;
  const limits = warnBelow === undefined || warnBelow === null ? "" : `; warn below ${warnBelow}, hold below ${holdBelow}`;
  return [svg, el("p", { class: "legend" }, `${scores.length} slices; slice ${worst} is the worst with ${lowest.toFixed(3)}${limits}`)];
}

function shape(name, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
  return made;
}
