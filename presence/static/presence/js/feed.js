/**
 * One channel, live: its subscription, its state, and the snapshot fetched when diffs cannot help.
 *
 * @typedef {import("./roster.js").State} State
 * @typedef {import("./roster.js").View} View
 * @typedef {import("./roster.js").Member} Member
 * @typedef {{channel: string, feed: string, snapshot: string,
 *            position: {offset: number, epoch: string} | null}} Config
 *   `snapshot` is the URL of the endpoint; `position` is where the stream stood for the page.
 * @typedef {{joined: Member[], left: Member[], updated: Member[]}} Changes
 * @typedef {(feed: Feed, news: {changes?: Changes, synced?: boolean}) => void} Listener
 *   called after every change of what is shown or of the phase
 * @typedef {{roster: typeof import("./roster.js"), tokens: import("./tokens.js").Tokens,
 *            getJson: typeof import("./tokens.js").getJson,
 *            backoff: typeof import("./tokens.js").backoff, Refused: typeof Error,
 *            host: import("./tokens.js").Host}} Tools
 */

/** Publications kept while a snapshot is awaited: as many as the stream's history holds. */
const KEPT = 100;

export class Feed {
  /** @type {Set<Listener>} */
  listeners = new Set();
  /** @type {"static" | "live" | "stale"} */
  phase = "static";
  /** Why it is refused; empty while it is not. */
  refusal = "";
  /** @type {Member | null} who this page's connection belongs to */
  user = null;
  /** The client it is attached to. @type {any} */
  client = null;
  closed = false;

