// The page's one connection, its tokens, and the feeds that share them. Types: connection.d.ts.

export class Page {
  #given = null;
  #own = null;
  #feeds = new Map();

  /** `modules` are ours and a loader of the SDK, `host` is what the browser gives. */
  constructor(urls, modules, host) {
    const { tokens, roster } = modules;
    const said = new Set();
    const warn = (text) => said.has(text) || host.warn(text, said.add(text));
    this.host = { ...host, warn };
    this.tokens = new tokens.Tokens(urls.tokens, this.host);
    this.beacon = urls.beacon;
    this.modules = modules;
    this.tools = { ...tokens, roster, tokens: this.tokens, host: this.host };
  }

  /** Uses a connection of the site's from now on, which we never connect or disconnect. */
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

  /** The feed of a channel that is followed. */
  feed(channel) {
    return this.#feeds.get(channel);
  }

  /** Keeps a listener informed of a channel, until the function given back is called. */
  follow({ grant, ...config }, shown, listener) {
    const { channel, asOf } = config;
    const known = this.feed(channel);
    const feed = known ?? new this.modules.feed.Feed(config, shown, this.tools);
    feed.listeners.add(listener);
    if (known) {
      feed.offer(shown, asOf);
      feed.tell({ synced: feed.phase === "live" }, [listener]);
    } else {
      this.#feeds.set(channel, feed);
      this.tokens.add(channel, grant);
      this.#open(feed);
    }
    return () => {
      feed.listeners.delete(listener);
      // A widget that is only moved within the page is back by then.
      queueMicrotask(() => this.#sweep(feed));
    };
  }

  /** Says that the page is leaving channels: who is not back in time is found gone the sooner. */
  leave(feeds = [...this.#feeds.values()]) {
    const present = feeds.filter(({ client, user, state }) => client && user && state.listed);
    const all = present.map(({ config }) => this.tokens.grant(config.channel));
    for (const grants of this.beacon ? this.tools.parts(all) : []) {
      this.host.beacon(this.beacon, JSON.stringify({ grants }));
    }
  }

  #sweep(feed) {
    const { channel } = feed.config;
    if (feed.listeners.size > 0 || this.feed(channel) !== feed) return;
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

  /** Gets the feed's token, and a client to use it with; keeps trying while nobody says no. */
  async #open(feed, attempt = 0) {
    const { backoff, host, tokens, Refused } = this.tools;
    const { channel } = feed.config;
    try {
      const { answer, entry } = await tokens.entry(channel);
      if (feed.closed || feed.client) return;
      const client = await this.#client(answer);
      if (feed.closed) return this.#rest();
      if (feed.client) return;
      const token = async () => (await tokens.entry(channel)).entry.token;
      feed.attach(client, entry, answer.user, () => this.#renewed(client, token));
    } catch (error) {
      if (feed.closed || feed.client) return;
      if (error instanceof Refused) return feed.refuse(error.message);
      const again = () => feed.closed || this.#open(feed, attempt + 1);
      host.setTimeout(again, backoff(attempt, host.random));
    }
  }

  async #client({ url, connection }) {
    const Centrifuge = this.#given ?? (await this.modules.sdk());
    if (this.#given) return this.#given;
    if (this.#own && this.#own.state !== "disconnected") return this.#own;
    const token = async () => (await this.tokens.ask()).connection;
    const client = new Centrifuge(url, {
      token: connection,
      getToken: () => this.#renewed(client, token),
      minReconnectDelay: 200,
      maxReconnectDelay: 5000,
    });
    this.#own = client;
    this.#watch(client);
    client.connect();
    return client;
  }

  #watch(client) {
    client.on("disconnected", ({ code, reason }) => {
      for (const feed of this.#feeds.values()) {
        if (feed.client !== client) continue;
        if (code === 0) feed.stall();
        else feed.refuse(`the connection was refused (${code} ${reason})`);
      }
    });
  }

  /** A renewal that stops the SDK when it is refused; it tries again after any other error. */
  async #renewed(client, ask) {
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof this.tools.Refused)) throw error;
      throw new client.constructor.UnauthorizedError(error.message);
    }
  }
}
