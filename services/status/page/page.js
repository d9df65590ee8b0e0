/* The page of status: the list follows the book live; a study opens beside it. Everything is written as text, never as HTML. */
import { ask, confirm, say, send } from "/page/asking.js";
import { hidePackages, showPackages } from "/page/packages.js";
import { el, ago, clock, count, score, steps, tag, verdict, strip } from "/page/parts.js";

const GROUPS = [
  ["All", () => true],
  ["Under way", (s) => ["collecting", "waiting", "gating", "running"].includes(s.state)],
  ["Delivered", (s) => s.state === "delivered"],
  ["Held", (s) => s.state === "held"],
  ["Refused", (s) => s.state === "refused"],
  ["Dead", (s) => s.state === "dead"],
  ["Cancelled", (s) => s.state === "cancelled"],
];
const studies = new Map();
const rows = new Map();
const $ = (id) => document.getElementById(id);
let settings = { allow_actions: false, followed_studies: 200 };
let group = "All", query = "", opened = "";

/* The list */

async function load() {
  const path = `/studies?limit=${settings.followed_studies}&q=${encodeURIComponent(query)}`;
  try {
    const found = (await ask(path)).studies;
    studies.clear();
    found.forEach((study) => studies.set(study.study_instance_uid, study));
    draw();
  } catch (error) {
    $("empty").textContent = error.message;
    $("empty").hidden = false;
  }
}

const fits = (study) =>
  !query || study.accession_number.startsWith(query) || study.study_instance_uid.startsWith(query);

function take(changed) {
  for (const study of changed.filter(fits)) {
    studies.set(study.study_instance_uid, study);
    rows.get(study.study_instance_uid)?.classList.remove("fresh");
  }
  draw(new Set(changed.map((study) => study.study_instance_uid)));
  if (changed.some((study) => study.study_instance_uid === opened)) open(opened, false);
}

function draw(fresh) {
  const shown = GROUPS.find(([name]) => name === group)[1];
  const newest = [...studies.values()].sort((a, b) =>
    b.times.last_instance_at.localeCompare(a.times.last_instance_at));
  const list = newest.filter(shown);
  list.forEach((study, index) => place(study, index, fresh));
  const uids = new Set(list.map((study) => study.study_instance_uid));
  for (const [uid, row] of rows) {
    if (!uids.has(uid)) {
      row.parentElement.remove();
      rows.delete(uid);
    }
  }
  drawFilters();
  $("empty").hidden = list.length > 0;
  if (!list.length) $("empty").textContent = nothing();
}

function nothing() {
  if (query) return `No study's accession number or UID begins with “${query}”.`;
  if (group !== "All") return `No study is ${group.toLowerCase()}.`;
  return "No study has come yet.\nPush one from the PACS, and it appears here.";
}

/* A row's element stays where it is, so that the keyboard's focus does too. */
function place(study, index, fresh) {
  const uid = study.study_instance_uid;
  let row = rows.get(uid);
  if (!row) {
    row = el("a", { class: "row", href: `#/studies/${uid}` });
    rows.set(uid, row);
    el("li", {}, row);
  }
  const version = JSON.stringify(study);
  if (row.version !== version) {
    row.version = version;
    row.replaceChildren(...rowParts(study));
  }
  if (fresh?.has(uid)) row.classList.add("fresh");
  row.setAttribute("aria-current", String(uid === opened));
  const item = row.parentElement;
  if ($("studies").children[index] !== item) $("studies").insertBefore(item, $("studies").children[index] ?? null);
}

