/**
 * `<presence-roster>`: keeps the HTML that Django rendered up to date, over the page's one connection.
 *
 * A widget begins once it is parsed and its modules are there. Where the network keeps a module away,
 * the widget tries again every ten seconds, and one success is a success for all. Any other failure is
 * final: the widget says so, and the console once.
 *
 * A library that morphs pages may write the HTML of a widget. It resets the attributes by which that is
 * seen (grant, state, version). The widget then begins again with the HTML that is there, and lets go of
 * what it followed only after that, so that a subscription to the same channel stays.
 *
 * @import { Feed, News } from "./feed.js"
 * @import { Host } from "./connection.js"
 */

// Names of modules in the attributes `data-presence-…-js`.
const MODULES = ["roster", "feed", "connection", "draw", "handlers"];
// Milliseconds of an interruption that is not mentioned.
const BRIEF = 2500;
// Milliseconds between two looks at the time, and between two tries to load the modules.
const REFRESH = 10_000;
// Attributes by which it is seen that somebody else wrote the HTML of the widget.
const WATCHED = ["data-presence-grant", "data-presence-state", "data-presence-version"];

// Returns the status and the text of an answer. A redirect is not followed; its status is 0.
async function ask(url, init, get = fetch) {
  const pass = (why) => {
    throw Object.assign(Error(`${url}: ${why}`), { passing: true });
  };
  const signal = AbortSignal.timeout(15_000);
  const answer = await get(url, { cache: "no-store", redirect: "manual", signal, ...init }).catch(pass);
  const { status } = answer;
  if (status >= 500 || status === 408 || status === 429) pass(status);
  return { status, text: await answer.text().catch(pass) };
}

/**
 * `Host.getJson` of connection.js. An answer without `key`, such as that of a login wall, is a final
 * error.
 *
 * @param {string} key
 * @param {string} url
 * @param {RequestInit} [init]
 * @param {typeof fetch} [get]
 * @returns {ReturnType<Host["getJson"]>}
 */
export async function getJson(key, url, init, get) {
  const { status, text } = await ask(url, init, get);
  let why = "sign in and reload, or exempt it from logins";
  try {
    const answer = JSON.parse(text);
    if (status === 200 && answer[key]) return answer;
    why = text.slice(0, 500);
  } catch {}
  throw Error(`${url.split("?")[0]} answered ${status || "a redirect"}: ${why}`);
}

// An error of import() does not tell whether it was the network: the file is fetched to know, and imported
// once more if it is there.
const load = (url) => import(url).catch(async () => {
  await ask(url, { mode: "no-cors", redirect: "follow" });
  return import(url);
});

// `Host.now`. In some browsers `performance.now` stops while the computer sleeps. Where the clock of the
// computer jumps ahead by over a second, that counts as such a sleep; a step back counts for nothing.
let start = performance.timeOrigin;
let ahead = Date.now() - performance.now();
function now() {
  const time = performance.now();
  const jump = Date.now() - time - ahead;
  ahead += jump;
  if (jump > 1000) start += jump;
  return start + time;
}

const warned = new Set();
// Objects that the page has once, even if this module comes under two URLs.
const shared = (globalThis[Symbol.for("presence")] ??= {});
const host = (shared.host ??= {
  getJson,
  now,
  setTimeout: setTimeout.bind(null),
  clearTimeout: clearTimeout.bind(null),
  random: Math.random,
  hidden: () => document.hidden,
  revoked: () => dispatchEvent(new Event("presence:revoked")),
  warn(why) {
    if (!warned.has(why)) console.warn(`presence: ${why}; the widget is not live`);
    warned.add(why);
  },
});

/** `Presence` of presence.d.ts. */
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

/**
 * Say when something was: the time, and the date as well if that is not today.
 *
 * @param {number} age Seconds.
 * @param {string} language
 * @returns {string}
 */
export function timeOf(age, language) {
  const then = new Date(Date.now() - 1000 * age);
  const dateStyle = then.toDateString() === new Date().toDateString() ? undefined : "medium";
  return then.toLocaleString([language.split("_")[0], "en"], { dateStyle, timeStyle: "short" });
}

async function loadModules(root) {
  const loaded = {};
  await Promise.all(MODULES.map(async (name) => {
    loaded[name] = await load(root.getAttribute(`data-presence-${name}-js`));
  }));
  const { presenceTokens: tokens, presenceSdk } = root.dataset;
  loaded.sdk = async () => {
    if (!globalThis.Centrifuge) await load(presenceSdk);
    // Without `globalThis`, it may be a class or a constant of another script.
    const { Centrifuge } = globalThis;
    if (Centrifuge.UnauthorizedError) return Centrifuge;
    throw Error("globalThis.Centrifuge is not centrifuge-js");
  };
  const page = new loaded.connection.Page(tokens, loaded, host);
  shared.page = loaded.page = page;
  if (shared.given) page.useConnection(shared.given);
  addEventListener("securitypolicyviolation", (event) => page.block(event));
  addEventListener("visibilitychange", () => page.turn());
  return loaded;
}

/**
 * Load the modules that an element with the attributes of `_live.html` names, once a page, and make the
 * Page. Reject where one cannot be loaded; the next caller tries again.
 *
 * @param {HTMLElement} root
 * @returns {Promise<any>} The modules by their names in MODULES, `page` and `sdk`.
 */
