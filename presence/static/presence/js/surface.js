// An element that is shared: where the pointer is on it, and where the others' are.

const FARTHEST = 100_000;
const LINGER = 1000;
const ROOM = { x: 140, y: 48 };

const clamp = (value, most) => Math.min(most, Math.max(0, value));

// One loop for all surfaces of the page, which ends when nothing moves.
const moving = new Set();
let last = null;

function frame(now) {
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const elapsed = still ? Infinity : Math.max(0, now - last);
  last = now;
  for (const surface of moving) {
    if (!surface.step(elapsed)) moving.delete(surface);
  }
  if (moving.size) requestAnimationFrame(frame);
  else last = null;
}

function wake(surface) {
  moving.add(surface);
  if (last !== null) return;
  last = performance.now();
  requestAnimationFrame(frame);
}

export class Surface {
  #drawn = new Map();
  #ended = new AbortController();
  #pointer = null;
  #lingering;
  #resized = new ResizeObserver(() => this.#measure());

  // `moved` is told where the pointer is, null where it is nowhere.
  constructor({ element, template, unit, cursors, drawMember, moved }) {
    Object.assign(this, { element, template, unit, cursors, drawMember, moved });
    this.layer = document.createElement("div");
    this.layer.className = "presence presence-cursors-layer";
    this.layer.ariaHidden = true;
    element.append(this.layer);
    this.#measure();
    this.#resized.observe(element);
    for (const child of element.children) this.#resized.observe(child);
    this.#listen();
  }

  close() {
    this.#ended.abort();
    this.#resized.disconnect();
    clearTimeout(this.#lingering);
    moving.delete(this);
    this.layer.remove();
  }

  // Draws who has come, and takes away who has gone.
  show() {
    if (!this.layer.isConnected) this.element.append(this.layer);
    const shown = new Map(this.cursors.shown().map((cursor) => [cursor.key, cursor]));
    for (const [key, { item }] of this.#drawn) {
      if (shown.has(key)) continue;
      item.remove();
      this.#drawn.delete(key);
    }
    for (const cursor of shown.values()) this.#show(cursor);
    wake(this);
  }

  step(elapsed) {
    return this.cursors.step(elapsed, (cursor) => this.#place(cursor));
  }

  #show(cursor) {
    const { key, member } = cursor;
    const known = this.#drawn.get(key);
    const item = known?.item ?? this.template.content.firstElementChild.cloneNode(true);
    if (known?.member !== member) {
      this.drawMember(item, member);
      item.setAttribute("data-presence-cursor", member.id);
    }
    this.#drawn.set(key, { item, member });
    if (known) return;
    this.#place(cursor);
    this.layer.append(item);
  }

  #place({ key, left, top }) {
    const { item } = this.#drawn.get(key) ?? {};
    if (!item) return;
    const { width, height } = this.size;
    const [x, y] = this.unit === "px" ? [left, top] : [left * width, top * height];
    item.style.transform = `translate(${x.toFixed(1)}px, ${y.toFixed(1)}px)`;
    item.toggleAttribute("data-presence-before", x > width - ROOM.x);
    item.toggleAttribute("data-presence-above", y > height - ROOM.y);
  }

  // A box that scrolls is as large as what is in it, without the layer.
  #measure() {
    const { element, layer } = this;
    const { overflowX, overflowY, direction } = getComputedStyle(element);
    const scrolls = /auto|scroll/u.test(overflowX + overflowY);
    layer.style.width = layer.style.height = scrolls ? "0" : "100%";
    const width = scrolls ? element.scrollWidth : element.clientWidth;
    const height = scrolls ? element.scrollHeight : element.clientHeight;
    const start = scrolls && direction === "rtl" ? width - element.clientWidth : 0;
    this.size = { width, height, scrolls, start };
    if (scrolls) Object.assign(layer.style, { width: `${width}px`, height: `${height}px` });
    layer.style.left = `${-start}px`;
    for (const cursor of this.cursors.shown()) this.#place(cursor);
    this.#again();
  }

  #listen() {
    const { signal } = this.#ended;
    const on = (target, names, run, capture = false) => {
      for (const name of names.split(" ")) {
        target.addEventListener(name, run, { signal, capture, passive: true });
      }
    };
    on(this.element, "pointerenter", () => this.#measure());
    on(this.element, "pointerdown pointermove", (event) => this.#follow(event));
    on(this.element, "pointerleave", (event) => this.#leave(event));
    on(this.element, "pointercancel", () => this.#lose());
    on(document, "scroll", () => this.#again(), true);
    on(window, "blur pagehide", () => this.#lose());
    on(document, "visibilitychange", () => document.hidden && this.#lose());
  }

  #follow({ isPrimary, clientX, clientY }) {
    if (!isPrimary) return;
    clearTimeout(this.#lingering);
    this.#pointer = { clientX, clientY };
    this.#again();
  }

  // A finger that was lifted was there a moment ago.
  #leave({ isPrimary, pointerType }) {
    if (!isPrimary) return;
    clearTimeout(this.#lingering);
    if (pointerType === "mouse") this.#lose();
    else this.#lingering = setTimeout(() => this.#lose(), LINGER);
  }

  #lose() {
    if (!this.#pointer) return;
    this.#pointer = null;
    this.moved(null);
  }

  // What lies under a pointer that stands still may have moved.
  #again() {
    if (this.#pointer) this.moved(this.#locate(this.#pointer));
  }

  #locate({ clientX, clientY }) {
    const { element, unit, size } = this;
    const box = element.getBoundingClientRect();
    const scroll = size.scrolls ? [element.scrollLeft + size.start, element.scrollTop] : [0, 0];
    const along = (offset, length, layout, border) => offset / (length / layout || 1) - border;
    const x = along(clientX - box.left, box.width, element.offsetWidth, element.clientLeft) + scroll[0];
    const y = along(clientY - box.top, box.height, element.offsetHeight, element.clientTop) + scroll[1];
    if (unit === "px") return { x: clamp(x, FARTHEST), y: clamp(y, FARTHEST) };
    return { x: clamp(x / (size.width || 1), 1), y: clamp(y / (size.height || 1), 1) };
  }
}
