// The page's one connection, its tokens, and the feeds that share them. Contracts: connection.d.ts

export class Page {
  feeds = new Map();
  #given = null;
  #own = null;

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
    this.#given = centrifuge;
    this.#own = null;
    this.#watch(centrifuge);
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
    const all = present.map(({ config }) => tokens.grants.get(config.channel));
    for (const grants of this.beacon ? parts(all) : []) {
      host.beacon(this.beacon, JSON.stringify({ grants }));
    }
  }

  #sweep(feed) {
    const { channel } = feed.config;
    if (feed.listeners.size > 0 || this.feeds.get(channel) !== feed) return;
    this.leave([feed]);
    this.feeds.delete(channel);
    this.tools.tokens.grants.delete(channel);
    feed.close();
    this.#rest();
  }

  /** Our own connection goes with the last feed. */
  #rest() {
    if (this.feeds.size > 0) return;
    this.#own?.disconnect();
    this.#own = null;
  }

  async #open(feed, attempt = 0) {
    const { backoff, host, tokens, Refused } = this.tools;
    const { channel } = feed.config;
    try {
      const { answer, entry } = await tokens.entry(channel);
      if (feed.closed || feed.client) return;
      const client = await this.#client(answer);
      if (feed.closed) return this.#rest();
      if (feed.client) return;
      const ask = async () => (await tokens.entry(channel)).entry.token;
      feed.attach(client, entry, answer.user, () => this.#renewed(client, ask));
    } catch (error) {
      if (feed.closed || feed.client) return;
      if (error instanceof Refused) return feed.refuse(error.message);
      const again = () => feed.closed || this.#open(feed, attempt + 1);
      host.setTimeout(again, backoff(attempt, host.random));
    }
  }

  async #client({ url, connection }) {
    const Centrifuge = this.#given ?? (await this.tools.sdk());
    if (this.#given) return this.#given;
    if (this.#own && this.#own.state !== "disconnected") return this.#own;
    const ask = async () => (await this.tools.tokens.ask()).connection;
    const client = new Centrifuge(url, {
      token: connection,
      getToken: () => this.#renewed(client, ask),
      minReconnectDelay: 200,
      maxReconnectDelay: 5000,
    });
    this.#own = client;
    this.#watch(client);
    client.connect();
    return client;
  }

  #watch(client) {
    client.on("disconnected", (ctx) => {
      for (const feed of this.feeds.values()) {
        if (feed.client === client) feed.lose("the connection", ctx);
      }
    });
  }

  /** A refused renewal stops the SDK; it tries again after any other error. */
  async #renewed({ constructor: { UnauthorizedError } }, ask) {
    try {
      return await ask();
    } catch (error) {
      throw error instanceof this.tools.Refused ? new UnauthorizedError(error.message) : error;
    }
  }
}
