/**
 * `<presence-cursors>`: makes an element a shared surface, over the page's one connection.
 *
 * The module exports nothing: the element is its interface. Modules come by the URLs in the attributes
 * of the element, since hashed file names allow no imports by name.
 *
 * @import { Channel } from "./cursor_channel.js"
 */

// Milliseconds between two choices of which cursors are shown.
const SETTLE = 250;
// Milliseconds before the modules are loaded again, where the network kept them away.
const RETRY = 10_000;
// Distance in a unit at which a cursor has arrived: half a pixel, or that of a surface of 1000.
const NEAR = { fraction: 0.0005, px: 0.5 };

// An error of import() does not tell whether there is no network or no such file: a fetch does.
const load = (url) => import(url).catch(async (error) => {
  const answer = fetch(url, { cache: "no-store", mode: "no-cors" });
  const passing = await answer.then(({ status }) => status >= 500, () => true);
  if (passing) throw Object.assign(error, { passing });
  return import(url);
});

/**
 * One surface and its channel.
 *
 * Out: surface → `#send` → sender → channel. In: channel → `#receive` → cursors → surface.
 */
class SharedSurface {
  /** @type {Channel} */
  #channel;
  // Ends the following.
  #leave;
  #ended;
  // Timer of the next choice.
  #settling;

  /**
   * @param {PresenceCursors} root
   * @param {Element} element The surface.
   * @param {any[]} modules What `PresenceCursors.#load` gives.
   */
  constructor(root, element, [{ page, draw }, state, { Surface }, { Channel }, cover]) {
    const { presenceChannel: channel, presenceUnit: unit, ...data } = root.dataset;
    const limits = {
      interval: Number(data.presenceInterval),
      timeout: Number(data.presenceTimeout),
      limit: Number(data.presenceLimit),
      near: NEAR[unit],
      host: page.tools.host,
    };
    Object.assign(this, { root, element, page, Channel });
    this.cursors = new state.Cursors(limits);
    this.sender = new state.Sender({ ...limits, publish: (message) => this.#channel.publish(message) });
    this.surface = new Surface({
      element,
      template: root.querySelector("template"),
      drawMember: draw.drawMember,
      unit,
      cursors: this.cursors,
      cover,
      moved: (point) => this.#send(point && state.encode(unit, point)),
    });
    const read = (message, info) => state.read(unit, message, info, draw.SHOWS);
    this.config = { channel, read, ids: page.clientIds };
    this.follow();
  }

  /** Follow the channel with the grant that the element has now. */
  follow() {
    const leave = this.#leave;
    const { presenceGrant: grant, presenceOwner: owner } = this.root.dataset;
    const receive = (channel, news) => this.#receive(channel, news);
    this.#leave = this.page.follow({ ...this.config, grant, owner }, null, receive, this.Channel);
    // Only now: the channel ends with its last listener.
    leave?.();
  }

  /** Take the cursor away on the other pages, and end. */
  end() {
    this.#ended = true;
    this.sender.move(null);
    this.sender.open(false);
    clearTimeout(this.#settling);
    this.surface.close();
    // By then the SDK has sent that the cursor is gone.
    setTimeout(this.#leave);
  }

  #send(point) {
    this.sender.move(point);
    this.#channel.refreshCompany();
  }

  #receive(channel, { heard, greet, again }) {
    if (this.#ended) return;
    const { dataset } = this.root;
    const { phase, open } = this.#channel = channel;
    if (phase === "live" && dataset.presenceState === "stale") this.cursors.doubtAll();
    dataset.presenceState = phase;
    this.sender.open(open);
    if (greet) this.sender.greet();
    if (again) this.sender.repeat(again);
    if (!heard) return;
    this.cursors.hear(heard);
    this.surface.show();
    this.#settle();
  }

  // Chooses again, for as long as there are cursors: some time out, and some that rest make room.
  #settle() {
    this.#settling ??= setTimeout(() => {
      this.cursors.choose();
      this.surface.show();
      this.#settling = null;
      if (this.cursors.all.size) this.#settle();
    }, SETTLE);
  }
}

class PresenceCursors extends HTMLElement {
  static observedAttributes = ["data-presence-channel", "data-presence-grant", "data-presence-owner"];
  /** @type {SharedSurface | null} */
  #shared = null;

  // A surface that a library replaced, and this element not, is noticed by the next move over it.
  #check = () => this.#shared?.element.isConnected === false && this.#beginAgain();

  connectedCallback() {
    if (!this.dataset.presenceGrant) return;
    this.#load().then((modules) => this.#begin(modules)).catch((error) => {
      const { host = console } = globalThis[Symbol.for("presence")] ?? {};
      host.warn(error.message);
      if (!error.passing) return;
      setTimeout(() => this.isConnected && !this.#shared && this.connectedCallback(), RETRY);
    });
  }

  disconnectedCallback() {
    document.removeEventListener("pointerover", this.#check, true);
    this.#shared?.end();
    this.#shared = null;
  }

  // Called where a library morphs one page into the next.
  attributeChangedCallback(name) {
    if (!this.#shared) return;
    if (name === "data-presence-channel") this.#beginAgain();
    else this.#shared.follow();
  }

  #beginAgain() {
    this.disconnectedCallback();
    this.connectedCallback();
  }

  async #load() {
    const part = (name) => load(this.getAttribute(`data-presence-${name}-js`));
    const page = part("widget").then(({ ready }) => ready(this));
    const modules = await Promise.all([page, ...["motion", "surface", "channel"].map(part)]);
    if (this.isConnected && modules[2].isFlat(this.#surface())) modules.push(await part("cover"));
    return modules;
  }

  #begin(modules) {
    // The element may have gone meanwhile, or have begun after it was moved.
    if (!this.isConnected || this.#shared) return;
    this.#shared = new SharedSurface(this, this.#surface(), modules);
    document.addEventListener("pointerover", this.#check, { capture: true, passive: true });
  }

  // The element that names the channel, around this or the first of the page; else one that is marked
  // without a name; else the element that this is in.
  #surface() {
    const { presenceChannel } = this.dataset;
    const named = `[data-presence-cursors="${CSS.escape(presenceChannel)}"]`;
    const unnamed = "[data-presence-cursors='']";
    const root = this.getRootNode();
    const find = (selector) => this.closest(selector) ?? root.querySelector(selector);
    return find(named) ?? find(unnamed) ?? this.parentElement ?? root.host;
  }
}

if (!customElements.get("presence-cursors")) {
  customElements.define("presence-cursors", PresenceCursors);
}
