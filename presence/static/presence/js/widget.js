// <presence-roster>: draws a channel of the page's connection into the HTML that the server wrote.

const MODULES = ["roster", "feed", "connection", "draw", "handlers"];
const BRIEF = 2500;
const REFRESH = 10_000;
const OURS = ["data-presence-grant", "data-presence-state", "data-presence-version"];
const UNITS = { day: 86400, hour: 3600, minute: 60 };

export async function ask(url, init, get = fetch) {
  const pass = (why) => {
    throw Object.assign(Error(`${url}: ${why}`), { passing: true });
  };
  const signal = AbortSignal.timeout(15_000);
  const answer = await get(url, { cache: "no-store", redirect: "manual", signal, ...init }).catch(pass);
  const { status } = answer;
  if (status >= 500 || status === 408 || status === 429) pass(status);
  return { status, text: await answer.text().catch(pass) };
}

const load = (url) => import(url).catch(async () => {
  await ask(url, { mode: "no-cors", redirect: "follow" });
  return import(url);
});

let start = performance.timeOrigin;
let ahead = Date.now() - performance.now();
function now() {
  const time = performance.now();
  const jump = Date.now() - time - ahead;
  ahead += jump;
  if (jump > 1000) start += jump;
  return start + time;
}

const said = new Set();
const shared = (globalThis[Symbol.for("presence")] ??= {});
const host = (shared.host ??= {
  ask,
  now,
  setTimeout: setTimeout.bind(null),
  clearTimeout: clearTimeout.bind(null),
  random: Math.random,
  beacon: (url, body) => navigator.sendBeacon?.(url, body),
  warn(why) {
    if (!said.has(why)) console.warn(`presence: ${why}; the widget is not live`);
    said.add(why);
  },
});

export const presence = (shared.presence ??= {
  async subscribe(channel) {
    const selector = `presence-roster[data-presence-channel="${CSS.escape(channel)}"][data-presence-grant]`;
    const widget = document.querySelector(selector);
    if (widget) return widget.room();
    throw Error(`include presence/widget.html with channel="${channel}" variant="none"`);
  },
  useConnection(centrifuge) {
    shared.given = centrifuge;
    shared.page?.useConnection(centrifuge);
  },
});

export function ago(age, language) {
  const unit = Object.keys(UNITS).find((name) => age >= UNITS[name]) ?? "minute";
  const format = new Intl.RelativeTimeFormat([language.split("_")[0], "en"], { numeric: "auto" });
  return format.format(-Math.floor(age / UNITS[unit]), unit);
}

async function begin(root) {
  const loaded = {};
  await Promise.all(MODULES.map(async (name) => {
    loaded[name] = await load(root.getAttribute(`data-presence-${name}-js`));
  }));
  const { presenceTokens: tokens, presenceBeacon: beacon, presenceSdk } = root.dataset;
  loaded.sdk = async () => {
    if (!globalThis.Centrifuge) await load(presenceSdk);
    // Without the prefix, it may be a class or a constant of another script.
    const { Centrifuge } = globalThis;
    if (Centrifuge.UnauthorizedError) return Centrifuge;
    throw Error("globalThis.Centrifuge is not centrifuge-js");
  };
  const page = new loaded.connection.Page({ tokens, beacon }, loaded, host);
  shared.page = loaded.page = page;
  if (shared.given) page.useConnection(shared.given);
  // So does a page that the browser keeps: the SDK disconnects, and connects again when it is shown.
  addEventListener("pagehide", () => page.leave());
  addEventListener("securitypolicyviolation", (event) => page.block(event));
  addEventListener("pageshow", ({ persisted }) => persisted && page.comeBack());
  return loaded;
}

export function modules(root) {
  return (shared.modules ??= begin(root).catch((error) => {
    shared.modules = null;
    throw error;
  }));
}

class PresenceRoster extends HTMLElement {
  #end;
  #shown;
  #asOf;
  #drawing;
  #since;
  #timer;
  #announcer;
  #entered;
  #observer = new MutationObserver(() => this.#renew());

