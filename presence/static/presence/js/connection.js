const MOST = 100;
const HINT = "sign in and reload, or exempt it from logins";

export function parts(items) {
  return items.length ? [items.slice(0, MOST), ...parts(items.slice(MOST))] : [];
}

export async function getJson(host, key, url, init) {
  const { status, text } = await host.ask(url, init);
  let why = HINT;
  try {
    const answer = JSON.parse(text);
    if (status === 200 && answer[key]) return answer;
    why = text.slice(0, 500);
  } catch {}
  throw Error(`${url.split("?")[0]} answered ${status || "a redirect"}: ${why}`);
}

export function backoff(attempt, random) {
  return Math.min(30_000, 500 * 2 ** attempt) * (0.5 + random() / 2);
}

export function hold(client, channel, options, on) {
  const existing = client.getSubscription(channel);
  Object.assign(options, { minResubscribeDelay: 200, maxResubscribeDelay: 5000 });
  const sub = existing ?? client.newSubscription(channel, options);
  for (const event in on) sub.on(event, on[event]);
  const release = () => {
    for (const event in on) sub.off(event, on[event]);
    if (!existing) client.removeSubscription(sub);
  };
  if (!existing) sub.subscribe();
  return [sub, release];
}

export class Tokens {
  grants = new Map();
  #gathering;
  #flying = new Map();

  constructor(url, host) {
    Object.assign(this, { url, host });
  }

  async ask([channel] = this.grants.keys()) {
    const flying = this.#flying.get(this.grants.get(channel));
    if (flying) return flying;
    const gather = (run) => this.host.setTimeout(run, 10);
    this.#gathering ??= new Promise(gather).then(() => this.#send());
    return (await this.#gathering).get(channel);
  }

  async entry(channel) {
    const answer = await this.ask([channel]);
    const entry = answer?.channels[channel];
    if (entry?.token) return { answer, entry };
    throw Error(`${channel}: ${answer?.refused[channel] ?? "not granted"}`);
  }

  #send() {
    const answers = new Map();
    for (const part of parts([...this.grants])) {
      const answer = this.#post(part);
      for (const key of part.flat()) answers.set(key, answer);
    }
    this.#gathering = null;
    this.#flying = answers;
    Promise.allSettled(answers.values()).then(() => this.#flying = new Map());
    return answers;
  }

  async #post(part) {
    const headers = { "Content-Type": "application/json" };
    const body = JSON.stringify({ grants: part.map(([, grant]) => grant) });
    const answer = await getJson(this.host, "channels", this.url, { method: "POST", headers, body });
    for (const [channel, sent] of part) {
      const renewed = answer.channels[channel]?.grant;
      if (renewed && this.grants.get(channel) === sent) this.grants.set(channel, renewed);
    }
    return answer;
  }
}

export class Page {
  feeds = new Map();
  clientIds = new WeakMap();
  #given;
  #own;
  #owner;
  #pause;
  #url;
  #turns = new WeakMap();

  constructor(urls, modules, host) {
    const tokens = new Tokens(urls.tokens, host);
    this.beacon = urls.beacon;
    const quit = () => this.#quit();
    this.tools = { ...modules, tokens, host, getJson, backoff, hold, quit };
  }

  useConnection(centrifuge) {
    if (centrifuge === this.#given) return;
    this.#given = this.#watch(centrifuge);
    this.#part();
  }

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
      queueMicrotask(() => this.#sweep(feed));
    };
  }

  leave(feeds = this.feeds.values()) {
    this.#beckon(feeds);
  }

  comeBack() {
    this.#beckon(this.feeds.values(), { back: true });
  }

  #beckon(feeds, more) {
    const { host, tokens } = this.tools;
    const present = [...feeds].filter(({ client, user, state }) => client && user && state?.listed);
    if (!this.beacon) return;
    for (const part of parts(present)) {
      const grants = part.map(({ config }) => tokens.grants.get(config.channel));
      host.beacon(this.beacon, JSON.stringify({ grants, ...more }));
    }
  }

  // What the policy of the page forbids, it goes on forbidding.
  block({ disposition, effectiveDirective: directive, blockedURI }) {
    const urls = [this.#url, this.tools.tokens.url];
    if (directive !== "connect-src" || disposition !== "enforce") return;
    if (!urls.some((url) => url && blockedURI.endsWith(url))) return;
    for (const feed of this.feeds.values()) {
      if (feed.phase !== "live" && !feed.refusal) feed.refuse(`the page's policy blocks ${blockedURI}`);
    }
  }

  #sweep(feed) {
    const { channel } = feed.config;
    if (feed.listeners.size || !this.#turns.delete(feed)) return;
    this.leave([feed]);
    this.feeds.delete(channel);
    this.tools.tokens.grants.delete(channel);
    feed.close();
    if (!this.feeds.size) this.#part();
  }

  #part() {
    for (const feed of this.feeds.values()) if (feed.client || feed.refusal) this.#reopen(feed);
    this.#own?.disconnect();
    this.#own = null;
  }

  // A connection that nothing follows would renew its token for ever.
  #quit() {
    for (const feed of this.feeds.values()) if (!feed.refusal) return;
    this.#own?.disconnect?.();
    this.#own = null;
  }

  #reopen(feed) {
    feed.detach();
    this.#open(feed);
  }

  async #open(feed, attempt = 0, turn = {}) {
    const { host, sdk, tokens } = this.tools;
    const { channel } = feed.config;
    const over = () => this.#turns.get(feed) !== turn || feed.refusal;
    this.#turns.set(feed, turn);
    try {
      const { answer, entry } = await tokens.entry(channel);
      const Centrifuge = over() || this.#given || (await sdk());
      if (over()) return;
      const client = this.#client(Centrifuge, answer);
      const ask = async () => (await tokens.entry(channel)).entry.token;
      const renewal = this.#renewal(client.constructor, ask, () => [feed]);
      feed.attach(client, entry, answer.user, renewal);
    } catch (error) {
      if (over()) return;
      if (!error.passing) return feed.refuse(error.message);
      // All channels wait for the same moment: their grants go into one request.
      const wait = (run) => host.setTimeout(run, backoff(attempt, host.random));
      this.#pause ??= new Promise(wait).then(() => this.#pause = null);
      await this.#pause;
      if (!over()) this.#open(feed, attempt + 1);
    }
  }

  #client(Centrifuge, { url, connection: token, id }) {
    if (this.#given) return this.#given;
    const own = this.#own;
    if (own && own.state !== "disconnected" && this.#owner === id) return own;
    if (own) this.#part();
    this.#owner = id;
    const ask = async () => (await this.tools.tokens.ask()).connection;
    const getToken = this.#renewal(Centrifuge, ask, () => this.feeds.values());
    this.#url = url;
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

  #renewal({ UnauthorizedError }, ask, feeds) {
    return () => ask().catch((error) => {
      if (error.passing) throw error;
      for (const feed of feeds()) feed.refuse(error.message);
      throw new UnauthorizedError(error.message);
    });
  }
}
