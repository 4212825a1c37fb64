// The form that selects images. The server selects: it has the scores of all detections.
const $ = (id) => document.getElementById(id);
const TYPING = 150; // milliseconds between two keys of a word

// Fills in the choices of a run, and calls `select` when the form has changed.
export function prepare(run, select) {
  addOptions("f-label", run.classes.map((one) => one.name));
  addOptions("f-deployment", run.deployments);
  $("f-audit-row").hidden = !run.audit;
  let typing;
  $("filters").addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(select, TYPING);
  });
  $("filters").addEventListener("reset", () => setTimeout(select)); // after the fields are empty
  $("filters").addEventListener("submit", (event) => event.preventDefault());
}

function addOptions(id, names) {
  for (const name of names) $(id).add(new Option(name || "(without)", name));
}

// What the form asks for; its keys are the fields of ImageFilter (listed_images.py).
export function query() {
  const value = (name) => $(`f-${name}`).value.trim();
  const names = ["text", "status", "order", "label", "low", "high", "uncertainty"];
  const asked = new URLSearchParams(names.map((name) => [name, value(name)]));
  asked.set("audited", $("f-audited").checked ? "1" : "");
  if (value("deployment") !== "*") asked.set("deployment", value("deployment")); // an empty one is a deployment, too
  return asked;
}

export function showCount(selected, all) {
  $("selected-text").textContent = `${selected.toLocaleString("en")} of ${all.toLocaleString("en")} images`;
}