  #sub = /** @type {any} */ (null);
  #entry = /** @type {import("./tokens.js").Entry | null} */ (null);
  #standing = false;
  #met = false;
  #shared = false;
  #awaiting = false;
  #flying = false;
  #again = false;
  #timer = /** @type {unknown} */ (null);
  #attempt = 0;
  #kept = /** @type {unknown[]} */ ([]);
  #on = {
    subscribed: (/** @type {any} */ ctx) => this.#subscribed(ctx.recovered === true),
    subscribing: () => this.stall(),
    unsubscribed: (/** @type {any} */ { code, reason }) =>
      code === 0 ? this.stall() : this.refuse(`${this.config.channel}: ${reason}`),
    publication: (/** @type {any} */ ctx) => this.#receive(ctx.data),
  };

  /**
   * @param {Config} config
   * @param {State} shown what the page shows
   * @param {Tools} tools
   */
  constructor(config, shown, tools) {
    this.config = config;
    this.state = shown;
    this.view = tools.roster.view(shown, null);
    this.tools = tools;
  }

  /**
   * Subscribes through a client, or joins the subscription that the client has already.
   * @param {any} client
   * @param {import("./tokens.js").Entry} entry
   * @param {Member | null} user
   * @param {() => Promise<string>} getToken
   */
  attach(client, entry, user, getToken) {
    const { feed, position } = this.config;
    this.client = client;
    this.user = user;
    this.#entry = entry;
    const existing = client.getSubscription(feed);
    this.#shared = existing !== null;
    this.#sub = existing ?? client.newSubscription(feed, {
      token: entry.token,
      getToken,
      minResubscribeDelay: 200,
      maxResubscribeDelay: 5000,
      ...(position?.epoch && !this.#met ? { since: position } : {}),
    });
    for (const [event, run] of Object.entries(this.#on)) this.#sub.on(event, run);
    if (!this.#shared) this.#sub.subscribe();
    else if (this.#sub.state === "subscribed") this.#subscribed(false);
  }

  /** Lets go of the client; a subscription that was there before us stays. */
  detach() {
    if (!this.#sub) return;
    for (const [event, run] of Object.entries(this.#on)) this.#sub.off(event, run);
    if (!this.#shared) this.client.removeSubscription(this.#sub);
    this.#sub = this.client = null;
    this.stall();
  }

  close() {
    this.closed = true;
    this.listeners.clear();
    this.#stopWaiting();
    this.detach();
  }

  /** The state of another widget of this channel, taken when it is newer. @param {State} shown */
  offer(shown) {
    if (shown.epoch === this.state.epoch && shown.version > this.state.version) this.#show(shown);
  }

  /** The connection or the subscription is down for now. */
  stall() {
    this.#standing = false;
    if (this.phase === "live") this.#enter("stale");
  }

  /** It is refused for good: what is shown stays, and no longer changes. @param {string} why */
  refuse(why) {
    this.#standing = false;
    this.#stopWaiting();
    this.refusal = why;
    this.tools.host.warn(`presence: ${why}; the widget is not live`);
    this.#show(this.state);
    this.#enter("static");
  }

  /** @param {boolean} recovered every publication since the position we had follows by itself */
  #subscribed(recovered) {
    const wait = this.#met ? this.#spread() : 0;
    this.#met = this.#standing = true;
    this.refusal = "";
    this.#show(this.state);
    if (!recovered || this.state.version === 0) this.#need(wait);
    else if (!this.#awaiting) this.#settle();
    else if (!this.#flying && this.#timer === null) this.#need(wait);
  }

  /** @param {unknown} publication */
  #receive(publication) {
    const { roster, host } = this.tools;
    const { state, fetch, within } = roster.reduce(this.state, publication);
    if (state !== this.state) this.#show(state);
    if (fetch && !this.#awaiting) {
      this.#need(within === null ? this.#spread() : host.random() * within * 1000);
    }
    if (!this.#awaiting || !roster.read(publication)) return;
    this.#kept.push(publication);
    if (this.#kept.length > KEPT) this.#kept.shift();
  }

  /** Milliseconds to wait, at random, so that a crowd does not fetch all at once. */
  #spread() {
    const { total, anonymous } = this.state;
    return this.tools.host.random() * Math.min(5000, 50 + 2 * (total + anonymous));
  }

  /** Asks for a snapshot that is read after now. @param {number} wait milliseconds */
  #need(wait) {
    this.#awaiting = true;
    if (this.phase === "live") this.#enter("stale");
    if (this.#flying) this.#again = true;
    else this.#timer ??= this.tools.host.setTimeout(() => this.#fetch(), wait);
  }

  async #fetch() {
    const { host, tokens, getJson, Refused } = this.tools;
    const { channel, snapshot } = this.config;
    const grant = encodeURIComponent(tokens.grant(channel));
    this.#timer = null;
    this.#flying = true;
    this.#again = false;
    try {
      const url = `${snapshot}${snapshot.includes("?") ? "&" : "?"}grant=${grant}`;
      const answer = await getJson(host, url, { headers: { Accept: "application/json" } });
      this.#flying = false;
      if (!this.closed) this.#take(answer);
    } catch (error) {
      this.#flying = false;
      if (this.closed) return;
      if (error instanceof Refused) this.refuse(`${channel}: ${error.message}`);
      else this.#retry();
    }
  }

  /** @param {unknown} snapshot */
  #take(snapshot) {
    const next = this.tools.roster.splice(this.state, snapshot, this.#kept);
    if (!next.taken) return this.#retry();
    this.#kept = next.kept;
    this.#show(next.state);
    return next.fetch || this.#again ? this.#retry() : this.#settle();
  }

  #retry() {
    this.#need(this.tools.backoff(this.#attempt, this.tools.host.random));
    this.#attempt += 1;
  }

  #stopWaiting() {
    if (this.#timer !== null) this.tools.host.clearTimeout(this.#timer);
    this.#timer = null;
  }

  #settle() {
    this.#awaiting = false;
    this.#attempt = 0;
    this.#kept = [];
    if (this.#standing) this.#enter("live");
  }

  /** @param {State} state */
  #show(state) {
    const { view, changes } = this.tools.roster;
    const before = this.view;
    // A room seen for the first time is a sync, not a crowd that joins.
    const first = this.state.version === 0 && state.version > 0;
    this.state = state;
    this.view = view(state, this.#entry?.shown && this.#met && !this.refusal ? this.user : null);
    this.#tell(first ? {} : { changes: changes(before, this.view) });
  }

  /** @param {"static" | "live" | "stale"} phase */
  #enter(phase) {
    this.phase = phase;
    this.#tell({ synced: phase === "live" });
  }

  /** @param {{changes?: Changes, synced?: boolean}} news */
  #tell(news) {
    for (const listener of this.listeners) listener(this, news);
  }
}