  connectedCallback() {
    this.#observer.observe(this, { attributeFilter: OURS });
    if (!this.isConnected || !this.dataset.presenceGrant) return;
    this.#asOf ??= now() - 1000 * Math.max(0, this.dataset.presenceAge || Infinity);
    this.#report();
    if (this.#shown) this.#follow();
    else this.#load().catch((error) => {
      host.warn(error.message);
      if (!error.passing) this.#report({ refusal: error });
    });
  }

  disconnectedCallback() {
    clearTimeout(this.#timer);
    this.#end?.();
    this.#end = null;
  }

  async #load() {
    const loaded = await modules(this);
    const { presenceAnnounce: url } = this.dataset;
    if (url) this.#announcer ??= new (await load(url)).Announcer(this, loaded.draw.words, host);
    if (document.readyState === "loading") await new Promise((go) => addEventListener("DOMContentLoaded", go));
    if (document.prerendering) await new Promise((go) => addEventListener("prerenderingchange", go, true));
    this.#follow(loaded);
    return loaded;
  }

  async room() {
    const { page } = await this.#load();
    const { Room } = await load(this.dataset.presenceRoomJs);
    return new Room(page, this.#config(), this.#shown);
  }

  #follow(loaded) {
    if (!this.isConnected || this.#end) return;
    this.#shown ??= this.#begin(loaded);
    const { page } = shared;
    const take = (feed, news) => this.#take(feed, news);
    this.#end = page.follow(this.#config(), this.#shown, take);
    this.#show(page.feeds.get(this.dataset.presenceChannel));
  }

  #begin({ roster, draw, handlers: { handlers } }) {
    if (!this.#drawing) {
      for (const name in handlers) {
        const run = (event) => handlers[name](event.detail, this, event);
        this.addEventListener(`presence:${name}`, run);
      }
      this.#drawing = new draw.Drawing(this);
    }
    const shown = this.#drawing.adopt(roster.fromSnapshot);
    if (shown) return shown;
    throw Error("the widget's HTML was changed");
  }

  // Something else on the page has written the HTML of the widget.
  #renew() {
    const end = this.#end;
    this.#end = this.#shown = this.#asOf = null;
    this.connectedCallback();
    setTimeout(() => end?.());
  }

  #config() {
    const { presenceOffset, presenceStream: epoch, ...data } = this.dataset;
    return {
      channel: data.presenceChannel,
      feed: data.presenceFeed,
      snapshot: data.presenceSnapshot,
      grant: data.presenceGrant,
      owner: data.presenceOwner,
      every: Number(data.presenceEvery),
      asOf: this.#asOf,
      position: epoch ? { offset: Number(presenceOffset), epoch } : null,
    };
  }

  #take(feed, news) {
    this.#shown = feed.state;
    this.#asOf = feed.asOf;
    this.#show(feed);
    for (const [name, detail] of feed.events(news)) {
      this.dispatchEvent(new CustomEvent(`presence:${name}`, { bubbles: true, detail }));
    }
    this.#announcer?.note(news);
  }

  #show(feed) {
    this.#drawing.show(feed, this.#isCounted(feed));
    this.#observer.takeRecords();
    this.#report(feed);
  }

  // An anonymous visitor is one of those who are counted after a change, or a tick.
  #isCounted(feed) {
    const { presenceStranger, presenceEvery } = this.dataset;
    if (presenceStranger === undefined || !(this.#entered || feed.phase === "live")) return false;
    const { state: { version, anonymous } } = feed;
    const now = host.now();
    const wait = 1000 * presenceEvery;
    if (!this.#entered) {
      this.#entered = { version, now };
      setTimeout(() => this.#end && this.#show(feed), wait);
    }
    const isLate = now - this.#entered.now >= wait;
    return anonymous > 0 && (isLate || version !== this.#entered.version);
  }

  #report(feed) {
    clearTimeout(this.#timer);
    const time = now();
    this.#since = feed?.phase === "live" ? null : this.#since ?? time;
    const trouble = feed?.refusal ? "presenceRefused" : this.#since && "presenceStale";
    const brief = !feed?.refusal && time < this.#since + BRIEF;
    this.#tell(brief ? "" : trouble, (time - this.#asOf) / 1000);
    const again = () => (feed ? this.#report(feed) : this.connectedCallback());
    if (trouble) this.#timer = setTimeout(again, brief ? BRIEF : REFRESH);
  }

  #tell(trouble, age) {
    const part = (name) => this.querySelector(`[data-presence-part=status${name}]`);
    const words = part("")?.dataset ?? {};
    const dated = trouble && age < Infinity;
    const form = age < UNITS.minute ? words.presenceRecent : words.presenceAsOf;
    const when = dated ? form?.replace("{age}", ago(age, this.lang)) : "";
    for (const [name, text = ""] of [["-text", words[trouble]], ["-age", when]]) {
      const line = part(name);
      if (line && line.textContent !== text) line.textContent = text;
    }
  }
}

if (!customElements.get("presence-roster")) {
  customElements.define("presence-roster", PresenceRoster);
}
