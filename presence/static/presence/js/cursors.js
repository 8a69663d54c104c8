// <presence-cursors>: makes an element a shared surface, over the page's one connection.

const SETTLE = 250;
const RETRY = 10_000;
const NEAR = { fraction: 0.0005, px: 0.5 };

class PresenceCursors extends HTMLElement {
  #end;

  connectedCallback() {
    if (!this.dataset.presenceGrant) return;
    this.#load().then((parts) => this.#begin(...parts)).catch(({ message }) => {
      console.warn(`presence: ${message}; the cursors are not live`);
      setTimeout(() => this.isConnected && !this.#end && this.connectedCallback(), RETRY);
    });
  }

  disconnectedCallback() {
    this.#end?.();
    this.#end = null;
  }

  async #load() {
    const { presenceWidgetJs, presenceMotionJs, presenceSurfaceJs, presenceChannelJs } = this.dataset;
    const page = import(presenceWidgetJs).then(({ modules }) => modules(this));
    const parts = await Promise.all([
      page, import(presenceMotionJs), import(presenceSurfaceJs), import(presenceChannelJs),
    ]);
    // What is in this element, and around it, may not have been read yet.
    if (document.readyState === "loading") {
      await new Promise((go) => addEventListener("DOMContentLoaded", go));
    }
    return parts;
  }

  // It may have gone, or come back, in the meantime.
  #begin({ page, draw, roster }, motion, { Surface }, { Channel }) {
    if (!this.isConnected || this.#end) return;
    const { presenceChannel: channel, presenceGrant: grant, presenceUnit: unit, ...data } = this.dataset;
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
      moved(point) {
        sender.move(point && motion.encode(unit, point));
        followed()?.wonder();
      },
    });
    const read = (message, info) => motion.read(unit, message, info, roster.readPush);
    const config = { channel, grant, read, ids: page.clientIds };
    const take = this.#taking(sender, cursors, surface);
    const leave = page.follow(config, null, take, Channel);
    this.#end = () => {
      sender.move(null);
      sender.open(false);
      leave();
      surface.close();
    };
  }

  #taking(sender, cursors, surface) {
    let settling = null;
    const settle = () => {
      cursors.choose();
      surface.show();
      settling = cursors.all.size ? setTimeout(settle, SETTLE) : null;
    };
    return ({ phase, open }, { heard, greet }) => {
      this.dataset.presenceState = phase;
      sender.open(open);
      if (greet) sender.greet();
      if (!heard) return;
      cursors.hear(heard);
      surface.show();
      settling ??= setTimeout(settle, SETTLE);
    };
  }

  // Named by its channel, or around this, or anywhere on the page; else what this is in.
  #surface() {
    const { presenceChannel } = this.dataset;
    const named = `[data-presence-cursors="${CSS.escape(presenceChannel)}"]`;
    const unnamed = "[data-presence-cursors='']";
    return document.querySelector(named) ?? this.closest(unnamed)
      ?? document.querySelector(unnamed) ?? this.parentElement;
  }
}

if (!customElements.get("presence-cursors")) {
  customElements.define("presence-cursors", PresenceCursors);
}
