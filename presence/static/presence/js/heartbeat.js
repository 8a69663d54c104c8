// <presence-heartbeat>: keeps the members that the page's view tracked while the page is open.

const BRIEF = 5000;
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

export class Heart {
  #timer;
  #turn = 0;
  #asked;
  #left = false;

  constructor({ url, every, lifelines }, tools) {
    Object.assign(this, { url, every, lifelines, host: tools });
  }

  begin(again) {
    this.#left = again;
    this.#asked = this.host.now();
    if (again) this.beat();
    else this.#wait(this.every);
  }

  async beat() {
    const turn = this.#rest();
    const body = { tokens: this.lifelines, back: this.#left };
    this.#left = false;
    this.#asked = this.host.now();
    const present = await post(this, body);
    if (turn !== this.#turn) return;
    // After signing out, for example: nobody has to wait until it has timed out.
    if (present === REFUSED) this.leave();
    this.lifelines = present ?? this.lifelines;
    // Sooner after a failure: who is silent for two heartbeats is gone.
    this.#wait(present ? this.every : (this.every / 5) * (1 + this.host.random()));
  }

  wake() {
    const since = Math.abs(this.host.now() - this.#asked);
    if (this.lifelines.length && (this.#left || since > BRIEF)) this.beat();
  }

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
    // Called when an answer came: timers that timers set go off once a minute in a hidden page.
    if (this.lifelines.length) this.#timer = this.host.setTimeout(() => this.beat(), milliseconds);
  }
}

class PresenceHeartbeat extends HTMLElement {
  static observedAttributes = ["data-presence-lifelines"];
  #heart;
  #ended;

  connectedCallback() {
    this.#ended = new AbortController();
    const { signal } = this.#ended;
    addEventListener("pagehide", () => this.#heart.leave(), { signal });
    addEventListener("pageshow", ({ persisted }) => persisted && this.#heart.wake(), { signal });
    const look = () => document.hidden || this.#heart.wake();
    document.addEventListener("visibilitychange", look, { signal });
    if (this.#heart) this.#heart.wake();
    else this.#begin();
  }

  disconnectedCallback() {
    this.#ended.abort();
    // One that is only moved is back by then.
    setTimeout(() => this.isConnected || this.#heart.leave());
  }

  // Called by libraries that morph one page into the next.
  attributeChangedCallback(name, before, now) {
    if (!this.#heart || !this.isConnected || now === before) return;
    this.#heart.leave();
    this.#begin();
  }

  #begin() {
    const { presenceUrl: url, presenceEvery, presenceLifelines, presenceJoins } = this.dataset;
    const lifelines = (presenceLifelines ?? "").split(" ").filter(Boolean);
    this.#heart = new Heart({ url, every: 1000 * presenceEvery, lifelines }, host);
    const [visit] = performance.getEntriesByType("navigation");
    // The page may have left while the browser or a library kept it.
    const again = document.readyState === "complete" || visit?.type === "back_forward";
    const begin = () => this.#heart.begin(again || presenceJoins === "");
    // One that is prerendered may never be shown.
    if (document.prerendering) document.addEventListener("prerenderingchange", begin);
    else begin();
  }
}

if (!customElements.get("presence-heartbeat")) {
  customElements.define("presence-heartbeat", PresenceHeartbeat);
}
