/* The packages: which versions are there, which reads, how each does, and the buttons that choose. */
import { ask, confirm, say, send } from "/page/asking.js";
import { clock, count, el } from "/page/parts.js";

const LOOK_MS = 5000;
const place = document.getElementById("packages");
let allowed = false, timer = 0, drawn = "";

/** Shows them, and again every few seconds until `hidePackages`. */
export function showPackages(allowActions) {
  allowed = allowActions;
  place.hidden = false;
  clearInterval(timer);
  timer = setInterval(look, LOOK_MS);
  look();
}

export function hidePackages() {
  clearInterval(timer);
  place.hidden = true;
}

async function look() {
  try {
    const found = (await ask("/packages")).packages;
    const now = JSON.stringify(found);
    if (now === drawn) return;  // what has the keyboard's focus stays
    drawn = now;
    place.replaceChildren(...(found.length ? found.map(card) : [el("p", { class: "empty" }, "No package is installed.")]));
  } catch (error) {
    drawn = "";
    place.replaceChildren(el("p", { class: "empty" }, error.message));
  }
}

function card(one) {
  const head = el("div", { class: "head" }, el("b", {}, one.name), el("span", { class: "soft" }, one.kind),
    one.pinned ? el("span", { class: "tag mark" }, `pinned to ${one.pinned}`) : "", ...buttons(one));
  const names = ["Version", "Does", "How it is", "Last failure", ""];
  const lines = one.versions.map((version) => el("tr", {},
    el("td", {}, el("b", { class: "mono" }, version.version)),
    el("td", {}, part(version)),
    el("td", {}, health(version)),
    el("td", {}, version.last_failure
      ? el("span", { class: "soft" }, version.last_failure_at ? `${clock(version.last_failure_at)}: ` : "", version.last_failure) : ""),
    el("td", {}, useButton(one, version))));
  return el("article", { class: "card", "aria-label": one.name }, head, el("p", { class: "soft" }, one.title),
    el("table", {}, el("thead", {}, el("tr", {}, ...names.map((name) => el("th", { scope: "col" }, name)))),
      el("tbody", {}, ...lines)));
}

function part(version) {
  if (!version.installed) return el("span", { class: "tag dead" }, `✕ ${version.part}, not installed`);
  if (version.waits) return el("span", {}, el("span", { class: "tag warn" }, "! waits"), " reads nothing until it is chosen");
  const [, word, rest] = version.part.match(/^(\w*)(.*)$/);
  if (!word) return "";
  return el("span", {}, el("span", { class: word === "reads" ? "tag pass" : "tag" }, word), el("span", { class: "soft" }, rest));
}

function health(version) {
  const shadow = version.shadow;
  const said = [version.left_alone ? el("span", {}, el("span", { class: "tag held" }, "‖ waits"), ` ${version.left_alone}`) : "",
    shadow ? el("span", {}, `${shadow.differ} of ${count(shadow.read, "comparison")} said otherwise`) : "",
    version.lifted && !version.left_alone ? el("span", { class: "soft" }, `${clock(version.lifted_at)}: ${version.lifted}`) : ""]
    .filter(Boolean);
  if (!said.length) return version.waits || !version.part ? "" : el("span", { class: "soft" }, "no trouble");
  return el("div", {}, ...said.map((one) => el("div", {}, one)));
}

/* Buttons */

function buttons(one) {
  if (!allowed) return [];
  const made = [];
  if (one.before && !one.pinned) {
    made.push(button(`Roll back to ${one.before}`, one.name, "rollback", {},
      `Version ${one.before} of ${one.name} reads the studies that come from now on, without canary and shadow.`));
  }
  if (one.versions.some((version) => version.left_alone)) {
    made.push(button("Lift", one.name, "lift", {}, `${one.name} is asked again as before. Mend first what it was left alone for.`));
  }
  return made;
}

function useButton(one, version) {
  if (!allowed || one.pinned || !version.installed || (version.part.startsWith("reads") && !version.waits)) return "";
  return button("Use", one.name, "use", { version: version.version },
    `Version ${version.version} of ${one.name} reads the studies that come from now on, without canary and shadow.`);
}

function button(label, name, action, body, text) {
  const made = el("button", { type: "button", class: "small" }, label);
  made.addEventListener("click", async () => {
    const by = await confirm(`${label}: ${name} ${body.version ?? ""}`, text, label, true);
    if (!by) return;
    try {
      await send(`/packages/${encodeURIComponent(name)}/${action}`, { ...body, ...by });
      say(`${label}: done`);
    } catch (error) {
      say(error.message);
    }
    look();
  });
  return made;
}
