/**
 * One channel, live: its subscription, its state, and the snapshot that it fetches where diffs cannot
 * help.
 *
 * A page that has just been opened fetches at once, else a feed waits for a random moment, as a whole
 * crowd may have to fetch. Publications are kept while a snapshot is awaited. What still does not fit
 * the snapshot then is worth one more fetch, no more. Of two fetches under way only the newest counts.
 *
 * @import { Member, SiteEvent, View } from "./presence.js"
 * @import { Changes, State } from "./roster.js"
 * @import * as connection from "./connection.js"
 * @import * as roster from "./roster.js"
 */

/**
 * Data of a channel in the page.
 *
 * @typedef {object} Config
 * @property {string} channel
 * @property {string} [owner] Id of the user of the grant; "" for the anonymous.
 * @property {string} feed Channel of the diffs: the channel itself, or `roster:` and its name.
 * @property {string} snapshot URL of the snapshot endpoint, without a query.
 * @property {{ offset: number, epoch: string } | null} position Place in the stream at which the page
 *   was rendered; null if there was no stream.
 * @property {number} every Seconds between two ticks.
 * @property {number | null} [asOf] Time, by `host.now`, at which what the page shows was true; null
 *   if that is not known.
 */

/**
 * `static`: not live yet, or refused for good. `stale`: not live for now.
 *
 * @typedef {"static" | "live" | "stale"} Phase
 */

/**
 * News for a listener. `synced`: in step with the server, for the first time or again. `stale`: no
 * longer live, for now or for good, which may come after that. A room that is seen for the first time,
 * that is counted from now on or listed, is a change without joins and leaves: draw `feed.view`.
 *
 * @typedef {Changes & { synced?: boolean, stale?: boolean, event?: SiteEvent }} News
 */

/**
 * Called at once, and after every change of what is shown or of the phase.
 *
 * @typedef {(feed: Feed, news: News) => void} Listener
 */

/**
 * Tools that the page gives to all that it follows.
 *
 * @typedef {object} Tools
 * @property {typeof roster} roster
 * @property {connection.Tokens} tokens
 * @property {typeof connection.backoff} backoff
 * @property {typeof connection.subscribe} subscribe
 * @property {connection.Host} host
 * @property {connection.Pulse} pulse
 * @property {() => void} [onRefused] Called after a refusal: the page may need its connection no more.
 */

const NOTHING = { joined: [], left: [], updated: [] };
// Largest number of publications that are kept, which is the history size of a feed.
const LIMIT = 100;

/** One channel with a roster. */
export class Feed {
  /** @type {Set<Listener>} */
  listeners = new Set();
  /** @type {Phase} */
  phase = "static";
  /** Why the feed is refused for good; "" while it is not. */
  refusal = "";
  /** Whether it is refused since access was revoked. */
  revoked;
  /** @type {any} The `Centrifuge` that the feed is attached to. */
  client = null;
  /** @type {Member[]} Oneself, once subscribed; empty where one is not shown. */
  self = [];
  /** @type {Member[]} Oneself, while the roster does not have one; else empty. */
  ahead = [];
  #sub;
  // Whether the feed was ever subscribed: the position of the page is of no use after that.
  #hasSubscribed;
  // Whether a snapshot is awaited.
  #awaiting;
  #release;
  #timer;
  #checkTimer;
  #view;
  #asOf;
  #attempt = 0;
  // Number of fetches so far, by which an answer knows whether it is the newest.
  #fetches = 0;
  // Publications kept while a snapshot is awaited, and the number of fetches when the last one came.
  #kept = [];
  #keptAt;

  /**
   * @param {Config} config
   * @param {State} shown What the page shows; it belongs to the feed from now on.
   * @param {Tools} tools
   */
  constructor(config, shown, tools) {
    Object.assign(this, tools, { config, state: shown });
    this.#asOf = config.asOf ?? -Infinity;
  }

  /**
   * The view that is shown, made when it is asked for and kept until something changes.
   *
   * @returns {View}
   */
  get view() {
    return this.#view ??= this.roster.view(this.state, this.ahead);
  }

