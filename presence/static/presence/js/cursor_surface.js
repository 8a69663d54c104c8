// A shared element: where the pointer is on it, and where the pointers of the others are.

const FARTHEST = 100_000;
const LINGER = 1000;
const ARROW = { x: 24, y: 32 };

const clamp = (value, most) => Math.min(most, Math.max(0, value));

// A box that scrolls is as large as what is in it.
export function extent(box, { overflowX, overflowY, direction }) {
  const scrolls = /auto|scroll/u.test(overflowX + overflowY);
  const width = scrolls ? box.scrollWidth : box.clientWidth;
  const height = scrolls ? box.scrollHeight : box.clientHeight;
  const start = scrolls && direction === "rtl" ? width - box.clientWidth : 0;
  return { width, height, scrolls, start };
}

export function locate(box, { width, height, scrolls, start }, unit, { clientX, clientY }) {
  const seen = box.getBoundingClientRect();
  const scroll = scrolls ? [box.scrollLeft + start, box.scrollTop] : [0, 0];
  const along = (offset, length, layout, border) => offset / (length / layout || 1) - border;
  const x = along(clientX - seen.left, seen.width, box.offsetWidth, box.clientLeft) + scroll[0];
  const y = along(clientY - seen.top, seen.height, box.offsetHeight, box.clientTop) + scroll[1];
  const [across, down, most] = unit === "px" ? [1, 1, FARTHEST] : [width || 1, height || 1, 1];
  return { x: clamp(x / across, most), y: clamp(y / down, most) };
}

const LAYER = "presence-cursors-layer";
export function isFlat(element) {
  const probe = element.appendChild(document.createElement("i"));
  const flat = !probe.getClientRects()[0] && element.getClientRects()[0];
  probe.remove();
  return flat || /^(inline|contents)$/u.test(getComputedStyle(element).display);
}

const live = new WeakSet();

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

// How far a label reaches from the point, as long as there is room.
function roomFor(item) {
  const { offsetWidth = 0, offsetHeight = 0 } = item.querySelector("[data-presence-part=name]") ?? {};
  return { x: offsetWidth + ARROW.x, y: offsetHeight + ARROW.y };
}

export class Surface {
  #drawn = new Map();
  #ended = new AbortController();
  #pointer = null;
  #lingering;
  #dragged = false;
  #resized = new ResizeObserver(() => this.#measure());
  #changed = new MutationObserver(() => this.#adopt());

  constructor(given) {
    Object.assign(this, given);
    const { element, cover } = given;
    this.host = cover?.hostOf(element) ?? element;
    this.layer = document.createElement("div");
    this.layer.className = `presence ${LAYER}`;
    this.layer.ariaHidden = true;
    live.add(this.layer);
    // In a copy of a surface.
    for (const layer of this.#layers()) if (!live.has(layer)) layer.remove();
    this.host.append(this.layer);
    this.#measure();
    this.#adopt();
    for (const watched of [element, this.host]) this.#changed.observe(watched, { childList: true });
    this.#listen();
  }

  close() {
    this.#ended.abort();
    this.#resized.disconnect();
    this.#changed.disconnect();
    clearTimeout(this.#lingering);
    moving.delete(this);
    this.layer.remove();
  }

  show() {
    const shown = new Map(this.cursors.shown().map((cursor) => [cursor.key, cursor]));
    for (const [key, { item }] of this.#drawn) {
      if (shown.has(key)) continue;
      item.remove();
      this.#drawn.delete(key);
    }
    for (const cursor of shown.values()) this.#show(cursor);
    if (this.cover) this.#measure();
    wake(this);
  }

  step(elapsed) {
    return this.cursors.step(elapsed, (cursor) => this.#place(cursor));
  }

  #show(cursor) {
    const { key, member } = cursor;
    const known = this.#drawn.get(key);
    const item = known?.item ?? this.template.content.firstElementChild.cloneNode(true);
    // A picture that failed is asked for once.
    const drawn = JSON.stringify(member);
    if (known?.drawn === drawn) return;
    this.drawMember(item, member);
    item.setAttribute("data-presence-cursor", member.id);
    this.#drawn.set(key, { item, drawn });
    if (!known) this.layer.append(item);
    this.#place(cursor);
  }

  #place({ key, left, top }) {
    const drawn = this.#drawn.get(key);
    if (!drawn) return;
    const { item } = drawn;
    const { width, height } = this.size;
    const [x, y] = this.unit === "px" ? [left, top] : [left * width, top * height];
    const room = (drawn.room ??= roomFor(item));
    item.style.transform = `translate(${x.toFixed(1)}px, ${y.toFixed(1)}px)`;
    item.toggleAttribute("data-presence-before", x + room.x > width);
    item.toggleAttribute("data-presence-above", y + room.y > height);
  }

  #layers() {
    return [...this.host.children].filter(({ classList }) => classList.contains(LAYER));
  }

