// The page: what is listed, which image and object are chosen, and what a key does. Begin with `start`, then KEYS.
import { getJson, pictureUrl, postJson } from "./api.js";
import * as filters from "./filters.js";
import { ImageList } from "./list.js";
import * as panels from "./panels.js";
import * as review from "./review.js";
import { Stage } from "./stage.js";

const $ = (id) => document.getElementById(id);
const UNDO_STEPS = 500;
const MARKS = { accepted: "✓", rejected: "✗" }; // in captions

let run; // of /api/run
let image; // of /api/image, with `number`
let chosen = -1; // position among items()
let label; // class of the next box that is drawn
let showsWeak = false;
let saving = Promise.resolve();
let unsaved = 0;
const done = new Set();
const started = new Set();
const undoStack = [];

const stage = new Stage($("stage"), { choose, draw, move, failed: showUnreadable });
const list = new ImageList($("list"), $("list-content"), describe, open);

// --- Images ---

function describe(number) {
  const { name, deployment } = run.images;
  const failed = run.failed.has(number);
  const state = failed ? "failed" : done.has(number) ? "done" : started.has(number) ? "started" : "";
  const words = { failed: "not scored", done: "✓ reviewed", started: "started" };
  const uncertainty = `uncertainty ${run.images.uncertainty[number].toFixed(2)}`;
  return { name: name[number], place: run.deployments[deployment[number]] || "–", text: words[state] ?? uncertainty, state, failed };
}

async function open(number) {
  if (number === undefined) return;
  await saving; // what the server knows of the image must be what was decided
  setDrawing(false);
  try {
    image = { ...(await getJson(`/api/image/${number}`)), number };
  } catch (error) {
    panels.showSaved(error.message, true);
    return;
  }
  list.setCurrent(number);
  chosen = review.nextOpen(image.objects, -1);
  panels.showMessage("");
  if (image.failure) {
    stage.hide();
    panels.showMessage("This image was not scored", image.failure, "It is not part of what is written as reviewed.");
  } else stage.show(number, image);
  $("name").textContent = image.image.slice(image.image.lastIndexOf("/") + 1);
  const size = image.width ? `${image.width} × ${image.height} px` : "";
  $("facts").textContent = [image.deployment, image.time, size, image.is_current ? "" : "scored again since it was reviewed"].filter(Boolean).join(" · ");
  update();
  const next = list.numbers[list.numbers.indexOf(number) + 1];
  if (next !== undefined && !run.failed.has(next)) new Image().src = pictureUrl("screen", next);
}

function showUnreadable() {
  stage.hide();
  panels.showMessage("This image cannot be read any more", image.image, "It may have been moved: start `review` with --images.");
}

const step = (by) => open(list.numbers[list.numbers.indexOf(image?.number) + by]);

function openNext() {
  const at = list.numbers.indexOf(image?.number);
  const order = [...list.numbers.slice(at + 1), ...list.numbers.slice(0, Math.max(at, 0))];
  const next = order.find((number) => !done.has(number) && !run.failed.has(number));
  if (next === undefined) panels.showSaved("Every image of this selection is reviewed");
  return open(next);
}

// --- Objects ---

function items() {
  if (!image || image.failure) return [];
  const weak = showsWeak ? review.weakItems(image.detections, image.objects) : [];
  return [...image.objects, ...weak].map((item) => {
    const score = item.detection === null ? undefined : image.detections[item.detection]?.score;
    const words = [MARKS[item.verdict], item.label, score?.toFixed(2)];
    const caption = words.filter(Boolean).join(" ");
    return { ...item, score, caption, colour: run.colours.get(item.label) ?? "#ffffff" };
  });
}

