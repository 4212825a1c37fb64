// Draws the boxes of an image as SVG, in pixels of the image; lines and text have the same size at every zoom.
const NAMESPACE = "http://www.w3.org/2000/svg";
const EDGES = ["nw", "n", "ne", "e", "se", "s", "sw", "w"];
const CURSORS = { nw: "nwse-resize", se: "nwse-resize", ne: "nesw-resize", sw: "nesw-resize", n: "ns-resize", s: "ns-resize", e: "ew-resize", w: "ew-resize" };

function element(name, attributes) {
  const node = document.createElementNS(NAMESPACE, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
}

function rectangle(box, attributes) {
  const [x, y] = box;
  return element("rect", { x, y, width: box[2] - x, height: box[3] - y, ...attributes });
}

// Black or white, whichever has more contrast with a colour (Rec. 601 luma), as on the pictures of the reports.
export function inkOn(colour) {
  const [red, green, blue] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  return 0.299 * red + 0.587 * green + 0.114 * blue > 115 ? "#000" : "#fff";
}

// `items` have box, caption, colour and verdict; `chosen` is the position of the chosen one, or -1.
export function drawBoxes(svg, items, chosen, { width, height, scale, drawn = null, drawnColour = "#fff" }) {
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const area = ({ box }) => (box[2] - box[0]) * (box[3] - box[1]);
  // Small ones last, so that a click finds them within large ones.
  const order = [...items.keys()].sort((a, b) => area(items[b]) - area(items[a]));
  const nodes = order.map((at) => boxGroup(items[at], at, at === chosen));
  // Weak detections are many, and their captions would hide the image.
  const captioned = order.filter((at) => items[at].verdict !== "weak" || at === chosen);
  const captions = captioned.map((at) => caption(items[at], scale, width, at === chosen));
  if (chosen >= 0 && items[chosen] && items[chosen].verdict !== "weak") nodes.push(...handles(items[chosen].box, scale));
  if (drawn) {
    const group = element("g", { color: drawnColour });
    group.append(rectangle(drawn, { class: "casing" }), rectangle(drawn, { class: "line", stroke: drawnColour }));
    nodes.push(group);
  }
  svg.replaceChildren(...captions, ...nodes);
}

function boxGroup(item, at, isChosen) {
  const group = element("g", { class: `${item.verdict}${isChosen ? " chosen" : ""}`, color: item.colour });
  group.append(
    rectangle(item.box, { class: "casing" }),
    rectangle(item.box, { class: "line", stroke: item.colour, "data-at": at, "pointer-events": "all" }),
  );
  return group;
}

function caption(item, scale, imageWidth, isChosen) {
  const size = 12 / scale;
  const group = element("g", { class: item.verdict });
  const width = (item.caption.length * 6.7 + 10) / scale;
  const height = 17 / scale;
  const x = Math.max(0, Math.min(item.box[0], imageWidth - width));
  // Above the box, or inside its top where there is no room.
  const y = item.box[1] >= height ? item.box[1] - height - (isChosen ? 6 : 1) / scale : item.box[1] + 1 / scale;
  const ink = inkOn(item.colour);
  const plate = element("rect", { class: "plate", x, y, width, height, rx: 3 / scale, fill: item.colour });
  plate.style.fill = item.colour;
  const text = element("text", { x: x + 5 / scale, y: y + 12.5 / scale, "font-size": size, fill: ink, textLength: width - 10 / scale, lengthAdjust: "spacingAndGlyphs" });
  text.textContent = item.caption;
  group.append(plate, text);
  return group;
}

function handles(box, scale) {
  const side = 9 / scale;
  const [x0, y0, x1, y1] = box;
  return EDGES.map((edges) => {
    const x = edges.includes("w") ? x0 : edges.includes("e") ? x1 : (x0 + x1) / 2;
    const y = edges.includes("n") ? y0 : edges.includes("s") ? y1 : (y0 + y1) / 2;
    const node = element("rect", { class: "handle", x: x - side / 2, y: y - side / 2, width: side, height: side, "data-edges": edges });
    node.style.fill = "#fff";
    node.style.cursor = CURSORS[edges];
    return node;
  });
}
