// The layer of a surface that has no box, or shows no children: it lies over it, in what is around.

const FLAT = /^(inline|contents)$/u;
const displayOf = (element) => getComputedStyle(element).display;
const warned = new WeakSet();

// The nearest that has a box: an element, or a shadow root.
export function hostOf(element) {
  let host = element.shadowRoot?.querySelector("presence-cursors") ? element.shadowRoot : element.parentNode;
  while (host.nodeType === Node.ELEMENT_NODE && FLAT.test(displayOf(host))) host = host.parentNode;
  return host;
}

// One without a box is where its content is.
function boxOf(element) {
  if (displayOf(element) !== "contents") return element.getBoundingClientRect();
  const range = document.createRange();
  range.selectNodeContents(element);
  return range.getBoundingClientRect();
}

// Lays the layer over the surface, within its borders. Its size, as `extent` gives it.
export function lay(element, layer) {
  const { style } = layer;
  Object.assign(style, { left: 0, top: 0, width: "100px", height: "100px" });
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