export function modules(root) {
  return (shared.modules ??= loadModules(root).catch((error) => {
    shared.modules = null;
    throw error;
  }));
}

/**
 * Return what `modules` gives, once the page is parsed and shown. An element that is being parsed has no
 * content yet; a page that is prerendered may never be shown.
 *
 * @param {HTMLElement} root
 * @returns {Promise<any>}
 */
export async function ready(root) {
  const loaded = await modules(root);
  // The first element of the page may have none.
  loaded.page.tools.tokens.check ??= root.dataset.presenceCheck;
  const heard = (name) => new Promise((go) => addEventListener(name, go, true));
  if (document.readyState === "loading") await heard("DOMContentLoaded");
  if (document.prerendering) await heard("prerenderingchange");
  return loaded;
}

class PresenceRoster extends HTMLElement {
  // Ends the following of the channel; null while nothing is followed.
  #unfollow;
  // State that the widget shows, and the time by `now` at which it was true.
  #shown;
  #asOf;
  #renderer;
  // Time by `now` since which the widget is not live; null while it is.
  #notLiveSince;
  #statusTimer;
  #announcer;
  // Version at which this anonymous visitor was live for the first time; null a tick later.
  #entered;
  #observer = new MutationObserver(() => this.#renew());

  connectedCallback() {
    this.#observer.observe(this, { attributeFilter: WATCHED });
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
    clearTimeout(this.#statusTimer);
    this.#unfollow?.();
    this.#unfollow = null;
  }

  async #load() {
    const loaded = await ready(this);
    const { presenceAnnounce: url } = this.dataset;
    if (url) this.#announcer ??= new (await load(url)).Announcer(this, loaded.draw.words, host);
    this.#follow(loaded);
    return loaded;
  }

  /** Follow the channel of this widget as a Room: for `presence.subscribe`. */
  async room() {
    const { page } = await this.#load();
    const { Room } = await load(this.dataset.presenceRoomJs);
    return new Room(page, this.#config(), this.#shown);
  }

  #follow(loaded) {
    if (!this.isConnected || this.#unfollow) return;
    this.#shown ??= this.#adopt(loaded);
    const { page } = shared;
    const take = (feed, news) => this.#take(feed, news);
    this.#unfollow = page.follow(this.#config(), this.#shown, take);
    this.#show(page.feeds.get(this.dataset.presenceChannel));
  }

  #adopt({ roster, draw, handlers: { handlers } }) {
    if (!this.#renderer) {
      for (const name in handlers) {
        const run = (event) => handlers[name](event.detail, this, event);
        this.addEventListener(`presence:${name}`, run);
      }
      this.#renderer = new draw.Renderer(this);
    }
    const shown = this.#renderer.adopt(roster.fromSnapshot);
    if (shown) return shown;
    throw Error("the widget's HTML lacks members or their data");
  }

  // A library has written the HTML of the widget.
  #renew() {
    const unfollow = this.#unfollow;
    this.#unfollow = this.#shown = this.#asOf = null;
    this.connectedCallback();
    setTimeout(() => unfollow?.());
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
    this.#renderer.show(feed, this.#isCounted(feed));
    // Our own changes of the attributes are not news.
    this.#observer.takeRecords();
    this.#report(feed);
  }

  // Whether the number of anonymous visitors includes this one: a diff or a tick has come since the widget
  // was live for the first time.
  #isCounted(feed) {
    const { phase, state: { version, anonymous } } = feed;
    const { presenceStranger, presenceEvery } = this.dataset;
    if (presenceStranger === undefined) return false;
    if (this.#entered === undefined && phase === "live") {
      this.#entered = version;
      // A tick later, the number includes this visitor even if it is the same.
      setTimeout(() => {
        this.#entered = null;
        if (this.#unfollow) this.#show(feed);
      }, 1000 * presenceEvery);
    }
    return anonymous > 0 && this.#entered !== undefined && this.#entered !== version;
  }

  // Says what is wrong, here and not in render.js, which may be what could not be loaded.
  #report(feed) {
    clearTimeout(this.#statusTimer);
    const time = now();
    this.#notLiveSince = feed?.phase === "live" ? null : this.#notLiveSince ?? time;
    const refused = feed?.revoked ? "presenceRevoked" : "presenceRefused";
    const trouble = feed?.refusal ? refused : this.#notLiveSince && "presenceStale";
    const brief = !feed?.refusal && time < this.#notLiveSince + BRIEF;
    this.#tell(brief ? "" : trouble, (time - this.#asOf) / 1000);
    const again = () => (feed ? this.#report(feed) : this.connectedCallback());
    const isAway = feed && host.hidden();
    // What was not said yet may be over soon after the page is shown.
    if (isAway && brief) this.#notLiveSince = null;
    if (trouble && !isAway) this.#statusTimer = setTimeout(again, brief ? BRIEF : REFRESH);
  }

  #tell(trouble, age) {
    const part = (name) => this.querySelector(`[data-presence-part=status${name}]`);
    const words = part("")?.dataset ?? {};
    const dated = trouble && age < Infinity;
    const when = dated ? words.presenceAsOf?.replace("{time}", timeOf(age, this.lang)) : "";
    for (const [name, text = ""] of [["-text", words[trouble]], ["-age", when]]) {
      const line = part(name);
      if (line && line.textContent !== text) line.textContent = text;
    }
  }
}

if (!customElements.get("presence-roster")) {
  customElements.define("presence-roster", PresenceRoster);
}
