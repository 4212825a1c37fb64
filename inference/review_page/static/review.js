// What decisions do to the objects of an image, as pure functions: they return a new list and change nothing.
// An object has a label, a box [xmin, ymin, xmax, ymax], a verdict (open, accepted, rejected), and the number of the
// detection that it is, or null if it was drawn.

const changed = (objects, at, change) => objects.map((item, i) => (i === at ? { ...item, ...change } : item));

export const withVerdict = (objects, at, verdict) => changed(objects, at, { verdict });

// Who changes a label or a box has looked at the object: it is accepted.
export const withLabel = (objects, at, label) => changed(objects, at, { label, verdict: "accepted" });

export const withBox = (objects, at, box) => changed(objects, at, { box: box.map(round), verdict: "accepted" });

export const withDrawn = (objects, label, box) => [
  ...objects,
  { label, box: box.map(round), verdict: "accepted", detection: null },
];

export const withDetection = (objects, detection, number) => [
  ...objects,
  { label: detection.label, box: detection.box, verdict: "accepted", detection: number },
];

export const without = (objects, at) => objects.filter((_, i) => i !== at);

export const allAccepted = (objects) =>
  objects.map((item) => (item.verdict === "open" ? { ...item, verdict: "accepted" } : item));

export const isOpen = (item) => item.verdict === "open";

// The next open object after a position, round to the first; -1 if none is open.
export function nextOpen(objects, after) {
  const order = [...objects.keys()].map((i) => (after + 1 + i) % objects.length);
  return order.find((i) => isOpen(objects[i])) ?? -1;
}

// Detections below the thresholds that are not among the objects yet.
export function weakItems(detections, objects) {
  const taken = new Set(objects.map((item) => item.detection));
  return detections
    .map((item, number) => ({ label: item.label, box: item.box, verdict: "weak", detection: number }))
    .filter((item) => !detections[item.detection].counts && !taken.has(item.detection));
}

// A box between two corners, cut at the borders of the image.
export function boxBetween([ax, ay], [bx, by], width, height) {
  const within = (value, side) => Math.min(Math.max(value, 0), side);
  return [
    within(Math.min(ax, bx), width), within(Math.min(ay, by), height),
    within(Math.max(ax, bx), width), within(Math.max(ay, by), height),
  ];
}

// A box that was moved, without leaving the image or changing its size.
export function movedBox(box, dx, dy, width, height) {
  const x = Math.min(Math.max(dx, -box[0]), width - box[2]);
  const y = Math.min(Math.max(dy, -box[1]), height - box[3]);
  return [box[0] + x, box[1] + y, box[2] + x, box[3] + y];
}

// A box whose edges were dragged: `edges` names them by the letters n, e, s and w.
export function resizedBox(box, edges, dx, dy, width, height) {
  const [x0, y0, x1, y1] = box;
  const a = [x0 + (edges.includes("w") ? dx : 0), y0 + (edges.includes("n") ? dy : 0)];
  const b = [x1 + (edges.includes("e") ? dx : 0), y1 + (edges.includes("s") ? dy : 0)];
  return boxBetween(a, b, width, height);
}

export const hasExtent = (box) => box[2] - box[0] >= 1 && box[3] - box[1] >= 1;

const round = (edge) => Math.round(edge * 100) / 100;
