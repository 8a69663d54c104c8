/**
 * A cursor channel, live. The page follows it in place of a feed: it has the same methods, and
 * `publish`.
 *
 * @import { Host, subscribe } from "./connection.js"
 * @import { Heard, Point } from "./cursor_state.js"
 * @import { Member } from "./presence.js"
 */

/**
 * @typedef {object} ChannelConfig
 * @property {string} channel `cursors:…`
 * @property {(data: unknown, info?: object) => Heard | null} read Reads a publication.
 * @property {WeakMap<object, string>} ids Ids of the page's connections, as others see them.
 */

/**
 * News for a listener; an empty object if only the state of the channel changed.
 *
 * @typedef {object} ChannelNews
 * @property {Heard} [heard] A cursor moved or is gone.
 * @property {true} [greet] A user came who does not know our position, and others were here before.
 * @property {Point | { gone: true }} [again] This was refused, for the moment.
 */

// Milliseconds between two questions whether we are alone: while alone, and while in company.
const ASK_ALONE = 4500;
const ASK_IN_COMPANY = 60_000;
// Milliseconds from a leave push to that question: one question serves several who leave at once.
const AFTER_LEAVE = 250;
// Milliseconds after a leave push in which a publication of the same client may still come.
const LATE = 5000;
// Error codes that no repetition mends: permission denied, not available, forbidden by a proxy.
const REFUSALS = [103, 108, 403];

/** One cursor channel. */
export class Channel {
  /** @type {Set<(channel: Channel, news: ChannelNews) => void>} */
  listeners = new Set();
  /** @type {"static" | "live" | "stale"} */
  phase = "static";
  /** Why it is not live, and will not be by itself; "" where it may be. */
  refusal = "";
  /** @type {Member | null} */
  user = null;
  client = null;
  /** Whether there is anybody else on the channel, as far as can be known. */
  company = false;
  #sub;
  #release;
  #askedAt = -Infinity;
  #askTimer = null;
  // Whether we are somebody to others: the anonymous and the invisible only watch.
  #mayMove = false;
  // Whether Centrifugo, or the site's proxy, refuses what we publish.
  #refused = false;
  // Whether there was a sign of somebody else since we asked.
  #sawOthers = false;
  // Clients that left a moment ago.
  #left = new Set();

  /**
   * @param {ChannelConfig} config
   * @param {null} shown A feed has a state here.
   * @param {{ host: Host, subscribe: typeof subscribe, onRefused?: () => void }} tools
   */
  constructor(config, shown, { host, subscribe, onRefused }) {
    Object.assign(this, { config, host, subscribe, onRefused });
  }

  /** Whether it makes sense to publish: live, in company, and as somebody. */
  get open() {
    return this.phase === "live" && this.company && this.#mayMove && !this.#refused;
  }

  /**
   * Subscribe through a client, or join the subscription that it has already.
   *
   * @param {any} client
   * @param {{ token: string, shown: boolean }} entry
   * @param {Member | null} user
   * @param {() => Promise<string>} getToken
   */
  attach(client, { token, shown }, user, getToken) {
    const { channel } = this.config;
    [this.#sub, this.#release] = this.subscribe(this, client, channel, { token, getToken }, {
      subscribed: () => this.#enter("live"),
      publication: ({ data, info }) => this.#receive(data, info),
      join: ({ info }) => info && this.#met(info),
      leave: ({ info }) => info && this.#missed(info),
    });
    Object.assign(this, { client, user });
    this.#mayMove = shown;
    if (this.#sub.state === "subscribed") this.#enter("live");
  }

  /** Let go of the client, until it is attached again. */
  detach() {
    this.#rest();
    this.refusal = "";
    this.stall();
  }

  /** End the channel. */
  close() {
    this.listeners.clear();
    this.detach();
  }

  /** A feed takes over a state here; a cursor channel has none. */
  offer() {}

  /** A feed depends on the pulse; cursors do not. */
  listen() {}