  /** Time, by `host.now`, at which what is shown was last known to be true; -Infinity if unknown. */
  get asOf() {
    if (this.phase !== "live") return this.#asOf;
    return this.pulse.late ? Math.max(this.#asOf, this.pulse.at) : this.host.now();
  }

  /** Seconds since `asOf`; null if that is unknown. */
  age() {
    const age = (this.host.now() - this.asOf) / 1000;
    return age < Infinity ? age : null;
  }

  /**
   * Subscribe through a client, or join the subscription that the client has already. One that the
   * site has unsubscribed stays so: the feed is not live until the site subscribes again.
   *
   * @param {any} client
   * @param {connection.Entry} entry
   * @param {Member | null} user
   * @param {() => Promise<string>} getToken
   */
  attach(client, { token, shown, self: id }, user, getToken) {
    const { feed, position } = this.config;
    const since = position?.epoch && !this.#hasSubscribed ? position : null;
    const self = shown && user ? [user] : [];
    [this.#sub, this.#release] = this.subscribe(this, client, feed, { token, getToken, since }, {
      subscribed: ({ recovered }) => this.#subscribed(recovered, self, id),
      // What a client published has its info, and would be forged.
      publication: ({ data, info }) => info || this.#receive(data),
    });
    this.client = client;
    if (this.#sub.state === "subscribed") this.#subscribed(false, self, id);
  }

  /**
   * Let go of the client, until the feed is attached again. A subscription of the site stays. Fetches
   * and a refusal end with it.
   */
  detach() {
    this.#rest();
    this.refusal = "";
    this.stall();
  }

  /** End the feed. */
  close() {
    this.listeners.clear();
    this.detach();
  }

  /**
   * Take over the state of another widget of this channel, if it is newer or the first.
   *
   * @param {State} shown
   */
  offer(shown) {
    const { epoch, version } = this.state;
    if ((epoch && shown.epoch !== epoch) || shown.version <= version) return;
    this.#show(shown, this.roster.since(this.state, shown));
  }

  /** The connection or the subscription is down for now. */
  stall() {
    if (this.phase === "live") this.#enter("stale");
  }

  /** The pulse fell silent, or is back. */
  listen() {
    if (this.pulse.silent) this.stall();
    else if (!this.#awaiting) this.#settle();
  }

  /**
   * Give up for good. What is shown stays, oneself as well. The feed lets go of the client, so that
   * others do not go on seeing us here.
   *
   * @param {string} why
   * @param {boolean} [revoked] Whether the visitor had access until now.
   */
  refuse(why, revoked) {
    this.#rest();
    this.refusal = `${why}`;
    this.revoked = revoked;
    this.host.warn(why);
    this.#enter("static");
    this.onRefused?.();
  }

  /**
   * Turn news into events, one for each member. Take them while the listener is called: they read
   * what the feed shows now.
   *
   * @param {News} news
   * @returns {Iterable<[name: string, detail: object]>} Names and details of `EventMap`.
   */
  *events({ joined, left, updated, synced, stale, event }) {
    const { channel } = this.config;
    const about = { channel, version: this.state.version };
    for (const member of joined) yield ["join", { ...about, member }];
    for (const member of left) yield ["leave", { ...about, member }];
    for (const member of updated) yield ["update", { ...about, member }];
    if (synced) yield ["sync", { ...about, ...this.view }];
    if (stale) yield ["stale", { ...about, state: this.phase, age: this.age() }];
    if (event) yield ["event", { channel, ...event }];
  }

  /**
   * Tell listeners. What one of them throws is reported, and the others are told all the same.
   *
   * @param {Partial<News>} news What it leaves out did not change.
   * @param {Iterable<Listener>} [listeners] All of them by default.
   */
  tell(news, listeners = this.listeners) {
    for (const listener of listeners) {
      try {
        listener(this, { ...NOTHING, ...news });
      } catch (error) {
        reportError(error);
      }
    }
  }

  // Only a recovered stream brings every later diff by itself. Anything else needs the snapshot: a page
  // that is just opened fetches at once, a resubscription after a random wait, as a crowd may return.
  #subscribed(recovered, self, id) {
    const again = this.#hasSubscribed;
    this.#hasSubscribed = true;
    this.self = self;
    this.#show();
    if (recovered === true && this.state.version && !this.#awaiting) this.#settle(again);
    else this.#need(again ? this.#spread() : 0);
    this.#check(id);
  }

  // Where one member leaves and another comes between two looks, the count of the room stays the same. Only
  // the page of the one who came can see that the roster lacks them: by now it has had a second for a look
  // and half of one for the poll. While a snapshot is awaited, the roster may be incomplete. Without a
  // connection there is nothing to find: the next subscription is checked.
  #check(id) {
    this.host.clearTimeout(this.#checkTimer);
    if (id && this.tokens.check) this.#checkTimer = this.host.setTimeout(() => {
      if (this.#sub.state !== "subscribed") return;
      if (this.#awaiting) this.#check(id);
      else if (this.roster.ahead(this.state, [{ id }]).length) this.tokens.report(this.config.channel);
    }, 1500);
  }

  #receive(publication) {
    const event = this.roster.readEvent(publication);
    if (event) this.tell({ event });
    const { changes, fetch, within } = this.roster.reduce(this.state, publication);
    // A live feed gets what it recovers as well: that may be old.
    if (changes) this.#show(this.state, changes, this.phase === "live" ? undefined : this.host.now());
    if (fetch && !this.#awaiting) this.#need(this.#spread(within));
    // Kept although it was applied: the snapshot may be older than that.
    if (!this.#awaiting || !this.roster.read(publication)) return;
    this.#kept = [...this.#kept, publication].slice(-LIMIT);
    this.#keptAt = this.#fetches;
  }

  // Milliseconds to wait before a fetch, at random: 500 members fetch over a second, at most over five.
  #spread(within) {
    const { total, anonymous } = this.state;
    const usual = Math.min(5, 0.05 + (total + anonymous) / 500);
    return this.host.random() * 1000 * (within ?? usual);
  }

  #need(wait) {
    this.#awaiting = true;
    this.stall();
    this.#timer ??= this.host.setTimeout(() => this.#fetch(), wait);
  }

  async #fetch() {
    const { channel, snapshot } = this.config;
    const grant = encodeURIComponent(this.tokens.grants.get(channel));
    const turn = ++this.#fetches;
    this.#timer = null;
    try {
      const answer = await this.host.getJson("members", `${snapshot}?grant=${grant}`);
      if (turn === this.#fetches) this.#take(answer);
    } catch (error) {
      if (turn !== this.#fetches) return;
      // Whether asking again may help: see `Host.getJson`.
      if (error.passing) this.#retry();
      else this.refuse(error.message);
    }
  }

  #take(answer) {
    const next = this.roster.splice(this.state, answer, this.#kept);
    if (next) {
      this.#kept = next.open;
      this.config.every = answer.every;
      this.#show(next.state, next.changes, this.host.now() - Math.max(0, answer.age) * 1000);
    }
    // A snapshot that is too old, or that leaves a gap: one fetch more closes it, begun after what is kept.
    if (!next || (next.open.length && this.#fetches < this.#keptAt + 2)) this.#retry();
    else if (!this.#timer) this.#settle();
  }

  #retry() {
    this.#need(this.backoff(this.#attempt++, this.host.random));
  }

  #rest() {
    this.#release?.();
    this.#release = this.#sub = this.client = null;
    // The answer to a fetch under way comes too late from here on.
    this.#fetches += 1;
    this.host.clearTimeout(this.#timer);
    this.host.clearTimeout(this.#checkTimer);
    this.#timer = null;
  }

  // An empty room may not have been polled for long, and a stream tells nothing of the time since: then
  // the page waits for the pulse from now on, if it does not wait for one already.
  #settle(recovered) {
    const { host, pulse, state: { total, anonymous } } = this;
    const isDated = !recovered && total + anonymous && this.#asOf > -Infinity;
    if (isDated || (pulse.late && !pulse.silent)) {
      pulse.expect(isDated ? this.#asOf : host.now(), this.config.every);
    }
    this.#awaiting = false;
    this.#attempt = 0;
    this.#kept = [];
    if (this.#sub?.state === "subscribed") this.#enter(this.pulse.silent ? "stale" : "live");
  }

  #show(state = this.state, changes = NOTHING, asOf) {
    const before = this.ahead;
    this.state = state;
    this.#view = null;
    if (asOf > this.#asOf) this.#asOf = asOf;
    this.ahead = this.roster.ahead(state, this.self);
    this.tell(changes ? this.roster.overlay(changes, before, this.ahead) : {});
  }

  #enter(phase) {
    const stale = phase !== "live" && phase !== this.phase;
    this.#asOf = this.asOf;
    this.phase = phase;
    this.tell({ synced: phase === "live", stale });
  }
}
