// The large image: zoom, panning, and what the pointer does to boxes.
import { pictureUrl } from "./api.js";
import { drawBoxes } from "./boxes.js";
import { boxBetween, hasExtent, movedBox, resizedBox } from "./review.js";

const SIZES = [["screen", 1600], ["large", 3200]]; // as in pictures.py; beyond these, the image itself
const MARGIN = 28; // pixels around an image that fits
const CLICK = 4; // pixels: less is no drag
const MAX_SCALE = 16;

export class Stage {
  // `on` has choose(at), draw(box), move(at, box) and failed(message).
  constructor(stage, on) {
    this.stage = stage;
    this.on = on;
    this.canvas = stage.querySelector("#canvas");
    this.image = stage.querySelector("#image");
    this.svg = stage.querySelector("#boxes");
    this.view = { scale: 1, x: 0, y: 0 };
    this.fits = true;
    this.items = [];
    this.chosen = -1;
    stage.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    stage.addEventListener("pointerdown", (event) => this.press(event));
    new ResizeObserver(() => (this.fits ? this.fit() : this.place())).observe(stage);
  }

  // Shows an image of the list; { width, height } are those of the original.
  show(number, { width, height }) {
    Object.assign(this, { number, width, height, size: "" });
    this.canvas.hidden = false;
    this.canvas.classList.add("loading");
    this.fit();
  }

  hide() {
    this.number = undefined;
    this.canvas.hidden = true;
    this.image.removeAttribute("src");
  }

  setItems(items, chosen) {
    Object.assign(this, { items, chosen });
    this.drawBoxes();
  }

  setDrawing(colour) {
    this.drawing = colour;
    this.stage.classList.toggle("drawing", Boolean(colour));
  }

  fit() {
    this.fits = true;
    this.showBox([0, 0, this.width, this.height], MARGIN);
  }

  zoomTo(box) {
    this.fits = false;
    const more = Math.max(box[2] - box[0], box[3] - box[1]) * 0.6;
    this.showBox([box[0] - more, box[1] - more, box[2] + more, box[3] + more], 0);
  }

  showBox(box, margin) {
    if (!this.width) return;
    const { clientWidth, clientHeight } = this.stage;
    const [width, height] = [box[2] - box[0], box[3] - box[1]];
    const scale = Math.min((clientWidth - 2 * margin) / width, (clientHeight - 2 * margin) / height, MAX_SCALE);
    this.view = { scale, x: (clientWidth - width * scale) / 2 - box[0] * scale, y: (clientHeight - height * scale) / 2 - box[1] * scale };
    this.place();
  }

  zoom(factor, x = this.stage.clientWidth / 2, y = this.stage.clientHeight / 2) {
    const scale = Math.min(Math.max(this.view.scale * factor, 0.02), MAX_SCALE);
    const ratio = scale / this.view.scale;
    this.fits = false;
    this.view = { scale, x: x - (x - this.view.x) * ratio, y: y - (y - this.view.y) * ratio };
    this.place();
  }

  place() {
    if (this.number === undefined) return;
    const { scale, x, y } = this.view;
    this.canvas.style.width = `${this.width * scale}px`;
    this.canvas.style.height = `${this.height * scale}px`;
    this.canvas.style.transform = `translate(${x}px, ${y}px)`;
    this.drawBoxes();
    this.load();
  }

  // Loads the image in the size that the screen shows; a smaller one stays until it is there.
  load() {
    const shown = Math.max(this.width, this.height) * this.view.scale * devicePixelRatio;
    const [size] = SIZES.find(([, side]) => shown <= side * 1.1) ?? ["full"];
    const order = ["", "screen", "large", "full"];
    if (order.indexOf(size) <= order.indexOf(this.size)) return;
    const { number } = this;
    const isFirst = this.size === "";
    this.size = size;
    const url = pictureUrl(size, number);
    const loaded = new Image();
    loaded.src = url;
    loaded.decode().then(
      () => {
        if (this.number !== number) return;
        this.image.src = url;
        this.canvas.classList.remove("loading");
      },
      () => this.number === number && isFirst && this.on.failed(),
    );
  }

  drawBoxes() {
    if (this.number === undefined) return;
    const { width, height, view, chosen, dragged, drawn } = this;
    const items = dragged ? this.items.map((item, at) => (at === chosen ? { ...item, box: dragged } : item)) : this.items;
    drawBoxes(this.svg, items, chosen, { width, height, scale: view.scale, drawn, drawnColour: this.drawing });
  }

  wheel(event) {
    event.preventDefault();
    if (this.number === undefined) return;
    const { left, top } = this.stage.getBoundingClientRect();
    const lines = event.deltaMode === 1 ? 20 : 1;
    this.zoom(Math.exp(-event.deltaY * lines * 0.0015), event.clientX - left, event.clientY - top);
  }

  toImage(event) {
    const { left, top } = this.stage.getBoundingClientRect();
    const { scale, x, y } = this.view;
    return [(event.clientX - left - x) / scale, (event.clientY - top - y) / scale];
  }

  // What a drag from here does is decided when the pointer goes down.
  press(event) {
    if (event.button > 1 || this.number === undefined) return;
    this.stage.setPointerCapture(event.pointerId);
    const { at, edges } = event.target.dataset ?? {};
    const hit = at === undefined ? -1 : Number(at);
    const start = this.toImage(event);
    const box = this.items[this.chosen]?.box;
    const { width, height } = this;
    if (this.drawing && event.button === 0) this.drag(event, (now) => ({ drawn: boxBetween(start, now, width, height) }));
    else if (edges && event.button === 0)
      this.drag(event, (now) => ({ dragged: resizedBox(box, edges, now[0] - start[0], now[1] - start[1], width, height) }));
    else if (hit >= 0 && hit === this.chosen && event.button === 0 && this.items[hit].verdict !== "weak")
      this.drag(event, (now) => ({ dragged: movedBox(box, now[0] - start[0], now[1] - start[1], width, height) }), hit);
    else this.pan(event, hit);
  }

  drag(event, change) {
    this.follow(
      event,
      (moved) => {
        Object.assign(this, change(this.toImage(moved)));
        this.drawBoxes();
      },
      (isClick) => {
        const { drawn, dragged, chosen } = this;
        this.drawn = this.dragged = undefined;
        if (!isClick && drawn && hasExtent(drawn)) this.on.draw(drawn);
        else if (!isClick && dragged && hasExtent(dragged)) this.on.move(chosen, dragged);
        else this.drawBoxes();
      },
    );
  }

  pan(event, hit) {
    const { x, y } = this.view;
    this.stage.classList.add("panning");
    this.follow(
      event,
      (moved) => {
        this.fits = false;
        this.view = { ...this.view, x: x + moved.clientX - event.clientX, y: y + moved.clientY - event.clientY };
        this.place();
      },
      (isClick) => {
        this.stage.classList.remove("panning");
        if (isClick) this.on.choose(hit);
      },
    );
  }

  follow(event, move, end) {
    const done = new AbortController();
    let isClick = true;
    const far = (moved) => Math.hypot(moved.clientX - event.clientX, moved.clientY - event.clientY) >= CLICK;
    const on = (type, call) => this.stage.addEventListener(type, call, { signal: done.signal });
    on("pointermove", (moved) => {
      isClick &&= !far(moved);
      if (!isClick) move(moved);
    });
    for (const type of ["pointerup", "pointercancel"])
      on(type, () => {
        done.abort();
        end(isClick);
      });
  }
}
