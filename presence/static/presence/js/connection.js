/**
 * The page's one connection, its tokens, and the feeds that share them.
 *
 * @typedef {import("./feed.js").Config} Config
 * @typedef {import("./roster.js").State} State
 * @typedef {{roster: typeof import("./roster.js"), tokens: typeof import("./tokens.js"),
 *            feed: typeof import("./feed.js"), sdk: () => Promise<any>}} Modules
 *   `sdk` loads the class `Centrifuge`
 */

export class Page {
  #given = /** @type {any} */ (null);
  #own = /** @type {any} */ (null);
  /** @type {Map<string, import("./feed.js").Feed>} */
  #feeds = new Map();
  /** @type {Set<string>} */
  #said = new Set();
  /** @type {(text: string) => void} */
  #warnHost;
  #lost = (/** @type {any} */ client, /** @type {{code: number, reason: string}} */ ctx) => {
    for (const feed of this.#feeds.values()) {
      if (feed.client !== client) continue;
      if (ctx.code === 0) feed.stall();
      else feed.refuse(`the connection was refused (${ctx.code} ${ctx.reason})`);
    }
  };

  /**
   * @param {{tokens: string, beacon?: string}} urls of the endpoints; without a beacon none is sent
   * @param {Modules} modules
   * @param {import("./tokens.js").Host} host
   */
  constructor(urls, modules, host) {
    const { Tokens, getJson, backoff, Refused } = modules.tokens;
    this.#warnHost = host.warn;
    this.host = { ...host, warn: (/** @type {string} */ text) => this.#warn(text) };
    this.tokens = new Tokens(urls.tokens, this.host);
    this.beacon = urls.beacon ?? "";
    this.modules = modules;
    const { roster } = modules;
    this.tools = { roster, tokens: this.tokens, getJson, backoff, Refused, host: this.host };
  }

  /**
   * Uses a connection of the site's from now on. It is never connected or disconnected by us, and
   * must belong to the user for whom the page was rendered.
   * @param {any} centrifuge
   */
  useConnection(centrifuge) {
    if (centrifuge === this.#given) return;
    const own = this.#own;
    this.#given = centrifuge;
    this.#own = null;
    this.#watch(centrifuge);
    for (const feed of this.#feeds.values()) {
      if (!feed.client) continue;
      feed.detach();
      this.#open(feed);
    }
    own?.disconnect();
  }

  /**
   * Keeps a listener informed of a channel.
   * @param {Config & {grant: string}} config
   * @param {State} shown
   * @param {import("./feed.js").Listener} listener
   * @returns {() => void} ends it
   */
  follow({ grant, ...config }, shown, listener) {
    const known = this.#feeds.get(config.channel);
    const feed = known ?? new this.modules.feed.Feed(config, shown, this.tools);
    feed.listeners.add(listener);
    if (known) {
      known.offer(shown);
      listener(known, { synced: known.phase === "live" });
    } else {
      this.#feeds.set(config.channel, feed);
      this.tokens.add(config.channel, grant);
      this.#open(feed);
    }
    return () => {
      feed.listeners.delete(listener);
      // A widget that is only moved within the page is back by then.
      queueMicrotask(() => this.#sweep(feed));
    };
  }

  /**
   * Says that the page is leaving channels, so that others need not wait for it to be found out.
   * Takes nobody out of a roster: who is back in time, or has another tab, has never been away.
   */
  leave(feeds = [...this.#feeds.values()]) {
    const present = feeds.filter(({ client, user, state }) => client && user && state.listed);
    if (!this.beacon || present.length === 0) return;
    const grants = present.map(({ config }) => this.tokens.grant(config.channel));
    this.host.beacon(this.beacon, JSON.stringify({ grants }));
  }

  /** @param {import("./feed.js").Feed} feed */
  #sweep(feed) {
    const { channel } = feed.config;
    if (feed.listeners.size > 0 || this.#feeds.get(channel) !== feed) return;
    this.leave([feed]);
    this.#feeds.delete(channel);
    this.tokens.remove(channel);
    feed.close();
    this.#rest();
  }

  /** Our own connection goes with the last feed. */
  #rest() {
    if (this.#feeds.size > 0) return;
    this.#own?.disconnect();
    this.#own = null;
  }

  /**
   * Gets the feed's token, and a client to use it with; keeps trying while nobody says no.
   * @param {import("./feed.js").Feed} feed
   * @param {number} [attempt]
   */
  async #open(feed, attempt = 0) {
    const { channel } = feed.config;
    try {
      const { answer, entry } = await this.tokens.entry(channel);
      if (feed.closed || feed.client) return;
      const client = await this.#client(answer);
      if (feed.closed) return this.#rest();
      if (feed.client) return;
      const token = async () => (await this.tokens.entry(channel)).entry.token;
      feed.attach(client, entry, answer.user, () => this.#renewed(client, token));
    } catch (error) {
      if (feed.closed || feed.client) return;
      if (error instanceof this.modules.tokens.Refused) {
        feed.refuse(error.message);
      } else {
        const wait = this.modules.tokens.backoff(attempt, this.host.random);
        this.host.setTimeout(() => feed.closed || this.#open(feed, attempt + 1), wait);
      }
    }
  }

  /** @param {import("./tokens.js").Answer} answer */
  async #client(answer) {
    if (this.#given) return this.#given;
    const Centrifuge = await this.modules.sdk();
    if (this.#given) return this.#given;
    if (this.#own && this.#own.state !== "disconnected") return this.#own;
    const token = async () => (await this.tokens.ask()).connection;
    /** @type {any} */
    const client = new Centrifuge(answer.url, {
      token: answer.connection,
      getToken: () => this.#renewed(client, token),
      minReconnectDelay: 200,
      maxReconnectDelay: 5000,
    });
    this.#own = client;
    this.#watch(client);
    client.connect();
    return client;
  }

  /** @param {any} client */
  #watch(client) {
    client.on("disconnected", (/** @type {any} */ ctx) => this.#lost(client, ctx));
  }

  /**
   * A renewal that stops the SDK when it is refused; it tries again after any other error.
   * @param {any} client
   * @param {() => Promise<string>} ask
   */
  async #renewed(client, ask) {
    try {
      return await ask();
    } catch (error) {
      const { Refused } = this.modules.tokens;
      if (!(error instanceof Refused)) throw error;
      throw new client.constructor.UnauthorizedError(error.message);
    }
  }

  /** Says the same thing once a page. @param {string} text */
  #warn(text) {
    if (this.#said.has(text)) return;
    this.#said.add(text);
    this.#warnHost(text);
  }
}
