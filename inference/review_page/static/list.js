// The list of images: as many rows exist as fit on the screen, however long the list is.
import { pictureUrl } from "./api.js";

const ROW = 84; // pixels, as in style.css
const SPARE = 4; // rows above and below the screen
const FAST = 6 * ROW; // pixels between two frames: thumbnails that fly past are not loaded
const SHOWN = 18; // characters of a name
const REST = 90; // milliseconds without scrolling

export class ImageList {
  // `describe(number)` returns { name, place, text, state, failed } of an image; `open(number)` is called on a click.
  constructor(scroller, content, describe, open) {
    Object.assign(this, { scroller, content, describe, open });
    this.numbers = [];
    this.current = -1;
    this.rows = new Map(); // by position in the list
    this.free = [];
    this.last = 0;
    scroller.addEventListener("scroll", () => this.schedule(), { passive: true });
    new ResizeObserver(() => this.schedule()).observe(scroller);
    content.addEventListener("click", (event) => {
      const row = event.target.closest(".row");
      if (row) this.open(Number(row.dataset.number));
    });
  }

  show(numbers) {
    this.numbers = numbers;
    this.content.style.height = `${numbers.length * ROW}px`;
    this.refresh();
  }

  // Draws the rows again, after images or the selection have changed; images that stay are not loaded again.
  refresh() {
    for (const [at, row] of this.rows) {
      if (this.numbers[at] === row.number) this.write(row);
      else {
        this.release(row);
        this.rows.delete(at);
      }
    }
    this.schedule();
  }

  setCurrent(number) {
    this.current = number;
    const at = this.numbers.indexOf(number);
    if (at >= 0) {
      const top = at * ROW;
      const { scrollTop, clientHeight } = this.scroller;
      if (top < scrollTop || top + ROW > scrollTop + clientHeight) this.scroller.scrollTop = top - (clientHeight - ROW) / 2;
    }
    this.refresh();
  }

  schedule() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = undefined;
      this.draw();
    });
  }

  draw() {
    const { scrollTop, clientHeight } = this.scroller;
    const first = Math.max(0, Math.floor(scrollTop / ROW) - SPARE);
    const end = Math.min(this.numbers.length, Math.ceil((scrollTop + clientHeight) / ROW) + SPARE);
    for (const [at, row] of this.rows) {
      if (at < first || at >= end) {
        this.release(row);
        this.rows.delete(at);
      }
    }
    for (let at = first; at < end; at++) if (!this.rows.has(at)) this.rows.set(at, this.fill(at));
    clearTimeout(this.resting);
    if (Math.abs(scrollTop - this.last) < FAST) this.loadThumbnails();
    else this.resting = setTimeout(() => this.loadThumbnails(), REST);
    this.last = scrollTop;
  }

  loadThumbnails() {
    for (const row of this.rows.values()) {
      if (row.wanted) row.image.src = row.wanted;
      row.wanted = "";
    }
  }

  fill(at) {
    const row = this.free.pop() ?? makeRow();
    row.number = this.numbers[at];
    row.node.style.transform = `translateY(${at * ROW}px)`;
    const { failed } = this.write(row);
    row.image.hidden = failed;
    row.none.hidden = !failed;
    row.wanted = failed ? "" : pictureUrl("thumbnail", row.number);
    this.content.append(row.node);
    return row;
  }

  write(row) {
    const described = this.describe(row.number);
    const { name, place, text, state } = described;
    row.node.dataset.number = row.number;
    row.node.classList.toggle("current", row.number === this.current);
    row.node.ariaSelected = String(row.number === this.current);
    row.node.title = name;
    row.name.textContent = endOf(name.slice(name.lastIndexOf("/") + 1));
    row.place.textContent = endOf(place);
    row.state.textContent = text;
    row.state.className = `state ${state}`;
    return described;
  }

  release(row) {
    row.image.removeAttribute("src"); // also ends a request that is on its way
    row.wanted = "";
    row.node.remove();
    this.free.push(row);
  }
}

// The end of a long name: names of one deployment begin alike.
const endOf = (text) => (text.length > SHOWN ? `…${text.slice(1 - SHOWN)}` : text);

function makeRow() {
  const node = document.createElement("div");
  node.className = "row";
  node.role = "option";
  const thumb = node.appendChild(document.createElement("div"));
  thumb.className = "thumb";
  const image = thumb.appendChild(new Image());
  image.alt = "";
  image.decoding = "async";
  const none = thumb.appendChild(document.createElement("span"));
  none.textContent = "no image";
  image.addEventListener("error", () => {
    image.hidden = true;
    none.hidden = false;
  });
  const text = node.appendChild(document.createElement("div"));
  const [name, place, state] = ["b", "span", "span"].map((tag) => text.appendChild(document.createElement(tag)));
  return { node, image, none, name, place, state, wanted: "" };
}
