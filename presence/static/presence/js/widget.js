// <presence-roster>. The page has the modules' URLs, as names may be hashed.

const MODULES = ["roster", "feed", "connection", "draw", "handlers"];
const BRIEF = 2500;
const REFRESH = 10_000;

const said = new Set();
const host = {
  fetch: (url, init) => fetch(url, { signal: AbortSignal.timeout(15_000), ...init }),
  setTimeout: setTimeout.bind(null),
  clearTimeout: clearTimeout.bind(null),
  random: Math.random,
  now: () => performance.now(),
  beacon: (url, body) => navigator.sendBeacon?.(url, body),
  warn(why) {
    if (!said.has(why)) console.warn(`presence: ${why}; the widget is not live`);
    said.add(why);
  },
};

// One a page, even if this file has two URLs.
const shared = (globalThis[Symbol.for("presence")] ??= {});

export const presence = (shared.presence ??= {
  async subscribe(channel) {
    const selector = `[data-presence-channel="${CSS.escape(channel)}"][data-presence-grant]`;
    const widget = document.querySelector(selector);
    if (widget) return widget.room();
    throw new Error(`include presence/widget.html with channel="${channel}" variant="none"`);
  },
  useConnection(centrifuge) {
    shared.given = centrifuge;
    shared.page?.useConnection(centrifuge);
  },
});

async function load(root) {
  const loaded = {};
  await Promise.all(MODULES.map(async (name) => {
    loaded[name] = await import(root.getAttribute(`data-presence-${name}-js`));
  }));
  const { presenceTokens: tokens, presenceBeacon: beacon, presenceSdk } = root.dataset;
  loaded.sdk = async () => {
    if (!globalThis.Centrifuge) await import(presenceSdk);
    return globalThis.Centrifuge;
  };
  const page = new loaded.connection.Page({ tokens, beacon }, loaded, host);
  shared.page = loaded.page = page;
  if (shared.given) page.useConnection(shared.given);
  // A page that the browser keeps may come back.
  addEventListener("pagehide", ({ persisted }) => persisted || page.leave());
  return loaded;
}

export function modules(root) {
  return (shared.modules ??= load(root).catch((error) => {
    // The next one may be of a page with other URLs.
    shared.modules = null;
    throw error;
  }));
}

class PresenceRoster extends HTMLElement {
  #end;
  #shown;
  #asOf = null;
  #drawing;
  #since;
  #timer;
  #news = { joined: 0, left: 0 };
  #announcing;
  #said = -Infinity;

  connectedCallback() {
    if (!this.dataset.presenceGrant) return;
    // At once: a widget that is only moved stays subscribed.
    if (this.#shown) this.#follow();
    else this.#load().catch(({ message }) => host.warn(message));
  }

  disconnectedCallback() {
    clearTimeout(this.#timer);
    this.#end?.();
    this.#end = null;
  }

  async #load() {
    const loaded = await modules(this);
    this.#follow(loaded);
    return loaded;
  }

  async room() {
    const { feed, page } = await this.#load();
    return new feed.Room(page, this.#config(), this.#shown);
  }

  #follow(loaded) {
    // It may have gone, or come back.
    if (!this.isConnected || this.#end) return;
    if (!this.#shown) this.#begin(loaded);
    const take = (feed, news) => this.#take(feed, news);
    this.#end = shared.page.follow(this.#config(), this.#shown, take);
    this.#report(shared.page.feeds.get(this.dataset.presenceChannel));
  }

  #begin({ roster, draw, handlers }) {
    this.#drawing = new draw.Drawing(this);
    this.#shown = roster.fromSnapshot(this.#drawing.read());
    if (!this.#shown) throw new Error("the widget's HTML was changed");
    this.#drawing.adopt(this.#shown.members);
    const { presenceAge } = this.dataset;
    if (presenceAge) this.#asOf = host.now() - 1000 * presenceAge;
    for (const [name, run] of Object.entries({ ...handlers.handlers })) {
      this.addEventListener(`presence:${name}`, ({ detail }) => run(detail, this));
    }
  }

  #config() {
    const { presenceOffset, presenceStream: epoch, ...data } = this.dataset;
    return {
      channel: data.presenceChannel,
      feed: data.presenceFeed,
      snapshot: data.presenceSnapshot,
      grant: data.presenceGrant,
      every: Number(data.presenceEvery),
      asOf: this.#asOf,
      position: epoch ? { offset: Number(presenceOffset), epoch } : null,
    };
  }

  #take(feed, news) {
    this.#shown = feed.state;
    this.#asOf = feed.asOf;
    this.#drawing.show(feed);
    this.#report(feed);
    for (const [name, detail] of feed.events(news)) {
      this.dispatchEvent(new CustomEvent(`presence:${name}`, { bubbles: true, detail }));
    }
    if (this.hasAttribute("data-presence-announce")) this.#note(news, feed);
  }

  // A brief interruption is not worth a word.
  #report(feed) {
    clearTimeout(this.#timer);
    if (feed.phase === "live") this.#since = null;
    else this.#since ??= host.now();
    const trouble = feed.refusal ? "refused" : this.#since ? "stale" : "";
    const brief = trouble === "stale" && host.now() < this.#since + BRIEF;
    this.#drawing.status(brief ? "" : trouble, feed.age());
    if (trouble) this.#timer = setTimeout(() => this.#report(feed), brief ? BRIEF : REFRESH);
  }

  // At most one sentence a tick.
  #note({ joined, left }, { user }) {
    this.#news.joined += joined.filter(({ id }) => id !== user?.id).length;
    this.#news.left += left.length;
    if (!this.#news.joined && !this.#news.left) return;
    const wait = this.#said + 1000 * this.dataset.presenceEvery - host.now();
    this.#announcing ??= setTimeout(() => {
      this.#drawing.announce(this.#news);
      this.#news = { joined: 0, left: 0 };
      this.#announcing = null;
      this.#said = host.now();
    }, Math.max(500, wait));
  }
}

if (!customElements.get("presence-roster")) {
  customElements.define("presence-roster", PresenceRoster);
}
