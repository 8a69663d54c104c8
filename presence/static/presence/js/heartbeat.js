/**
 * `<presence-heartbeat>`: keeps the members that the page's view tracked, without a websocket, for as
 * long as the page is open.
 *
 * A hidden page is open; one that is closed, or kept by the browser for a way back, is not. An element
 * that is taken out of the page leaves, one that is only moved stays. Where a library writes other
 * lifelines into it, the old ones leave.
 *
 * The module stands alone: a page may need it and no widget.
 */

/**
 * The functions of the browser, which tests replace. Times are milliseconds.
 *
 * @typedef {object} Host
 * @property {(url: string, init?: RequestInit) => Promise<Response>} fetch
 * @property {(run: () => void, ms: number) => any} setTimeout
 * @property {(timer: any) => void} clearTimeout
 * @property {() => number} now
 * @property {() => number} random From 0 to 1.
 * @property {(url: string, body: string) => void} beacon
 * @property {(reason: string) => void} warn Says on the console why the members are no longer kept.
 */

// Milliseconds within which a page that is shown again needs no further heartbeat.
const BRIEF = 5000;
// The answer that ends the heartbeat: no lifelines are left.
const REFUSED = [];

const host = {
  fetch: (url, init) => fetch(url, { signal: AbortSignal.timeout(15_000), ...init }),
  setTimeout: setTimeout.bind(null),
  clearTimeout: clearTimeout.bind(null),
  random: Math.random,
  now: Date.now,
  beacon: (url, body) => navigator.sendBeacon?.(url, body),
  warn: console.warn,
};

/*
 * Returns the lifelines that the server still knows; null where asking again may help (no network, 408,
 * 429, 500 and above); REFUSED after anything else, such as the answer of a login wall.
 */
async function post({ host, url }, body) {
  const init = { method: "POST", body: JSON.stringify(body), cache: "no-store", redirect: "manual" };
  const read = async (answer) => [answer.status, await answer.text()];
  const [status, text] = await host.fetch(url, init).then(read).catch(() => [503]);
  if (status >= 500 || status === 408 || status === 429) return null;
  try {
    const { present } = JSON.parse(text);
    if (Array.isArray(present)) return present;
  } catch {}
  host.warn(`presence: ${url} answered ${status || "a redirect"}: sign in and reload, or exempt it from logins`);
  return REFUSED;
}

/** The heartbeat of one element: it keeps the members of its lifelines. */
export class Heartbeat {
  #timer;
  // Number of requests and of ends so far, by which an answer knows whether it is the newest.
  #turn = 0;
  #askedAt;
  // Whether the members have left, or may have.
  #left = false;

  /**
   * @param {{ url: string, every: number, lifelines: string[] }} given `every` is milliseconds.
   *   `lifelines` are signed, one for each member; each answer renews them. Without any the heartbeat
   *   has stopped for good.
   * @param {Host} host
   */
  constructor(given, host) {
    Object.assign(this, given, { host });
  }

  /**
   * Send the first heartbeat after an interval, or at once where the members may have left.
   *
   * @param {boolean} again
   */
  begin(again) {
    this.#left = again;
    this.#askedAt = this.host.now();
    if (again) this.beat();
    else this.#wait(this.every);
  }

  /**
   * Send a heartbeat now, and the next one an interval after each answer, or sooner, at random, after a
   * failure. After a refusal the members leave and the heartbeat stops.
   */
  async beat() {
    const turn = this.#rest();
    const body = { tokens: this.lifelines, back: this.#left };
    this.#left = false;
    this.#askedAt = this.host.now();
    const present = await post(this, body);
    if (turn !== this.#turn) return;
    // The user signed out, for example: the others need not wait until the members have timed out.
    if (present === REFUSED) this.leave();
    this.lifelines = present ?? this.lifelines;
    // Sooner after a failure: a member without two heartbeats is gone.
    this.#wait(present ? this.every : (this.every / 5) * (1 + this.host.random()));
  }

  /** The page is seen again: send a heartbeat at once, unless one was just sent. */
  wake() {
    const since = Math.abs(this.host.now() - this.#askedAt);
    if (this.lifelines.length && (this.#left || since > BRIEF)) this.beat();
  }

  /** The page closes: let go of the members, and be silent until `wake`. */
  leave() {
    this.#rest();
    this.#left = true;
    if (!this.lifelines.length) return;
    this.host.beacon(this.url, JSON.stringify({ tokens: this.lifelines, leave: true }));
  }

  #rest() {
    this.host.clearTimeout(this.#timer);
    return ++this.#turn;
  }

  #wait(milliseconds) {
    // The timer is set when an answer comes: in a hidden page, a timer that a timer set fires once a
    // minute, while one that an answer set fires in time.
    if (this.lifelines.length) this.#timer = this.host.setTimeout(() => this.beat(), milliseconds);
  }
}

class PresenceHeartbeat extends HTMLElement {
  static observedAttributes = ["data-presence-lifelines"];
  #heartbeat;
  #ended;

  connectedCallback() {
    this.#ended = new AbortController();
    const { signal } = this.#ended;
    addEventListener("pagehide", () => this.#heartbeat.leave(), { signal });
    addEventListener("pageshow", ({ persisted }) => persisted && this.#heartbeat.wake(), { signal });
    // The server refuses this one, and the members leave.
    addEventListener("presence:revoked", () => this.#heartbeat.beat(), { signal });
    const look = () => document.hidden || this.#heartbeat.wake();
    document.addEventListener("visibilitychange", look, { signal });
    if (this.#heartbeat) this.#heartbeat.wake();
    else this.#begin();
  }

  disconnectedCallback() {
    this.#ended.abort();
    // An element that is only moved is back by then.
    setTimeout(() => this.isConnected || this.#heartbeat.leave());
  }

  // Called where a library morphs one page into the next.
  attributeChangedCallback(name, before, now) {
    if (!this.#heartbeat || !this.isConnected || now === before) return;
    this.#heartbeat.leave();
    this.#begin();
  }

  #begin() {
    const { presenceUrl: url, presenceEvery, presenceLifelines, presenceJoins } = this.dataset;
    const lifelines = presenceLifelines?.match(/\S+/gu) ?? [];
    this.#heartbeat = new Heartbeat({ url, every: 1000 * presenceEvery, lifelines }, host);
    const [visit] = performance.getEntriesByType("navigation");
    // An element that was not parsed with its page, or a page shown again, may have left before.
    const again = document.readyState === "complete" || visit?.type === "back_forward";
    const begin = () => this.#heartbeat.begin(again || presenceJoins === "");
    // A page that is prerendered may never be shown.
    if (document.prerendering) document.addEventListener("prerenderingchange", begin);
    else begin();
  }
}

if (!customElements.get("presence-heartbeat")) {
  customElements.define("presence-heartbeat", PresenceHeartbeat);
}
