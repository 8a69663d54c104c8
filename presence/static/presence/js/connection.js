/**
 * The page's one connection, its tokens, and the feeds that share them.
 *
 * @import { Channel } from "./cursor_channel.js"
 * @import { Config, Feed, Tools } from "./feed.js"
 * @import { Member } from "./presence.js"
 * @import { State } from "./roster.js"
 * @import * as feed from "./feed.js"
 * @import * as roster from "./roster.js"
 */

/**
 * The functions of the browser, which tests replace. Times are milliseconds.
 *
 * @typedef {object} Host
 * @property {(key: string, url: string, init?: RequestInit) => Promise<any>} getJson Fetches the JSON
 *   object that has `key`. An error has `passing` where asking again may help: no network, 408, 429, 500
 *   and above. Any other is final.
 * @property {(run: () => void, ms: number) => any} setTimeout
 * @property {(timer: any) => void} clearTimeout
 * @property {() => number} now A clock with an arbitrary start, which counts the time that the computer
 *   slept and never goes back, not even with the clock of the computer.
 * @property {() => number} random From 0 to 1.
 * @property {() => boolean} hidden Whether the page is in the background.
 * @property {() => void} revoked Tells the page that the session, or one channel of it, has lost access.
 * @property {(reason: string) => void} warn Says on the console why something is not live, the same
 *   reason once a page.
 */

/**
 * Content of an answer for one channel. `shown`: oneself is shown before any diff says so. `self`: the
 * id under which a list of the channel has oneself; "" if it has not.
 *
 * @typedef {{ feed: string, token: string, grant: string, shown: boolean, self: string }} Entry
 */

/**
 * Answer of the tokens endpoint.
 *
 * @typedef {object} Answer
 * @property {string} url URL of the websocket.
 * @property {string} connection Token of the connection.
 * @property {Record<string, string>} subs Tokens by channel: a connection of the site subscribes to the
 *   pulse and to the channel of the session.
 * @property {string} id Id of the user of the tokens; "" for the anonymous.
 * @property {Member | null} user The user as a member; null for the anonymous and the invisible.
 * @property {Record<string, Entry>} channels
 * @property {Record<string, string>} refused Reasons, for channels that are not in `channels`.
 */

/**
 * Object that a page follows: both kinds have the members that `Page` uses.
 *
 * @typedef {Feed | Channel} Followed
 */

// Largest number of grants that the server takes in one request.
const LIMIT = 100;
// Channel and type of the pulse: see `presence/roster/channel_names.py`.
const PULSE = "presence.tick";
// Milliseconds that a page which was away has for what it missed.
const BACK = 2500;

/**
 * Return items in parts that the server takes at once.
 *
 * @template Item
 * @param {Item[]} items
 * @returns {Item[][]}
 */
export function chunks(items) {
  return items.length ? [items.slice(0, LIMIT), ...chunks(items.slice(LIMIT))] : [];
}

/**
 * Return the milliseconds before the next try: they double from half a second to half a minute, less up
 * to half of that at random, so that a crowd does not come back at once.
 *
 * @param {number} attempt 0 after the first failure.
 * @param {() => number} random
 */
export function backoff(attempt, random) {
  return Math.min(30_000, 500 * 2 ** attempt) * (0.5 + random() / 2);
}

// Codes with which the server ends a subscription, and a connection, after a revocation.
const LOST = 2000;
const REVOKED = 4501;

// A connection or a subscription has ended: for now if the code is 0, else for good.
function lose(followed, what, { code, reason }) {
  if (code === 0) followed.stall();
  else followed.refuse(`${what} was refused (${code} ${reason})`, [LOST, REVOKED].includes(code));
}

/**
 * Subscribe a client to a channel, or share the subscription that the site has. That one stays the
 * site's: it is never subscribed, unsubscribed or removed here.
 *
 * @param {Followed} followed Told where the subscription is down or ends.
 * @param {any} client
 * @param {string} channel
 * @param {object} options
 * @param {Record<string, (ctx: any) => void>} on Listeners by name of the event.
 * @returns {[sub: any, release: () => void]}
 */
export function subscribe(followed, client, channel, options, on) {
  const existing = client.getSubscription(channel);
  Object.assign(options, { minResubscribeDelay: 200, maxResubscribeDelay: 5000 });
  on.subscribing = () => followed.stall();
  on.unsubscribed = (ctx) => {
    lose(followed, followed.config.channel, ctx);
    if (ctx.code === LOST) followed.host.revoked();
  };
  const sub = existing ?? client.newSubscription(channel, options);
  for (const event in on) sub.on(event, on[event]);
  const release = () => {
    for (const event in on) sub.off(event, on[event]);
    if (!existing) client.removeSubscription(sub);
  };
  if (!existing) sub.subscribe();
  return [sub, release];
}

