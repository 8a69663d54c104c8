/**
 * `<presence-roster>`: takes over what Django rendered, and keeps it true.
 *
 * Every module comes from a data attribute, written by `{% static %}`: hashed file names need no
 * rewriting of imports. Without a tokens URL the widget stays as it was rendered.
 *
 * @typedef {import("./connection.js").Page} Page
 * @typedef {{roster: typeof import("./roster.js"), draw: typeof import("./draw.js"),
 *            handlers: Record<string, (detail: object, root: HTMLElement) => void>,
 *            page: Page}} Loaded
 */

const EVENTS = ["join", "leave", "update", "sync", "stale"];
const PATIENCE = 15_000;

/** @type {Promise<Page> | null} */
let page = null;
let given = /** @type {any} */ (null);

/** @type {import("./tokens.js").Host} */
const host = {
  fetch: (url, init) => fetch(url, { signal: AbortSignal.timeout(PATIENCE), ...init }),
  setTimeout: (run, ms) => setTimeout(run, ms),
  clearTimeout: (timer) => clearTimeout(timer),
  random: Math.random,
  beacon: (url, body) => navigator.sendBeacon?.(url, body),
  warn: (text) => console.warn(text),
};

/** The class of the SDK: the page's own, else the one we carry. @param {string} url */
async function loadSdk(url) {
  const scope = /** @type {any} */ (globalThis);
  if (!scope.Centrifuge) await import(url);
  return scope.Centrifuge;
}

/** @param {DOMStringMap} data @returns {Promise<Page>} */
async function loadPage(data) {
  const [roster, tokens, feed, connection] = await Promise.all([
    import(data.presenceRosterJs ?? ""),
    import(data.presenceTokensJs ?? ""),
    import(data.presenceFeedJs ?? ""),
    import(data.presenceConnectionJs ?? ""),
  ]);
  const sdk = () => loadSdk(data.presenceSdk ?? "");
  const urls = { tokens: data.presenceTokens, beacon: data.presenceBeacon };
  const made = new connection.Page(urls, { roster, tokens, feed, sdk }, host);
  if (given) made.useConnection(given);
  // A page that the browser keeps may come back as it is.
  addEventListener("pagehide", ({ persisted }) => persisted || made.leave());
  return made;
}

/** @param {DOMStringMap} data @returns {Promise<Loaded>} */
async function load(data) {
  page ??= loadPage(data);
  const [roster, draw, handlers, made] = await Promise.all([
    import(data.presenceRosterJs ?? ""),
    import(data.presenceDrawJs ?? ""),
    data.presenceHandlersJs ? import(data.presenceHandlersJs) : {},
    page,
  ]);
  return { roster, draw, handlers: handlers.handlers ?? {}, page: made };
}

export class PresenceRoster extends HTMLElement {
  /** Ends the following; null while not followed. @type {(() => void) | null} */
  #end = null;
  /** What was shown last; null before the first time. @type {import("./roster.js").State | null} */
  #shown = null;
  #drawing = /** @type {import("./draw.js").Drawing | null} */ (null);
  #live = false;

  /**
   * Makes the page's widgets use a connection of the site's, before or after they went live.
   * @param {any} centrifuge an instance of `Centrifuge`; never connected or disconnected by us
   */
  static useConnection(centrifuge) {
    given = centrifuge;
    page?.then((made) => made.useConnection(centrifuge), () => {});
  }

  connectedCallback() {
    if (!this.dataset.presenceTokens || !this.dataset.presenceGrant) return;
    load(this.dataset).then(
      (loaded) => this.#follow(loaded),
      (error) => console.warn(`presence: ${error.message}; the widget is not live`),
    );
  }

  disconnectedCallback() {
    this.#end?.();
    this.#end = null;
  }

  /** @param {Loaded} loaded */
  #follow({ roster, draw, handlers, page: made }) {
    // It may have left the page, or have come back, while modules were loading.
    if (!this.isConnected || this.#end) return;
    if (!this.#drawing) this.#begin(draw, handlers);
    const drawing = /** @type {import("./draw.js").Drawing} */ (this.#drawing);
    const again = this.#shown !== null;
    this.#shown ??= roster.fromSnapshot(drawing.read());
    if (!this.#shown) return console.warn("presence: the widget's HTML was changed; it is not live");
    if (!again) drawing.adopt(this.#shown.members);
    this.#end = made.follow(
      { ...this.#config(), position: again ? null : this.#position() },
      this.#shown,
      (feed, news) => this.#take(feed, news),
    );
  }

  /** @param {typeof import("./draw.js")} draw @param {Loaded["handlers"]} handlers */
  #begin(draw, handlers) {
    this.#drawing = new draw.Drawing(this);
    for (const name of EVENTS) {
      const run = handlers[name];
      if (typeof run !== "function") continue;
      this.addEventListener(`presence:${name}`, (event) => {
        if (event.target === this) run(/** @type {CustomEvent} */ (event).detail, this);
      });
    }
  }

  #config() {
    const { presenceChannel = "", presenceFeed = "", presenceSnapshot = "", presenceGrant = "" } =
      this.dataset;
    return {
      channel: presenceChannel,
      feed: presenceFeed || presenceChannel,
      snapshot: presenceSnapshot,
      grant: presenceGrant,
    };
  }

  /** Where the stream stood when the page was rendered; null while there was none. */
  #position() {
    const { presenceOffset, presenceStream } = this.dataset;
    if (!presenceStream || !/^\d+$/u.test(presenceOffset ?? "")) return null;
    return { offset: Number(presenceOffset), epoch: presenceStream };
  }

  /** @type {import("./feed.js").Listener} */
  #take(feed, { changes, synced = false }) {
    const { view, phase } = feed;
    this.#shown = feed.state;
    this.#drawing?.show(view, feed.user?.id ?? null);
    this.#drawing?.enter(phase, feed.refusal !== "");
    const { version, total, anonymous } = view;
    if (changes?.joined.length) this.#say("join", { members: changes.joined, version });
    if (changes?.left.length) this.#say("leave", { members: changes.left, version });
    if (changes?.updated.length) this.#say("update", { members: changes.updated, version });
    if (synced) this.#say("sync", { members: view.members, total, anonymous, version });
    if (this.#live && phase !== "live") this.#say("stale", { state: phase, version });
    this.#live = phase === "live";
  }

  /** @param {string} name @param {object} detail */
  #say(name, detail) {
    const { channel } = this.#config();
    const init = { bubbles: true, detail: { channel, ...detail } };
    this.dispatchEvent(new CustomEvent(`presence:${name}`, init));
  }
}

if (!customElements.get("presence-roster")) {
  customElements.define("presence-roster", PresenceRoster);
}