  /** The connection or the subscription is down for now. */
  stall() {
    if (this.phase === "live") this.#enter("stale");
  }

  /**
   * Give up for good, and say on the console why.
   *
   * @param {string} why
   */
  refuse(why) {
    this.#rest();
    this.refusal = `${why}`;
    this.host.warn(why);
    this.#enter("static");
    this.onRefused?.();
  }

  /**
   * Tell listeners.
   *
   * @param {ChannelNews} news
   * @param {Iterable<(channel: Channel, news: ChannelNews) => void>} [listeners] All by default.
   */
  tell(news, listeners = this.listeners) {
    for (const listener of listeners) listener(this, news);
  }

  /**
   * Publish. A lasting refusal ends publishing, with a warning. After a refusal for the moment the
   * listeners are asked for it again. Any other error is ignored: the next sign of life makes up for
   * it.
   *
   * @param {Point | { gone: true }} data
   */
  publish(data) {
    this.#sub.publish(data).catch(({ code, message, temporary }) => {
      if (temporary) this.tell({ again: data });
      if (this.#refused || !REFUSALS.includes(code)) return;
      this.#refused = true;
      this.host.warn(`${this.config.channel}: ${message} (${code})`);
      this.tell({});
    });
  }

  /**
   * Refresh `company`, unless it was asked for a moment ago. In a namespace without join pushes,
   * somebody may have come unnoticed, or everybody may have left.
   */
  refreshCompany() {
    const since = Math.abs(this.host.now() - this.#askedAt);
    if (since > (this.company ? ASK_IN_COMPANY : ASK_ALONE)) this.#ask();
  }

  #rest() {
    this.#release?.();
    this.#release = this.client = null;
  }

  #ask() {
    this.host.clearTimeout(this.#askTimer);
    this.#askTimer = null;
    if (this.phase !== "live" || !this.#mayMove) return;
    this.#askedAt = this.host.now();
    this.#sawOthers = false;
    this.#sub.presenceStats().then(
      // A user who came while the answer was under way may not be in it.
      ({ numClients }) => this.#setCompany(numClients > 1 || this.#sawOthers),
      ({ code }) => {
        // Asking is not allowed here: somebody may be there.
        if (REFUSALS.includes(code)) this.#setCompany(true);
        else this.#wait(ASK_ALONE);
      },
    );
  }

  #wait(milliseconds) {
    this.#askTimer ??= this.host.setTimeout(() => this.#ask(), milliseconds);
  }

  #see() {
    this.#sawOthers = true;
    this.#setCompany(true);
  }

  #setCompany(company) {
    if (company === this.company) return;
    this.company = company;
    this.tell({});
  }

  #enter(phase) {
    if (phase === this.phase) return;
    this.phase = phase;
    this.company = this.#refused = false;
    this.#ask();
    this.tell({});
  }

  // Our id is unknown where the site's connection was up before we got it. Then another tab of the
  // same user counts as our echo.
  #isOwn({ client, user }) {
    const own = this.config.ids.get(this.client);
    return own ? client === own : user === this.user?.id;
  }

  #met(info) {
    if (this.#isOwn(info)) return;
    this.#left.delete(info.client);
    // A user who is no longer alone publishes the position by that alone.
    if (this.company) this.tell({ greet: true });
    this.#see();
  }

  // A move that is still under way to a publish proxy comes after the leave.
  #missed({ client }) {
    this.#left.add(client);
    this.host.setTimeout(() => this.#left.delete(client), LATE);
    this.tell({ heard: { key: `client ${client}`, gone: true } });
    this.#wait(AFTER_LEAVE);
  }

  #receive(data, info) {
    if (info ? this.#isOwn(info) : data?.user === this.user?.id) return;
    if (this.#left.has(info?.client)) return;
    if (info) this.#see();
    const heard = this.config.read(data, info);
    if (heard) this.tell({ heard });
  }
}