function update() {
  const all = items();
  if (chosen >= all.length) chosen = -1;
  stage.setItems(all, chosen);
  panels.showObjects(all, chosen, choose);
  panels.showClasses(run.classes, all[chosen]?.label ?? label, pickLabel);
  panels.showProgress(done.size, run.images.name.length - run.failed.size);
  const isDone = image && done.has(image.number);
  $("done").disabled = !image || Boolean(image.failure);
  $("done-text").textContent = isDone ? "This image is reviewed. O reopens it." : "Accepts what is open. Look for what is missing first.";
  $("undo").disabled = undoStack.length === 0;
}

function choose(at) {
  chosen = at;
  update();
}

// Takes a decision: shown at once, and appended to the file of decisions before the next image is opened.
function decide(action, objects, isDone = image.done) {
  const before = { number: image.number, objects: image.objects, done: image.done };
  undoStack.push(before);
  if (undoStack.length > UNDO_STEPS) undoStack.shift();
  save(action, objects, isDone);
}

function save(action, objects, isDone) {
  const { number, version } = image;
  Object.assign(image, { objects, done: isDone && !objects.some(review.isOpen), version: version + 1 });
  started.add(number);
  done[image.done ? "add" : "delete"](number);
  list.refresh();
  update();
  unsaved += 1;
  panels.showSaved("saving …");
  const value = { action, objects, done: image.done, version };
  saving = saving.then(() => postJson(`/api/image/${number}`, value)).then(
    () => {
      unsaved -= 1;
      if (!unsaved) panels.showSaved("✓ saved");
    },
    (error) => notSaved(number, error),
  );
}

// Nothing is tried again: what the server has is shown, and the person decides.
async function notSaved(number, error) {
  unsaved -= 1;
  undoStack.length = 0;
  const kept = await getJson(`/api/image/${number}`).catch(() => null);
  if (kept) {
    done[kept.done ? "add" : "delete"](number);
    if (image.number === number) Object.assign(image, kept);
  }
  panels.showSaved(`Not saved: ${error.message}`, true);
  list.refresh();
  update();
}

async function undo() {
  const last = undoStack.pop();
  if (!last) return;
  if (last.number !== image.number) await open(last.number);
  if (last.number === image.number) save("undo", last.objects, last.done);
}

// What a key does with the chosen object; a weak detection becomes an object first.
function onChosen(action, change) {
  const item = items()[chosen];
  if (!item) return;
  const isWeak = item.verdict === "weak";
  const objects = isWeak ? review.withDetection(image.objects, image.detections[item.detection], item.detection) : image.objects;
  const at = isWeak ? objects.length - 1 : chosen;
  decide(action, change(objects, at), image.done);
  if (isWeak) chosen = at;
}

function accept() {
  onChosen("accept", (objects, at) => review.withVerdict(objects, at, "accepted"));
  choose(nextAfter(chosen));
}

function reject() {
  const item = items()[chosen];
  if (!item || item.verdict === "weak") return;
  if (item.detection === null) decide("delete", review.without(image.objects, chosen));
  else onChosen("reject", (objects, at) => review.withVerdict(objects, at, "rejected"));
  choose(nextAfter(item.detection === null ? chosen - 1 : chosen));
}

const nextAfter = (at) => {
  const next = review.nextOpen(image.objects, at);
  return next >= 0 ? next : at;
};

function pickLabel(name) {
  if (items()[chosen]) onChosen("label", (objects, at) => review.withLabel(objects, at, name));
  label = name;
  if (stage.drawing) setDrawing(true);
  update();
}

function setDrawing(isOn) {
  stage.setDrawing(isOn && image && !image.failure ? run.colours.get(label) : "");
  panels.showMode(stage.drawing ? `Drag to draw: ${label}. A number chooses another class, Esc ends.` : "");
}

function draw(box) {
  setDrawing(false);
  decide("draw", review.withDrawn(image.objects, label, box));
  choose(image.objects.length - 1);
}

function move(at, box) {
  decide("move", review.withBox(image.objects, at, box));
}

