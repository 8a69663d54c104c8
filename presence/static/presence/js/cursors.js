// <presence-cursors>: makes an element a shared surface, over the page's one connection.

const SETTLE = 250;
const RETRY = 10_000;
const NEAR = { fraction: 0.0005, px: 0.5 };

// Chooses again who is shown, as long as anybody is.
function settling(cursors, surface) {
  let timer = null;
  const wait = () => setTimeout(() => {
    cursors.choose();
    surface.show();
    timer = cursors.all.size ? wait() : null;
  }, SETTLE);
  return { begin: () => (timer ??= wait()), end: () => clearTimeout(timer) };
}

// Errors of import() are alike, whether there is no network or no such file.
const load = (url) => import(url).catch(async (error) => {
  const answer = fetch(url, { cache: "no-store", mode: "no-cors" });
  const passing = await answer.then(({ status }) => status >= 500, () => true);
  if (passing) throw Object.assign(error, { passing });
  return import(url);
});

class PresenceCursors extends HTMLElement {
  static observedAttributes = ["data-presence-channel", "data-presence-grant", "data-presence-owner"];
  #end;
  #follow;

  connectedCallback() {
    if (!this.dataset.presenceGrant) return;
    this.#load().then((parts) => this.#begin(...parts)).catch((error) => {
      const { host = console } = globalThis[Symbol.for("presence")] ?? {};
      host.warn(error.message);
      if (!error.passing) return;
      setTimeout(() => this.isConnected && !this.#end && this.connectedCallback(), RETRY);
    });
  }

  disconnectedCallback() {
    this.#end?.();
    this.#end = null;
  }

  // By libraries that morph one page into the next.
  attributeChangedCallback(name) {
    if (!this.#end) return;
    if (name === "data-presence-channel") this.#beginAgain();
    else this.#follow();
  }

  #beginAgain() {
    this.disconnectedCallback();
    this.connectedCallback();
  }

  async #load() {
    const part = (name) => load(this.getAttribute(`data-presence-${name}-js`));
    const page = part("widget").then(({ modules }) => modules(this));
    const parts = await Promise.all([page, ...["motion", "surface", "channel"].map(part)]);
    // This may not be read yet; a prerendered page may never be shown.
    const heard = (name) => new Promise((go) => addEventListener(name, go, true));
    if (document.readyState === "loading") await heard("DOMContentLoaded");
    if (document.prerendering) await heard("prerenderingchange");
    if (this.isConnected && parts[2].isFlat(this.#surface())) parts.push(await part("cover"));
    return parts;
  }

  // It may have gone, or come back.
  #begin({ page, draw, roster }, motion, { Surface }, { Channel }, cover) {
    if (!this.isConnected || this.#end) return;
    const { presenceChannel: channel, presenceUnit: unit, ...data } = this.dataset;
    const numbers = { interval: Number(data.presenceInterval), timeout: Number(data.presenceTimeout) };
    const { host } = page.tools;
    const followed = () => page.feeds.get(channel);
    const publish = (message) => followed().publish(message);
    const sender = new motion.Sender({ ...numbers, publish, host });
    const limit = Number(data.presenceLimit);
    const cursors = new motion.Cursors({ ...numbers, limit, near: NEAR[unit], host });
    const surface = new Surface({
      element: this.#surface(),
      template: this.querySelector("template"),
      drawMember: draw.drawMember,
      unit,
      cursors,
      cover,
      moved(point) {
        sender.move(point && motion.encode(unit, point));
        followed()?.wonder();
      },
    });
    const read = (message, info) => motion.read(unit, message, info, roster.readPush);
    const config = { channel, read, ids: page.clientIds };
    const settle = settling(cursors, surface);
    const ended = new AbortController();
    const take = ({ phase, open }, { heard, greet, again }) => {
      if (ended.signal.aborted) return;
      if (phase === "live" && this.dataset.presenceState === "stale") cursors.doubt();
      this.dataset.presenceState = phase;
      sender.open(open);
      if (greet) sender.greet();
      if (again) sender.repeat(again);
      if (!heard) return;
      cursors.hear(heard);
      surface.show();
      settle.begin();
    };
    let leave;
    this.#follow = () => {
      const before = leave;
      const { presenceGrant: grant, presenceOwner: owner } = this.dataset;
      const given = { ...config, grant, owner };
      leave = page.follow(given, null, (...news) => take(...news), Channel);
      before?.();
    };
    this.#follow();
    // A surface that somebody else replaced, apart from this, is told by what is pointed at now.
    const check = () => surface.element.isConnected || this.#beginAgain();
    const { signal } = ended;
    document.addEventListener("pointerover", check, { signal, capture: true, passive: true });
    this.#end = () => {
      ended.abort();
      sender.move(null);
      sender.open(false);
      settle.end();
      surface.close();
      // The SDK has sent by then that the cursor is gone.
      setTimeout(leave);
    };
  }

  // Named by its channel, or around this, or the first of the page; else what this is in.
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
