/* Asking the API, and asking the person before a button does something. */

const $ = (id) => document.getElementById(id);

/** The JSON that the API answers; throws what it says is wrong. */
export async function ask(path, options) {
  const answer = await fetch(path, options);
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) {
    const detail = typeof body.detail === "string" ? body.detail : `the request failed (${answer.status})`;
    throw new Error(detail);
  }
  return body;
}

/** Presses a button of the API: a JSON body, with who presses. */
export function send(path, body) {
  const who = body.who ?? sessionStorage.getItem("who") ?? "";
  return ask(path, {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ ...body, who }),
  });
}

/** A short word at the foot of the page. */
export function say(text) {
  $("toast").textContent = text;
  $("toast").classList.add("shown");
  clearTimeout(say.timer);
  say.timer = setTimeout(() => $("toast").classList.remove("shown"), 5000);
}

/** Who and why, once the person has said yes; else null. `needed`: not without a name and a reason. */
export function confirm(title, text, label, needed) {
  $("ask-title").textContent = title;
  $("ask-text").textContent = text;
  $("ask-yes").textContent = label;
  $("ask-who").value = sessionStorage.getItem("who") ?? "";
  $("ask-why").value = "";
  $("ask-who").required = $("ask-why").required = needed;
  const dialog = $("ask");
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => {
    if (dialog.returnValue !== "yes") return resolve(null);
    sessionStorage.setItem("who", $("ask-who").value);
    return resolve({ who: $("ask-who").value, why: $("ask-why").value });
  }, { once: true }));
}