function rowParts(study) {
  const modality = study.modalities.join(" / ") || "no images";
  const said = study.gates.filter((gate) => gate.verdict !== "pass" || gate.instances.length)
    .map((gate) => verdict(gate.verdict, `${gate.name} ${score(gate)}`));
  const found = study.runs.filter((run) => run.kind === "reader").flatMap((run) => run.findings_in_words);
  return [
    el("div", { class: "who" },
      el("div", { class: "name" }, study.accession_number || `…${study.study_instance_uid.slice(-14)}`),
      el("div", { class: "facts" }, `${modality} · ${study.instances}`, study.priority < 5 ? " · urgent" : "")),
    steps(study.path),
    el("div", { class: "what" },
      tag(study.state), " ", study.activity === "retrying" ? tag("retrying") : "", " ", study.summary,
      said.length || found.length ? el("div", { class: "said" }, ...said, ...found.map((f) => el("span", {}, f))) : ""),
    el("time", { class: "age", datetime: study.times.last_instance_at, title: clock(study.times.last_instance_at) },
      ago(study.times.last_instance_at)),
  ];
}

function drawFilters() {
  const all = [...studies.values()];
  $("filters").replaceChildren(...GROUPS.map(([name, shown]) => {
    const count = all.filter(shown).length;
    const pressed = name === group && !onPackages();
    const button = el("button", { type: "button", "aria-pressed": String(pressed) }, name, el("b", {}, String(count)));
    button.hidden = !count && name !== "All" && name !== group;
    button.addEventListener("click", () => { group = name; toStudies(); draw(); focusFilter(name); });
    return button;
  }));
}

function focusFilter(name) {
  [...$("filters").children].find((button) => button.textContent.startsWith(name))?.focus();
}

/* One study */

async function open(uid, focus = true) {
  opened = uid;
  try {
    const study = await ask(`/studies/${encodeURIComponent(uid)}`);
    if (opened !== uid && opened !== study.study_instance_uid) return;
    opened = study.study_instance_uid;
    const scrolled = $("detail").scrollTop;
    $("detail").replaceChildren(...detailParts(study));
    $("detail").scrollTop = focus ? 0 : scrolled;
  } catch (error) {
    $("detail").replaceChildren(el("header", {}, el("h2", {}, error.message), closer()));
  }
  $("detail").hidden = false;
  $("main").classList.add("open");
  draw();
  if (focus) $("detail").focus({ preventScroll: innerWidth > 860 });
}

function close() {
  const row = rows.get(opened);
  opened = "";
  $("detail").hidden = true;
  $("main").classList.remove("open");
  draw();
  row?.focus();
}

function closer() {
  const button = el("button", { type: "button", class: "close", "aria-label": "Close the study" }, "✕");
  button.addEventListener("click", () => { location.hash = "#/"; });
  return button;
}

function detailParts(study) {
  return [
    el("header", {}, el("h2", {}, study.accession_number || "No accession number"), tag(study.state), closer()),
    el("p", { class: "uid" }, study.study_instance_uid),
    steps(study.path),
    el("p", { class: "summary" }, study.summary),
    ...buttons(study),
    facts(study),
    ...pictures(study),
    ...section("Findings", study.runs.map((run) => runCard(study, run))),
    ...section("Gates", study.gates.map((gate) => gateCard(study, gate))),
    ...deliveries(study),
    ...section("Shadows: compared, never sent", (study.shadows ?? []).map(shadowCard)),
    ...section("Before late images came", study.earlier_runs.map((run) => runCard(study, run))),
    ...section("Journal, newest first", [journal(study)]),
  ];
}

const section = (title, parts) => (parts.length ? [el("h3", {}, title), ...parts] : []);

