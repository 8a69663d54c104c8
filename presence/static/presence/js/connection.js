// The page's one connection.

export class Page {
  feeds = new Map();
  #given;
  #own;

  constructor(urls, modules, { warn, ...browser }) {
    const said = new Set();
    const host = { ...browser, warn: (text) => said.has(text) || warn(text, said.add(text)) };
    const tokens = new modules.tokens.Tokens(urls.tokens, host);
    this.beacon = urls.beacon;
    this.tools = { ...modules, ...modules.tokens, tokens, host };
  }

  useConnection(centrifuge) {
    if (centrifuge === this.#given) return;
    const own = this.#own;
    this.#own = null;
    this.#given = this.#watch(centrifuge);
    for (const feed of this.feeds.values()) {
      if (!feed.client) continue;
      feed.detach();
      this.#open(feed);
    }
    own?.disconnect();
  }

  follow({ grant, ...config }, shown, listener) {
    const { channel } = config;
    const known = this.feeds.get(channel);
    const feed = known ?? new this.tools.feed.Feed(config, shown, this.tools);
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
      // A widget that is only moved within the page is back by then.
      queueMicrotask(() => this.#sweep(feed));
    };
  }

  leave(feeds = [...this.feeds.values()]) {
    const { host, parts, tokens } = this.tools;
    const present = feeds.filter(({ client, user, state }) => client && user && state.listed);
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
      const sdk = this.#given ?? (feed.closed || (await this.tools.sdk()));
      if (feed.closed) return;
      const client = this.#client(sdk, answer);
      const ask = async () => (await tokens.entry(channel)).entry.token;
      feed.attach(client, entry, answer.user, () => this.#renewed(client, ask));
    } catch (error) {
      if (feed.closed) return;
      // It was attached: what listeners do wrong is theirs.
      if (feed.client) throw error;
      if (error instanceof Refused) return feed.refuse(error.message);
      const again = () => feed.closed || this.#open(feed, attempt + 1);
      host.setTimeout(again, backoff(attempt, host.random));
    }
  }

  #client(Centrifuge, { url, connection: token }) {
    if (this.#given) return this.#given;
    if (this.#own && this.#own.state !== "disconnected") return this.#own;
    const ask = async () => (await this.tools.tokens.ask()).connection;
    const getToken = () => this.#renewed(client, ask);
    const delays = { minReconnectDelay: 200, maxReconnectDelay: 5000 };
    const client = new Centrifuge(url, { token, getToken, ...delays });
    this.#own = this.#watch(client);
    client.connect();
    return client;
  }

  #watch(client) {
    client.on("disconnected", (ctx) => {
      for (const feed of this.feeds.values()) {
        if (feed.client === client) feed.lose("the connection", ctx);
      }
    });
    return client;
  }

  // Any other error lets the SDK try again.
  async #renewed(client, ask) {
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof this.tools.Refused)) throw error;
      throw new client.constructor.UnauthorizedError(error.message);
    }
  }
}