  // Without the layers, or content that shrank would stay as large as they are.
  #measure() {
    const { element, cover, layer, layer: { style } } = this;
    for (const other of this.#layers()) other.hidden = !cover;
    this.size = cover?.lay(element, layer) ?? extent(element, getComputedStyle(element));
    for (const other of this.#layers()) other.hidden = false;
    const { width, height, scrolls, start } = this.size;
    if (!cover) {
      style.width = scrolls ? `${width}px` : "100%";
      style.height = scrolls ? `${height}px` : "100%";
      style.left = `${-start}px`;
    }
    for (const drawn of this.#drawn.values()) drawn.room = null;
    for (const cursor of this.cursors.shown()) this.#place(cursor);
    this.#again();
  }

  // Others may change what is in the element, and take the layer away with the rest.
  #adopt() {
    const { element, host, layer } = this;
    if (layer.parentNode !== host) host.append(layer);
    const boxes = this.size.scrolls || this.cover ? element.children : [];
    for (const box of [element, ...boxes]) {
      if (!box.classList.contains(LAYER)) this.#resized.observe(box);
    }
  }

  #listen() {
    const { signal } = this.#ended;
    const on = (target, names, run, capture = false) => {
      for (const name of names.split(" ")) {
        target.addEventListener(name, run, { signal, capture, passive: true });
      }
    };
    on(this.element, "pointerenter", () => this.#measure());
    on(this.element, "pointerdown pointermove", (event) => this.#follow(event), true);
    on(this.element, "pointerleave", (event) => this.#leave(event));
    on(this.element, "pointercancel", ({ isPrimary }) => isPrimary && !this.#dragged && this.#lose());
    on(this.element, "dragstart dragover", (event) => this.#follow(event, true), true);
    on(this.element, "dragleave", () => this.#linger(), true);
    on(this.layer, "error", ({ target }) => target.matches("img") && target.remove(), true);
    on(document, "scroll", () => (this.cover ? this.#measure() : this.#again()), true);
    on(window, "blur pagehide", () => this.#lose());
    on(document, "visibilitychange", () => {
      if (document.hidden) return this.#lose();
      // Timers were late.
      this.cursors.choose();
      this.show();
    });
  }

  #follow({ isPrimary, clientX, clientY }, dragged = false) {
    if (!isPrimary && !dragged) return;
    this.#dragged = dragged;
    clearTimeout(this.#lingering);
    this.#pointer = { clientX, clientY };
    this.#again();
  }

  // A finger that was lifted was there a moment ago.
  #leave({ isPrimary, pointerType }) {
    if (!isPrimary) return;
    if (pointerType === "mouse") this.#lose();
    else this.#linger();
  }

  #linger() {
    clearTimeout(this.#lingering);
    this.#lingering = setTimeout(() => this.#lose(), LINGER);
  }

  #lose() {
    clearTimeout(this.#lingering);
    if (!this.#pointer) return;
    this.#pointer = null;
    this.moved(null);
  }

  // What lies under a pointer that stands still may have moved.
  #again() {
    const { element, layer, size, unit } = this;
    if (this.#pointer) this.moved(locate(this.cover ? layer : element, size, unit, this.#pointer));
  }
}