function facts(study) {
  const times = study.times;
  const rowsOfFacts = [
    ["Images", `${study.instances} in ${study.series.length} series` +
      (study.conflicts ? `; other bytes came under known UIDs ${study.conflicts} times` : "")],
    ["Modality", study.modalities.join(", ") || "not named"],
    ["From", study.calling_ae_title || "unnamed AE"],
    ["Order", study.order_found ? "found" : "none found"],
    ["Last image", clock(times.last_instance_at)],
    ["Settled", times.settled_at ? `${clock(times.settled_at)}, after ${times.turnaround_seconds.toFixed(1)} s` : "not yet"],
  ];
  return el("dl", { class: "facts" }, ...rowsOfFacts.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
}

function pictures(study) {
  const gates = new Set(study.gates.map((gate) => gate.name));
  const readersFirst = (one, other) => gates.has(one.package) - gates.has(other.package);
  const made = study.deliveries.filter((delivery) => delivery.kind === "SC").sort(readersFirst).map((delivery) => {
    const path = `/results/${delivery.run_id}/${delivery.identifier}.png`;
    const image = el("img", { src: path, alt: `Secondary Capture of ${delivery.package}`, loading: "lazy" });
    const link = el("a", { class: "picture", href: path, target: "_blank", rel: "noopener" }, image);
    image.addEventListener("error", () => link.remove());
    return link;
  });
  return made.length ? [el("h3", {}, "What the PACS shows"), ...made] : [];
}

function runCard(study, run) {
  const marks = [...new Set(run.findings.map((finding) => finding.use_mark).filter(Boolean))];
  return el("div", { class: "card" },
    el("div", { class: "head" }, el("b", {}, run.package), el("span", { class: "soft" }, run.version), tag(run.state),
      run.activity ? tag(run.activity) : "",
      ...marks.map((mark) => el("span", { class: "tag mark" }, mark.replaceAll("-", " "))),
      again(study, run, "Read again", run.state !== "held" && ["pass", "warn", "released"].includes(run.verdict))),
    run.findings_in_words.length ? el("ul", {}, ...run.findings_in_words.map((words) => el("li", {}, words))) : "",
    run.waits ? el("p", {}, run.waits) : "",
    run.reason ? el("p", { class: "soft" }, run.reason) : "");
}

function shadowCard(shadow) {
  return el("div", { class: "card" },
    el("div", { class: "head" }, el("b", {}, shadow.package), el("span", { class: "soft" }, shadow.version), tag(shadow.state),
      el("span", { class: "tag mark" }, "shadow")),
    shadow.findings_in_words.length ? el("ul", {}, ...shadow.findings_in_words.map((words) => el("li", {}, words))) : "",
    shadow.reason ? el("p", { class: "soft" }, shadow.reason) : "");
}

function gateCard(study, gate) {
  const series = study.series.find((one) => one.series_instance_uid === gate.series_instance_uid);
  const where = series ? `${series.modality} series, ${count(series.instances, "image")}` : "whole study";
  const card = el("div", { class: "card" },
    el("div", { class: "head" }, verdict(gate.verdict), el("b", {}, gate.name), el("span", { class: "soft" }, where),
      el("span", { class: "value" }, score(gate))),
    gate.reason ? el("p", {}, gate.reason) : "");
  const limits = study.runs.flatMap((run) => run.findings).find((finding) =>
    finding.kind === "quality_score" && finding.series_instance_uid === gate.series_instance_uid && finding.package === gate.name);
  card.append(...strip(gate.instances, limits?.warn_below, limits?.hold_below));
  return card;
}

function deliveries(study) {
  if (!study.deliveries.length) return [];
  const head = el("tr", {}, ...["Result", "To", "State", "Attempts", ""].map((name) => el("th", { scope: "col" }, name)));
  const lines = study.deliveries.map((delivery) => el("tr", {},
    el("td", { title: delivery.identifier }, `${delivery.kind} of ${delivery.package}`),
    el("td", {}, delivery.destination),
    el("td", {}, tag(delivery.state), delivery.reason ? el("span", { class: "why" }, delivery.reason) : "",
      delivery.next_at ? el("span", { class: "why" }, `next attempt ${clock(delivery.next_at)}`) : ""),
    el("td", {}, String(delivery.attempts)),
    el("td", {}, again(study, delivery, delivery.state === "retrying" ? "Try now" : "Send again", true))));
  return [el("h3", {}, "Deliveries"), el("table", {}, el("thead", {}, head), el("tbody", {}, ...lines))];
}

/* A run or delivery alone can be replayed when it has ended (or waits for a retry) and its study is not before the gates. */
function again(study, part, label, possible) {
  const ended = ["delivered", "replaced", "dead", "cancelled", "retrying"].includes(part.state);
  const later = ["running", "delivered", "held", "cancelled", "dead"].includes(study.state);
  if (!settings.allow_actions || !possible || !ended || !later || part.activity === "running") return "";
  const button = el("button", { type: "button", class: "small" }, label);
  button.addEventListener("click", () => press(study, "replay", { id: part.id }, label));
  return button;
}

function journal(study) {
  return el("ol", { class: "journal" }, ...[...study.journal].reverse().map((line) => el("li", {},
    el("time", { datetime: line.at, title: line.at }, clock(line.at)),
    el("div", {}, `${line.subject}: ${line.event.replaceAll("_", " ")}`, line.state && line.state !== line.event ? ` → ${line.state}` : "",
      line.actor ? ` (${line.actor})` : "", line.reason ? el("div", { class: "why" }, line.reason) : ""))));
}

/* Buttons */

const BUTTONS = [
  ["release", "Release", (s) => s.state === "held" && s.runs.some((run) => run.state === "held"),
    "Let this study be read although a gate held it. Your name and reason are written into its results.", true],
  ["complete", "Complete now", (s) => s.state === "collecting", "Do not wait for more images.", false],
  ["replay", "Replay", (s) => ["delivered", "held", "refused", "cancelled", "dead"].includes(s.state),
    "Send the study round again from its kept images. Its results overwrite the earlier ones.", false],
  ["cancel", "Cancel", (s) => ["collecting", "waiting", "gating", "running", "held", "dead"].includes(s.state),
    "Stop this study. What a destination has accepted stays there.", false],
];

function buttons(study) {
  if (!settings.allow_actions) return [];
  const made = BUTTONS.filter(([, , possible]) => possible(study)).map(([name, label, , text, needed]) => {
    const button = el("button", { type: "button", class: name === "release" ? "strong" : "" }, label);
    button.addEventListener("click", async () => {
      const by = await confirm(`${label}: ${study.accession_number || "study"}`, text, label, needed);
      if (by) press(study, name, by, label);
    });
    return button;
  });
  return made.length ? [el("div", { class: "buttons" }, ...made)] : [];
}

async function press(study, name, body, label) {
  try {
    const moved = await send(`/studies/${study.study_instance_uid}/${name}`, body);
    say(`${label}: done, the study is ${moved.state}`);
    take([moved]);
  } catch (error) {
    say(error.message);
  }
}

/* Start */

const onPackages = () => location.hash === "#/packages";

function toStudies() {
  if (onPackages()) location.hash = "#/";
}

function route() {
  const uid = decodeURIComponent(location.hash.match(/^#\/studies\/(.+)$/)?.[1] ?? "");
  $("main").hidden = onPackages();
  $("to-packages").setAttribute("aria-current", onPackages() ? "page" : "false");
  if (onPackages()) showPackages(settings.allow_actions);
  else hidePackages();
  drawFilters();
  if (uid) open(uid);
  else if (opened) close();
}

function follow() {
  const events = new EventSource("/events");
  const live = (on) => {
    $("live").textContent = on ? "live" : "reconnecting";
    $("live").classList.toggle("on", on);
  };
  events.addEventListener("open", () => { live(true); load(); if (opened) open(opened, false); });
  events.addEventListener("error", () => {
    live(false);
    if (events.readyState === EventSource.CLOSED) setTimeout(follow, 2000);
  });
  events.addEventListener("studies", (event) => take(JSON.parse(event.data).studies));
}

function tick() {
  for (const time of document.querySelectorAll("time.age")) time.textContent = ago(time.dateTime);
}

$("search").addEventListener("input", () => {
  toStudies();
  query = $("search").value.trim();
  clearTimeout(load.timer);
  load.timer = setTimeout(load, 200);
});
addEventListener("hashchange", route);
addEventListener("keydown", (event) => {
  if (event.key === "Escape" && opened && !$("ask").open) location.hash = "#/";
  if (event.key === "/" && !/INPUT|TEXTAREA/.test(document.activeElement.tagName)) {
    event.preventDefault();
    $("search").focus();
  }
});
settings = await ask("/page-settings").catch(() => settings);
setInterval(tick, 1000);
await load();
route();
follow();