function nudge(event) {
  const item = items()[chosen];
  if (!item || item.verdict === "weak") return;
  const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  const change = event.shiftKey ? (box) => review.resizedBox(box, "se", dx, dy, image.width, image.height) : (box) => review.movedBox(box, dx, dy, image.width, image.height);
  const box = change(item.box);
  if (review.hasExtent(box)) move(chosen, box);
}

function finish() {
  if (!image || image.failure) return;
  if (!image.done || image.objects.some(review.isOpen)) decide("done", review.allAccepted(image.objects), true);
  return openNext();
}

// --- Keys ---

const cycle = (by) => {
  const count = items().length;
  if (count) choose((chosen + by + count) % count);
};
const KEYS = {
  Enter: finish, ArrowRight: () => step(1), ArrowLeft: () => step(-1), ArrowDown: () => step(1), ArrowUp: () => step(-1), g: openNext,
  o: () => image?.done && decide("reopen", image.objects, false), u: undo,
  Tab: (event) => cycle(event.shiftKey ? -1 : 1), a: accept, x: reject, Delete: reject, Backspace: reject,
  l: () => panels.openPalette(run.classes, pickLabel), b: () => setDrawing(!stage.drawing),
  f: () => stage.fit(), z: () => items()[chosen] && stage.zoomTo(items()[chosen].box),
  "+": () => stage.zoom(1.25), "=": () => stage.zoom(1.25), "-": () => stage.zoom(0.8),
  h: () => $("boxes").classList.toggle("hidden"),
  w: () => { showsWeak = !showsWeak; update(); },
  "/": () => $("f-text").focus(), "?": () => $("help").showModal(),
  Escape: () => { if (stage.drawing) setDrawing(false); else choose(-1); },
};

function press(event) {
  const { target, key } = event;
  if (document.querySelector("dialog[open]")) return;
  if (target.matches("input, select")) {
    if (key === "Escape" || (key === "Enter" && target.matches("input"))) target.blur();
    return;
  }
  if (!image && !["/", "?"].includes(key)) return;
  if ((event.ctrlKey || event.metaKey) && key.toLowerCase() === "z") undo();
  else if (event.ctrlKey || event.metaKey) return;
  else if (event.altKey && key.startsWith("Arrow")) nudge(event);
  else if (/^[1-9]$/.test(key) && run.classes[key - 1]) pickLabel(run.classes[key - 1].name);
  else {
    const call = KEYS[key.length === 1 ? key.toLowerCase() : key];
    if (!call || (key === "Enter" && target.matches("button"))) return;
    call(event);
  }
  event.preventDefault();
}

// --- Selection ---

async function select() {
  await saving;
  try {
    const numbers = await getJson(`/api/select?${filters.query()}`);
    list.show(numbers);
    filters.showCount(numbers.length, run.images.name.length);
    if (image && numbers.includes(image.number)) list.setCurrent(image.number);
    else if (numbers.length) await open(numbers[0]);
  } catch (error) {
    panels.showSaved(error.message, true);
  }
}

async function start() {
  try {
    run = await getJson("/api/run");
  } catch (error) {
    panels.showMessage("The review cannot be opened", error.message, "Open the address that `review` has printed, with all of its end.");
    return;
  }
  run.failed = new Set(run.images.failed);
  run.colours = new Map(run.classes.map((one) => [one.name, one.colour]));
  run.images.done.forEach((number) => done.add(number));
  run.images.started.forEach((number) => started.add(number));
  label = run.classes[0]?.name;
  filters.prepare(run, select);
  document.addEventListener("keydown", press);
  window.addEventListener("beforeunload", (event) => unsaved && event.preventDefault());
  const clicks = { done: finish, undo, export: () => panels.openExport(run.audit), "help-button": () => $("help").showModal() };
  for (const [id, call] of Object.entries(clicks)) $(id).addEventListener("click", () => { $(id).blur(); call(); });
  document.querySelectorAll("dialog").forEach((dialog) => dialog.addEventListener("click", (event) => event.target === dialog && dialog.close()));
  update();
  await select();
}

start();
