/**
 * An element that is shared: where the pointer is on it, and the cursors of the others over it.
 *
 * @import * as Cover from "./cover.js"
 * @import { Cursors, Point, Unit } from "./cursor_state.js"
 * @import { Member } from "./presence.js"
 */

/**
 * The size of the content of a box, in CSS pixels before any transform.
 *
 * @typedef {object} Extent
 * @property {number} width
 * @property {number} height
 * @property {boolean} scrolls Whether the box scrolls: then it is as large as what is in it.
 * @property {number} start Pixels by which the content begins left of what shows first: more than 0
 *   only in a box that scrolls from right to left.
 */

const FARTHEST = 100_000;
// Milliseconds for which a finger stays after it was lifted.
const LINGER = 1000;
// Size of the arrow in CSS pixels, with the gap to its label.
const ARROW = { x: 24, y: 32 };

const clamp = (value, most) => Math.min(most, Math.max(0, value));

/**
 * Measure the content of a box.
 *
 * @param {Pick<Element, "clientWidth" | "clientHeight" | "scrollWidth" | "scrollHeight">} box
 * @param {Pick<CSSStyleDeclaration, "overflowX" | "overflowY" | "direction">} style
 * @returns {Extent}
 */
export function extent(box, { overflowX, overflowY, direction }) {
  const scrolls = /auto|scroll/u.test(overflowX + overflowY);
  const width = scrolls ? box.scrollWidth : box.clientWidth;
  const height = scrolls ? box.scrollHeight : box.clientHeight;
  const start = scrolls && direction === "rtl" ? width - box.clientWidth : 0;
  return { width, height, scrolls, start };
}

/**
 * Return where in the content of a box a place of the window is. Borders, scrolling and scales are
 * taken into account; rotation is not.
 *
 * @param {HTMLElement} box
 * @param {Extent} extent
 * @param {Unit} unit
 * @param {{ clientX: number, clientY: number }} place
 * @returns {Point} Within the surface.
 */
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

/**
 * Tell whether `cover.js` is needed: a layer in the element would not be seen, or not where it is.
 *
 * @param {Element} element
 */
export function isFlat(element) {
  const probe = element.appendChild(document.createElement("i"));
  const flat = !probe.getClientRects()[0] && element.getClientRects()[0];
  probe.remove();
  return flat || /^(inline|contents)$/u.test(getComputedStyle(element).display);
}

// Layers with a surface: any other is part of a copy of the page's HTML.
const live = new WeakSet();

// One loop of animation frames serves all surfaces of the page, and ends when nothing moves.
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

// The pixels that a label needs right of its point and below it. Without them it goes to the other side.
function roomFor(item) {
  const { offsetWidth = 0, offsetHeight = 0 } = item.querySelector("[data-presence-part=name]") ?? {};
  return { x: offsetWidth + ARROW.x, y: offsetHeight + ARROW.y };
}

/** One surface: its pointer and its layer of cursors. */
export class Surface {
  // By key of the cursor: its element, the member as JSON, and the pixels that its label needs.
  #drawn = new Map();
  #ended = new AbortController();
  // Place of the pointer in the window; null where there is none.
  #pointer = null;
  #lingering;
  #dragged = false;
  #resized = new ResizeObserver(() => this.#measure());
  #changed = new MutationObserver(() => this.#adopt());

  /**
   * Lay a layer over `element`, which takes no clicks and is hidden from screen readers.
   *
   * A box that scrolls is as large as its content; positions stay right while the box or the page
   * scrolls, or is resized. While something is dragged, browsers send no events of the pointer, so the
   * cursor follows those of the drag.
   *
   * @param {object} given
   * @param {HTMLElement} given.element
   * @param {HTMLTemplateElement} given.template Copied for each cursor.
   * @param {Unit} given.unit
   * @param {Cursors} given.cursors
   * @param {typeof Cover} [given.cover]
   * @param {(item: Element, member: Member) => void} given.drawMember
   * @param {(point: Point | null) => void} given.moved Told where the pointer is; null when it has
   *   left, when the window has lost the focus, or when the page is hidden.
   */
  constructor(given) {
    Object.assign(this, given);
    const { element, cover } = given;
    this.host = cover?.hostOf(element) ?? element;
    this.layer = document.createElement("div");
    this.layer.className = `presence ${LAYER}`;
    this.layer.ariaHidden = true;
    live.add(this.layer);
    // A library that copied the surface copied the layer with it.
    for (const layer of this.#layers()) if (!live.has(layer)) layer.remove();
    this.host.append(this.layer);
    this.#measure();
    this.#adopt();
    for (const watched of [element, this.host]) this.#changed.observe(watched, { childList: true });
    this.#listen();
  }

  /** Take the layer away, and all that listens. */
  close() {
    this.#ended.abort();
    this.#resized.disconnect();
    this.#changed.disconnect();
    clearTimeout(this.#lingering);
    moving.delete(this);
    this.layer.remove();
  }

  /** Draw the cursors that are new, and take away those that are gone. */
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

  /**
   * Move all cursors on. Called by the loop of frames.
   *
   * @param {number} elapsed Milliseconds.
   * @returns {boolean} Whether any is still on its way.
   */
  step(elapsed) {
    return this.cursors.step(elapsed, (cursor) => this.#place(cursor));
  }

  #show(cursor) {
    const { key, member } = cursor;
    const known = this.#drawn.get(key);
    const item = known?.item ?? this.template.content.firstElementChild.cloneNode(true);
    // Drawn again only for another name or info, or a picture that failed would be fetched at each move.
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

  // Measures without the layers: content that shrank would stay as large as they are.
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

  // A library may replace what is in the element, and take the layer away with it.
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
      // Timers were late while the page was hidden.
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

  // The first of several fingers counts. It stays for a moment after it was lifted, or a tap would only
  // flash.
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

  // Also called where the pointer rests: what lies under it may have scrolled or been resized.
  #again() {
    const { element, layer, size, unit } = this;
    if (this.#pointer) this.moved(locate(this.cover ? layer : element, size, unit, this.#pointer));
  }
}
