// The panels beside the image: objects, classes, progress, and the dialogs. They show what they are given.
import { postJson } from "./api.js";

const $ = (id) => document.getElementById(id);
const MARKS = { accepted: "✓", rejected: "✗", open: "·", weak: "?" };

function line(...parts) {
  const item = document.createElement("li");
  for (const [className, text] of parts) {
    const node = item.appendChild(document.createElement("span"));
    node.className = className;
    node.textContent = text;
  }
  return item;
}

function withPatch(item, colour) {
  const patch = document.createElement("span");
  patch.className = "patch";
  patch.style.background = colour;
  item.prepend(patch);
  return item;
}

export function showObjects(items, chosen, choose) {
  const nodes = items.map((item, at) => {
    const score = item.score === undefined ? "drawn" : item.score.toFixed(2);
    const node = withPatch(line(["label", item.label], ["score", score], ["verdict", MARKS[item.verdict]]), item.colour);
    node.className = `${item.verdict}${at === chosen ? " chosen" : ""}`;
    node.title = `${item.label}: ${item.verdict === "weak" ? "below the threshold" : item.verdict}`;
    node.addEventListener("click", () => choose(at));
    return node;
  });
  $("objects").replaceChildren(...nodes);
  nodes[chosen]?.scrollIntoView({ block: "nearest" });
  const count = (verdict) => items.filter((item) => item.verdict === verdict).length;
  const words = [["open", "open"], ["accepted", "accepted"], ["rejected", "rejected"], ["weak", "weak"]];
  $("object-count").textContent = words.filter(([verdict]) => count(verdict)).map(([verdict, word]) => `${count(verdict)} ${word}`).join(", ") || "none";
}

export function showClasses(classes, current, pick) {
  const nodes = classes.map((one, at) => {
    const item = withPatch(line(["label", one.name]), one.colour);
    if (at < 9) item.appendChild(document.createElement("kbd")).textContent = at + 1;
    if (one.name === current) item.classList.add("chosen");
    item.title = `counts from a score of ${one.threshold}`;
    item.addEventListener("click", () => pick(one.name));
    return item;
  });
  $("classes").replaceChildren(...nodes);
}

export function showProgress(done, all) {
  $("progress-bar").style.transform = `scaleX(${all ? done / all : 0})`;
  $("progress-text").textContent = `${done.toLocaleString("en")} of ${all.toLocaleString("en")} reviewed`;
}

export function showSaved(text, isBad = false) {
  $("saved").textContent = text;
  $("saved").classList.toggle("bad", isBad);
}

export function showMessage(title, ...texts) {
  const nodes = title ? [document.createElement("b"), ...texts.map(() => document.createElement("p"))] : [];
  [title, ...texts].slice(0, nodes.length).forEach((text, at) => (nodes[at].textContent = text));
  $("message").replaceChildren(...nodes);
  $("message").hidden = !title;
}

export function showMode(text) {
  $("mode").textContent = text;
  $("mode").hidden = !text;
}

// A list of all classes to type into; `pick` gets the chosen name.
export function openPalette(classes, pick) {
  const [dialog, input, list] = ["palette", "palette-input", "palette-list"].map($);
  let found = [];
  let at = 0;
  const end = (name) => {
    dialog.close();
    if (name) pick(name);
  };
  const draw = () => {
    const typed = input.value.toLowerCase();
    found = classes.filter((one) => one.name.toLowerCase().includes(typed));
    at = Math.max(0, Math.min(at, found.length - 1));
    list.replaceChildren(
      ...found.map((one, i) => {
        const item = withPatch(line(["label", one.name]), one.colour);
        item.classList.toggle("chosen", i === at);
        item.addEventListener("click", () => end(one.name));
        return item;
      }),
    );
    list.children[at]?.scrollIntoView({ block: "nearest" });
  };
  input.value = "";
  input.oninput = draw;
  input.onkeydown = (event) => {
    if (event.key === "Enter") end(found[at]?.name);
    else if (event.key === "ArrowDown" || event.key === "ArrowUp") at += event.key === "ArrowDown" ? 1 : -1;
    else return;
    event.preventDefault();
    draw();
  };
  draw();
  dialog.showModal();
}

export function openExport(hasAudit) {
  const [dialog, result] = ["export-dialog", "export-result"].map($);
  $("export-audit").hidden = !hasAudit;
  result.textContent = "";
  $("export-close").onclick = () => dialog.close();
  $("export-run").onclick = async () => {
    const formats = [...dialog.querySelectorAll("input:checked")].map((box) => box.value);
    result.classList.remove("bad");
    result.textContent = "Writing …";
    try {
      const { files } = await postJson("/api/export", { formats });
      result.textContent = `Written:\n${files.join("\n")}`;
    } catch (error) {
      result.classList.add("bad");
      result.textContent = error.message;
    }
  };
  dialog.showModal();
}