/** The exchange of grants for tokens. */
export class Tokens {
  /** @type {Map<string, string>} The newest grant of each channel that is followed. */
  grants = new Map();
  // Promise of the next request, while it gathers what the widgets of a page ask for.
  #gathering;
  // Promises of the answers under way, by channel and by grant.
  #underWay = new Map();
  // Channels and grants of the next report, while it gathers them.
  #missed = [];
  /** @type {string | undefined} URL of the reports, once an element has it; else nothing is reported. */
  check;

  /**
   * @param {string} url
   * @param {Host} host
   */
  constructor(url, host) {
    Object.assign(this, { url, host });
  }

  /**
   * Return the answer to the request with the grant of one channel, the first by default.
   *
   * Questions within 10 milliseconds, by the widgets of a page or by tokens that expire together, make
   * one request for every hundred grants. A request under way is shared only if it has the
   * same grant: an older one neither answers for a newer one nor renews it.
   *
   * @param {Iterable<string>} [channels]
   * @returns {Promise<Answer | undefined>} Undefined for a channel without a grant.
   * @throws {Error} As `Host.getJson`.
   */
  async ask([channel] = this.grants.keys()) {
    const underWay = this.#underWay.get(this.grants.get(channel));
    if (underWay) return underWay;
    const gather = (run) => this.host.setTimeout(run, 10);
    this.#gathering ??= new Promise(gather).then(() => this.#send());
    return (await this.#gathering).get(channel);
  }

  /**
   * Return what an answer holds for one channel.
   *
   * @param {string} channel
   * @returns {Promise<{ answer: Answer, entry: Entry }>}
   * @throws {Error} Nothing is granted; and as `Host.getJson`.
   */
  async entry(channel) {
    const answer = await this.ask([channel]);
    const entry = answer?.channels[channel];
    if (entry?.token) return { answer, entry };
    throw Error(`${channel}: ${answer?.refused[channel] ?? "not granted"}`);
  }

  /**
   * Have a channel polled early, as its roster lacks the visitor. Calls within 100 milliseconds, as the
   * subscriptions of a page are answered in few frames, make one request for every hundred grants.
   *
   * @param {string} channel
   */
  report(channel) {
    const isFirst = this.#missed.push([channel, this.grants.get(channel)]) === 1;
    if (isFirst) this.host.setTimeout(() => {
      // The answer has no content, which is an error of `getJson`. Nothing depends on it.
      for (const chunk of chunks(this.#missed.splice(0))) this.#post(chunk, this.check).catch(() => {});
    }, 100);
  }

  #send() {
    const answers = new Map();
    for (const chunk of chunks([...this.grants])) {
      const answer = this.#post(chunk);
      for (const key of chunk.flat()) answers.set(key, answer);
    }
    this.#gathering = null;
    this.#underWay = answers;
    Promise.allSettled(answers.values()).then(() => this.#underWay = new Map());
    return answers;
  }

  async #post(chunk, url = this.url) {
    const headers = { "Content-Type": "application/json" };
    const body = JSON.stringify({ grants: chunk.map(([, grant]) => grant) });
    const answer = await this.host.getJson("channels", url, { method: "POST", headers, body });
    for (const [channel, sent] of chunk) {
      const renewed = answer.channels[channel]?.grant;
      if (renewed && this.grants.get(channel) === sent) this.grants.set(channel, renewed);
    }
    return answer;
  }
}

/** Whether ticks run, as their pulses say. In the background and without a connection nothing is decided. */
export class Pulse {
  /** Time of the last one, by `host.now`. */
  at = -Infinity;
  /** Whether none came for 2.5 intervals. Only the next one ends that. */
  silent = false;
  #due = 0;
  #every;
  #timer;

  /**
   * @param {Host} host
   * @param {Map<string, Followed>} feeds Told when `silent` changes.
   */
  constructor(host, feeds) {
    Object.assign(this, { host, feeds });
  }

  /** Whether the next one is late. A page in the background may not be `silent` yet. */
  get late() {
    return this.silent || this.host.now() >= this.#due;
  }

  /** @param {number} every Seconds between two ticks. */
  hear(every) {
    this.#every = every;
    this.#due = 0;
    this.expect(this.at = this.host.now());
    this.#turn(false);
  }

  /**
   * Expect the next one.
   *
   * @param {number} since Time of another sign that ticks run, or from which the page has listened.
   * @param {number} [every] Seconds between two ticks, where no pulse has told them yet.
   */
  expect(since, every) {
    this.#every ??= every;
    this.#due = Math.max(this.#due, since + 2500 * this.#every);
    this.check();
  }

  /** Decide: a pulse is expected, or the page is shown or hidden. */
  check() {
    const { host } = this;
    host.clearTimeout(this.#timer);
    if (host.hidden()) return;
    const due = Math.max(this.#due, host.now() + BACK);
    const decide = () => {
      // A timer is late when the page was away.
      if (host.now() > due + BACK) this.check();
      // An offline page can get no pulse. It expects one again when it is back.
      else if ([...this.feeds.values()].some(({ phase }) => phase === "live")) this.#turn(true);
    };
    this.#timer = host.setTimeout(decide, due - host.now());
  }

  #turn(silent) {
    if (silent === this.silent) return;
    this.silent = silent;
    for (const feed of this.feeds.values()) feed.listen();
  }
}

/** The page: its connection, and all that it follows over it. */
export class Page {
  /** @type {Map<string, Followed>} What the page follows, by channel. */
  feeds = new Map();
  /**
   * The id that Centrifugo gave each connection, as others see it in `info.client`. A connection of the
   * site that was up before the page got it has none until it connects again.
   *
   * @type {WeakMap<object, string>}
   */
  clientIds = new WeakMap();
  // The connection of the site, if it gave one.
  #given;
  // Our own connection, and the id of the user that it is of.
  #own;
  #owner;
  // Promise of the moment at which all channels that failed try again.
  #pause;
  // End the subscriptions that a connection of the site needs besides those of the feeds.
  #releases;
  // URL of the websocket.
  #url;
  // By feed, the opening that counts: a later one ends an earlier one.
  #turns = new WeakMap();

  /**
   * @param {string} url URL of the tokens endpoint.
   * @param {{ roster: typeof roster, feed: typeof feed, sdk(): Promise<any> }} modules `sdk` loads the
   *   class `Centrifuge`.
   * @param {Host} host
   */
  constructor(url, modules, host) {
    const tokens = new Tokens(url, host);
    const onRefused = () => this.#endIdleConnection();
    const pulse = new Pulse(host, this.feeds);
    this.tools = { ...modules, tokens, host, pulse, backoff, subscribe, onRefused };
  }

  /**
   * Use a connection of the site from now on. It is never connected or disconnected here, and must be
   * of the user of the page. Channels that were refused are tried again over it.
   *
   * @param {any} centrifuge
   */
  useConnection(centrifuge) {
    if (centrifuge === this.#given) return;
    this.#given = this.#watch(centrifuge);
    this.#switchConnection();
  }

  /**
   * Keep a listener informed of a channel until the returned function is called.
   *
   * Widgets of one channel share a feed, and every listener is told at once what is true of it. The
   * subscription ends with the last listener of its channel, our own connection with the last of all. A
   * widget that is only moved is back before that.
   *
   * A channel that is followed already keeps its grant, since every rendering makes another one. Where
   * the new grant is of another user, as `owner` tells, or the channel was refused, it is opened again
   * with the new one. Once the tokens are another user's, so is our own connection, and all that was on
   * the old one, or refused, is opened again. The content of a grant is for the server alone.
   *
   * @param {Config & { grant: string }} config
   * @param {State | null} shown What the page shows; it belongs to the feed from now on.
   * @param {(followed: any, news: any) => void} listener
   * @param {new (config: any, shown: any, tools: Tools) => any} [Kind] Made for a channel that is not
   *   followed yet; a Feed by default.
   * @returns {() => void}
   */
  follow({ grant, ...config }, shown, listener, Kind = this.tools.feed.Feed) {
    const { channel, owner } = config;
    const { grants } = this.tools.tokens;
    const known = this.feeds.get(channel);
    const feed = known ?? new Kind(config, shown, this.tools);
    feed.listeners.add(listener);
    known?.offer(shown);
    if (!known || known.refusal || owner !== feed.config.owner) {
      feed.config.owner = owner;
      this.feeds.set(channel, feed);
      grants.set(channel, grant);
      this.#reopen(feed);
    }
    feed.tell({ synced: feed.phase === "live" }, [listener]);
    return () => {
      feed.listeners.delete(listener);
      // Not at once: an element that is moved within the page is back by then.
      queueMicrotask(() => this.#drop(feed));
    };
  }

  /**
   * Refuse every channel that is not live, where the policy of the page blocks an address of ours: what
   * a policy forbids, it goes on forbidding.
   *
   * @param {SecurityPolicyViolationEvent} violation
   */
  block({ disposition, effectiveDirective: directive, blockedURI }) {
    const urls = [this.#url, this.tools.tokens.url];
    if (directive !== "connect-src" || disposition !== "enforce") return;
    if (!urls.some((url) => url && blockedURI.endsWith(url))) return;
    for (const feed of this.feeds.values()) {
      if (feed.phase !== "live" && !feed.refusal) feed.refuse(`the page's policy blocks ${blockedURI}`);
    }
  }

  /** The page is shown, or hidden. */
  turn() {
    this.tools.pulse.check();
    for (const feed of this.feeds.values()) feed.tell({});
  }

  #drop(feed) {
    const { channel } = feed.config;
    if (feed.listeners.size || !this.#turns.delete(feed)) return;
    this.feeds.delete(channel);
    this.tools.tokens.grants.delete(channel);
    feed.close();
    this.#endIdleConnection();
  }

  // Opens again all that is on a connection, or refused, and ends our own connection.
  #switchConnection() {
    for (const feed of this.feeds.values()) if (feed.client || feed.refusal) this.#reopen(feed);
    this.#disconnect();
  }

  // A connection that nothing follows, or only what was refused, would renew its token for ever.
  #endIdleConnection() {
    if ([...this.feeds.values()].every(({ refusal }) => refusal)) this.#disconnect();
  }

  #disconnect() {
    this.#releases?.forEach((release) => release());
    this.#own?.disconnect?.();
    this.#releases = this.#own = null;
  }

  #reopen(feed) {
    feed.detach();
    this.#open(feed);
  }

  async #open(feed, attempt = 0, turn = {}) {
    const { host, sdk, tokens } = this.tools;
    const { channel } = feed.config;
    const isOver = () => this.#turns.get(feed) !== turn || feed.refusal;
    this.#turns.set(feed, turn);
    try {
      const { answer, entry } = await tokens.entry(channel);
      const Centrifuge = isOver() || this.#given || (await sdk());
      if (isOver()) return;
      const client = this.#client(Centrifuge, answer);
      const ask = async () => (await tokens.entry(channel)).entry.token;
      const renewal = this.#renewal(client.constructor, ask, () => [feed]);
      feed.attach(client, entry, answer.user, renewal);
    } catch (error) {
      if (isOver()) return;
      if (!error.passing) return feed.refuse(error.message);
      // All channels wait for the same moment, so that their grants go into one request.
      const wait = (run) => host.setTimeout(run, backoff(attempt, host.random));
      this.#pause ??= new Promise(wait).then(() => this.#pause = null);
      await this.#pause;
      if (!isOver()) this.#open(feed, attempt + 1);
    }
  }

  #client(Centrifuge, { url, connection: token, subs, id }) {
    if (this.#given) return this.#listen(this.#given, subs);
    const own = this.#own;
    if (own && own.state !== "disconnected" && this.#owner === id) return own;
    // The tokens are another user's, or the connection has ended.
    if (own) this.#switchConnection();
    this.#owner = id;
    const ask = async () => (await this.tools.tokens.ask()).connection;
    const getToken = this.#renewal(Centrifuge, ask, () => this.feeds.values());
    this.#url = url;
    // Below the leave grace: with the 20 s of the SDK, members would be shown leaving after an outage.
    const delays = { minReconnectDelay: 200, maxReconnectDelay: 5000 };
    const client = new Centrifuge(url, { token, getToken, ...delays });
    this.#own = this.#watch(client);
    client.connect();
    return client;
  }

  // Our own connection has these by its token.
  #listen(client, subs) {
    const { host, tokens } = this.tools;
    this.#releases ??= Object.keys(subs).map((channel) => {
      const ask = async () => (await tokens.ask()).subs[channel];
      const getToken = this.#renewal(client.constructor, ask, () => []);
      const listener = { config: { channel }, host, stall() {}, refuse: host.warn };
      const options = { token: subs[channel], getToken };
      return subscribe(listener, client, channel, options, { publication: this.#hear })[1];
    });
    return client;
  }

  // What a client published has its info, and would be forged.
  #hear = ({ data, info }) => {
    if (data?.type === PULSE && !info && data.every > 0) this.tools.pulse.hear(data.every);
  };

  #watch(client) {
    client.on("publication", this.#hear);
    client.on("connected", (ctx) => this.clientIds.set(client, ctx.client));
    client.on("disconnected", (ctx) => {
      for (const feed of this.feeds.values()) {
        if (feed.client === client) lose(feed, "the connection", ctx);
      }
      if (ctx.code === REVOKED) this.tools.host.revoked();
    });
    return client;
  }

  // A renewal that fails for good refuses its feeds and stops the SDK, which would ask for ever.
  #renewal({ UnauthorizedError }, ask, feeds) {
    return () => ask().catch((error) => {
      if (error.passing) throw error;
      for (const feed of feeds()) feed.refuse(error.message);
      throw new UnauthorizedError(error.message);
    });
  }
}
