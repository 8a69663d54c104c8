// <presence-roster>: takes over what Django rendered, and keeps it true. Contracts: presence.d.ts.
// {% static %} wrote the URLs of the modules into the page: file names may be hashed.

const MODULES = ["roster", "tokens", "feed", "connection", "room", "draw", "handlers"];
const PATIENCE = 15_000;
const BRIEF = 2500;
const REFRESH = 10_000;

const now = () => performance.now();
const host = {
  fetch: (url, init) => fetch(url, { signal: AbortSignal.timeout(PATIENCE), ...init }),
  setTimeout: (run, ms) => setTimeout(run, ms),
  clearTimeout: (timer) => clearTimeout(timer),
  random: Math.random,
  now,
  beacon: (url, body) => navigator.sendBeacon?.(url, body),
  warn: (text) => console.warn(text),
};

// One a page, even if this file is loaded under two names.
const shared = (globalThis[Symbol.for("presence")] ??= {});

export const presence = (shared.presence ??= {
  async subscribe(channel) {
    const all = [...document.querySelectorAll("presence-roster")];
    const found = all.find(({ dataset }) => dataset.presenceChannel === channel && dataset.presenceGrant);
    if (found) return found.room();
    throw new Error(`presence: nothing on this page is live in ${channel}: include presence/widget.html with channel="${channel}" variant="none"`);
  },
  useConnection(centrifuge) {
    shared.given = centrifuge;
    shared.page?.useConnection(centrifuge);
  },
});

async function load(root) {
  const loaded = MODULES.map((name) => import(root.getAttribute(`data-presence-${name}-js`)));
  const all = await Promise.all(loaded);
  const modules = Object.fromEntries(MODULES.map((name, at) => [name, all[at]]));
  const { presenceTokens: tokens, presenceBeacon: beacon, presenceSdk } = root.dataset;
  modules.sdk = async () => {
    if (!globalThis.Centrifuge) await import(presenceSdk);
    return globalThis.Centrifuge;
  };
  const page = (shared.page = new modules.connection.Page({ tokens, beacon }, modules, host));
  if (shared.given) page.useConnection(shared.given);
  // A page that the browser keeps may come back as it is.
  addEventListener("pagehide", ({ persisted }) => persisted || page.leave());
  return modules;
}

class PresenceRoster extends HTMLElement {
  #end;
  #shown;
  #drawing;
  #since;
  #timer;
  #news = { joined: 0, left: 0 };
  #announcing;
  #announced = -Infinity;

  connectedCallback() {
    if (!this.dataset.presenceTokens || !this.dataset.presenceGrant) return;
    shared.modules ??= load(this);
    shared.modules.then((modules) => this.#follow(modules)).catch(
      ({ message }) => host.warn(`presence: ${message}; the widget is not live`));
  }

  disconnectedCallback() {
    clearTimeout(this.#timer);
    this.#end?.();
    this.#end = null;
  }

  async room() {
    const { room } = await shared.modules;
    return new room.Room(shared.page, this.#config(), this.#shown);
  }

  #follow(modules) {
    // It may have left the page, or have come back, while modules were loading.
    if (!this.isConnected || this.#end) return;
    const position = this.#shown ? null : this.#position();
    if (!this.#shown) this.#begin(modules);
    const take = (feed, news) => this.#take(feed, news);
    this.#end = shared.page.follow({ ...this.#config(), position }, this.#shown, take);
  }

  #begin({ roster, draw, handlers }) {
    this.#drawing = new draw.Drawing(this);
    this.#shown = roster.fromSnapshot(this.#drawing.read());
    this.#drawing.adopt(this.#shown.members);
    for (const [name, run] of Object.entries(handlers.handlers)) {
      this.addEventListener(`presence:${name}`, ({ target, detail }) => target === this && run(detail, this));
    }
  }

  #config() {
    const data = this.dataset;
    return {
      channel: data.presenceChannel,
      feed: data.presenceFeed,
      snapshot: data.presenceSnapshot,
      grant: data.presenceGrant,
      every: Number(data.presenceEvery),
      asOf: data.presenceAge ? -1000 * data.presenceAge : null,
    };
  }

  // Where the stream stood when the page was rendered; null while there was none.
  #position() {
    const { presenceOffset, presenceStream: epoch } = this.dataset;
    return epoch ? { offset: Number(presenceOffset), epoch } : null;
  }

  #take(feed, news) {
    this.#shown = feed.state;
    this.#drawing.show(feed);
    this.#report(feed);
    for (const [name, detail] of feed.events(news)) {
      this.dispatchEvent(new CustomEvent(`presence:${name}`, { bubbles: true, detail }));
    }
    if (this.hasAttribute("data-presence-announce")) this.#note(news, feed.user?.id);
  }

  // A brief interruption is not worth a word.
  #report(feed) {
    const { phase, refusal } = feed;
    clearTimeout(this.#timer);
    if (phase === "live") this.#since = null;
    else this.#since ??= now();
    const wait = refusal ? 0 : this.#since + BRIEF - now();
    const trouble = phase === "live" || wait > 0 ? "" : refusal ? "refused" : "stale";
    this.#drawing.status(trouble, feed.age());
    if (phase !== "live") this.#timer = setTimeout(() => this.#report(feed), wait > 0 ? wait : REFRESH);
  }

  // At most one sentence a tick.
  #note({ joined, left }, self) {
    this.#news.joined += joined.filter(({ id }) => id !== self).length;
    this.#news.left += left.length;
    if (!this.#news.joined && !this.#news.left) return;
    const wait = this.#announced + 1000 * this.dataset.presenceEvery - now();
    this.#announcing ??= setTimeout(() => {
      this.#drawing.announce(this.#news);
      this.#news = { joined: 0, left: 0 };
      this.#announcing = null;
      this.#announced = now();
    }, Math.max(500, wait));
  }
}

if (!customElements.get("presence-roster")) customElements.define("presence-roster", PresenceRoster);
