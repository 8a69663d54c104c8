// The page's one connection.

export class Page {
  feeds = new Map();
  clientIds = new WeakMap();
  #given;
  #own;

  constructor(urls, modules, host) {
    const tokens = new modules.tokens.Tokens(urls.tokens, host);
    this.beacon = urls.beacon;
    this.tools = { ...modules, ...modules.tokens, tokens, host };
  }

  useConnection(centrifuge) {
    if (centrifuge === this.#given) return;
    this.#given = this.#watch(centrifuge);
    for (const feed of this.feeds.values()) {
      if (!feed.client) continue;
      feed.detach();
      this.#open(feed);
    }
    this.#own?.disconnect();
    this.#own = null;
  }

  follow({ grant, ...config }, shown, listener, Kind = this.tools.feed.Feed) {
    const { channel } = config;
    const known = this.feeds.get(channel);
    const feed = known ?? new Kind(config, shown, this.tools);
    feed.listeners.add(listener);
    if (known) {
      feed.offer(shown);
      feed.tell({ synced: feed.phase === "live" }, [listener]);
    } else {
      this.feeds.set(channel, feed);
      this.tools.tokens.grants.set(channel, grant);
      this.#open(feed);
    }
    return () => {
      feed.listeners.delete(listener);
      // A widget that is only moved is back by then.
      queueMicrotask(() => this.#sweep(feed));
    };
  }

  leave(feeds = [...this.feeds.values()]) {
    const { host, parts, tokens } = this.tools;
    const present = feeds.filter(({ client, user, state }) => client && user && state?.listed);
    for (const part of this.beacon ? parts(present) : []) {
      const grants = part.map(({ config }) => tokens.grants.get(config.channel));
      host.beacon(this.beacon, JSON.stringify({ grants }));
    }
  }

  #sweep(feed) {
    const { channel } = feed.config;
    if (feed.listeners.size || feed.closed) return;
    this.leave([feed]);
    this.feeds.delete(channel);
    this.tools.tokens.grants.delete(channel);
    feed.close();
    if (this.feeds.size) return;
    this.#own?.disconnect();
    this.#own = null;
  }

  async #open(feed, attempt = 0) {
    const { backoff, host, tokens, Refused } = this.tools;
    const { channel } = feed.config;
    try {
      const { answer, entry } = await tokens.entry(channel);
      if (feed.closed) return;
      const sdk = this.#given ?? (await this.tools.sdk());
      if (feed.closed) return;
      const client = this.#client(sdk, answer);
      const ask = async () => (await tokens.entry(channel)).entry.token;
      feed.attach(client, entry, answer.user, this.#renewal(client.constructor, ask));
    } catch (error) {
      if (feed.closed) return;
      // What listeners do wrong is theirs.
      if (feed.client) throw error;
      const again = () => feed.closed || this.#open(feed, attempt + 1);
      if (error instanceof Refused) feed.refuse(error.message);
      else host.setTimeout(again, backoff(attempt, host.random));
    }
  }

  #client(Centrifuge, { url, connection: token }) {
    if (this.#given) return this.#given;
    if (this.#own && this.#own.state !== "disconnected") return this.#own;
    const ask = async () => (await this.tools.tokens.ask()).connection;
    const getToken = this.#renewal(Centrifuge, ask);
    const delays = { minReconnectDelay: 200, maxReconnectDelay: 5000 };
    const client = new Centrifuge(url, { token, getToken, ...delays });
    this.#own = this.#watch(client);
    client.connect();
    return client;
  }

  #watch(client) {
    client.on("connected", (ctx) => this.clientIds.set(client, ctx.client));
    client.on("disconnected", (ctx) => {
      for (const feed of this.feeds.values()) {
        if (feed.client === client) feed.lose("the connection", ctx);
      }
    });
    return client;
  }

  // Any other error lets the SDK try again.
  #renewal({ UnauthorizedError }, ask) {
    const { Refused } = this.tools;
    return () => ask().catch((error) => {
      throw error instanceof Refused ? new UnauthorizedError(error.message) : error;
    });
  }
}
