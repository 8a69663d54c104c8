/**
 * The layer of a surface that is no box for it: an inline element, one with `display: contents`, or
 * one that shows no children, such as a canvas. The layer then lies over the surface, in an element
 * around it. Loaded for such surfaces alone.
 *
 * @import { Extent } from "./cursor_surface.js"
 */

const FLAT = /^(inline|contents)$/u;
const displayOf = (element) => getComputedStyle(element).display;
const warned = new WeakSet();

/**
 * Return where the layer goes: the nearest element around that has a box, or the shadow root of one.
 *
 * @param {Element} element
 * @returns {Element | ShadowRoot}
 */
export function hostOf(element) {
  let host = element.shadowRoot?.querySelector("presence-cursors") ? element.shadowRoot : element.parentNode;
  while (host.nodeType === Node.ELEMENT_NODE && FLAT.test(displayOf(host))) host = host.parentNode;
  return host;
}

// An element without a box is where its content is.
function boxOf(element) {
  if (displayOf(element) !== "contents") return element.getBoundingClientRect();
  const range = document.createRange();
  range.selectNodeContents(element);
  return range.getBoundingClientRect();
}

/**
 * Lay the layer over the element, within its borders. Where nothing can be shown there, say so once on
 * the console.
 *
 * @param {Element} element
 * @param {HTMLElement} layer
 * @returns {Extent}
 */
export function lay(element, layer) {
  const { style } = layer;
  Object.assign(style, { left: 0, top: 0, width: "100px", height: "100px" });
  // A layer of a known size shows where its origin is, and how much it is scaled.
  const [from, to] = [layer.getBoundingClientRect(), boxOf(element)];
  if (!from.width && to.width && !warned.has(element)) {
    warned.add(element);
    console.warn(`presence: no cursors can be shown over <${element.localName}>; put it into a <div>`);
  }
  const { clientLeft = 0, clientTop = 0, clientWidth, clientHeight, offsetWidth, offsetHeight } = element;
  const [x, y] = [from.width / 100 || 1, from.height / 100 || 1];
  const width = to.width / x * (clientWidth / offsetWidth || 1);
  const height = to.height / y * (clientHeight / offsetHeight || 1);
  style.left = `${(to.left - from.left) / x + clientLeft}px`;
  style.top = `${(to.top - from.top) / y + clientTop}px`;
  style.width = `${width}px`;
  style.height = `${height}px`;
  return { width, height, scrolls: false, start: 0 };
}
