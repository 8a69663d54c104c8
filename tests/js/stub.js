/** Fakes of the browser and of the SDK, which a test controls. */

import * as connection from "../../presence/static/presence/js/connection.js";
import * as feed from "../../presence/static/presence/js/feed.js";
import * as roster from "../../presence/static/presence/js/roster.js";

// The parts of the browser that widget.js needs to be loaded.
globalThis.HTMLElement ??= class {};
globalThis.customElements ??= { get: () => undefined, define: () => {} };
const { getJson } = await import("../../presence/static/presence/js/widget.js");

// Node has none. An error of a listener stays uncaught, as with an EventTarget.
globalThis.reportError = (error) => queueMicrotask(() => { throw error; });

class Emitter {
  #listeners = new Map();

  on(event, run) {
    this.#listeners.set(event, [...(this.#listeners.get(event) ?? []), run]);
  }

  off(event, run) {
    this.#listeners.set(event, (this.#listeners.get(event) ?? []).filter((listener) => listener !== run));
  }

  trigger(event, ctx = {}) {
    if (["subscribed", "subscribing", "unsubscribed"].includes(event)) this.state = event;
    for (const run of this.#listeners.get(event) ?? []) run(ctx);
  }
}

export class Subscription extends Emitter {
  state = "unsubscribed";

  constructor(channel, options) {
    super();
    this.channel = channel;
    this.options = options;
  }

  subscribe() {
    this.state = "subscribing";
  }

  /** Data that was published; `refusal` is the error of Centrifugo, or null. */
  published = [];
  refusal = null;

  async publish(data) {
    this.published.push(data);
    if (this.refusal) throw this.refusal;
    return {};
  }

  /** Number of questions who is there. `clients` is the answer: a number, an error, or a promise of either. */
  asked = 0;
  clients = 1;

  async presenceStats() {
    this.asked += 1;
    const found = await this.clients;
    if (typeof found !== "number") throw found;
    return { numClients: found, numUsers: found };
  }
}

export class Centrifuge extends Emitter {
  static UnauthorizedError = class UnauthorizedError extends Error {};
  static made = [];

  state = "disconnected";
  subscriptions = new Map();
  removed = [];

  constructor(url, options) {
    super();
    this.url = url;
    this.options = options;
    Centrifuge.made.push(this);
  }

  connect() {
    this.state = "connecting";
  }

  disconnect() {
    this.end(0, "disconnect called");
  }

  /** End the connection. The subscriptions are told first, as by the SDK. */
  end(code, reason) {
    this.state = "disconnected";
    for (const sub of this.subscriptions.values()) {
      if (sub.state === "subscribed") sub.trigger("subscribing", { code: 1 });
    }
    this.trigger("disconnected", { code, reason });
  }

  getSubscription(channel) {
    return this.subscriptions.get(channel) ?? null;
  }

  newSubscription(channel, options) {
    const made = new Subscription(channel, options);
    this.subscriptions.set(channel, made);
    return made;
  }

  removeSubscription(subscription) {
    this.subscriptions.delete(subscription.channel);
    this.removed.push(subscription.channel);
  }
}

/** Let every promise settle that can. */
export const settle = () => new Promise((resolve) => setImmediate(resolve));

/** Timers that a test runs, and a server with prepared answers. */
export class World {
  timers = [];
  requests = [];
  warnings = [];
  revocations = 0;
  beacons = [];
  /** Value of `host.now`, in milliseconds. */
  time = 1_000_000;
  /** Whether the page is in the background, where it sets no timer for the pulse. */
  hidden = true;
  /** URL path -> (request) => [status, body], an Error, or a promise of either */
  routes = new Map();

  host = {
    fetch: async (url, init = {}) => {
      const request = { url, path: url.split("?")[0], ...init };
      this.requests.push(request);
      const answer = await this.routes.get(request.path)(request);
      if (answer instanceof Error) throw answer;
      const [status, body] = answer;
      const json = async () => {
        if (body === undefined) throw new SyntaxError("no JSON");
        return structuredClone(body);
      };
      const text = async () => JSON.stringify(body) ?? "";
      return { ok: status < 300, status, json, text };
    },
    getJson: (key, url, init) => getJson(key, url, init, this.host.fetch),
    setTimeout: (run, ms) => {
      const timer = { run, ms, due: this.time + ms };
      this.timers.push(timer);
      return timer;
    },
    clearTimeout: (timer) => {
      this.timers = this.timers.filter((other) => other !== timer);
    },
    random: () => 0.5,
    hidden: () => this.hidden,
    now: () => this.time,
    beacon: (url, body) => this.beacons.push({ url, ...JSON.parse(body) }),
    revoked: () => { this.revocations += 1; },
    warn: (text) => this.warnings.push(text),
  };

  /** Run the timers that are set now and wait no longer than `longest`. Return their milliseconds. */
  async tick(longest = Infinity) {
    const due = this.timers.filter(({ ms }) => ms <= longest);
    this.timers = this.timers.filter(({ ms }) => ms > longest);
    for (const { run } of due) run();
    await settle();
    return due.map(({ ms }) => ms);
  }

  /** Let time pass: run the timers that become due, with those that they set. */
  async pass(ms) {
    const end = this.time + ms;
    const next = () => this.timers.filter(({ due }) => due <= end).sort((a, b) => a.due - b.due)[0];
    for (let timer = next(); timer; timer = next()) {
      this.time = Math.max(this.time, timer.due);
      this.timers = this.timers.filter((other) => other !== timer);
      timer.run();
      await settle();
    }
    this.time = end;
  }

  /** The requests of a path. */
  asked(path) {
    return this.requests.filter((request) => request.path === path);
  }
}

export const MODULES = { roster, feed, sdk: async () => Centrifuge };

/** A grant as Django makes it. Where its content does not matter, tests write `grant <channel>`. */
export const grantOf = (channel, user, issued = 1_795_300_000) => {
  const ascii = (text) => text.replace(/[^ -~]/gu, (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`);
  return `${Buffer.from(ascii(JSON.stringify([channel, user, issued]))).toString("base64url")}:signature`;
};

export function readGrant(grant) {
  const [written, signature] = grant.split(":");
  return signature === "signature"
    ? JSON.parse(Buffer.from(written, "base64url").toString())
    : [grant.split(" ").at(-1)];
}

/** Answers after which asking again may help. */
export const PASSING = [[500, {}], [503, undefined], [408, {}], [429, {}], new TypeError("offline")];

/** Answers after which it does not help: of a login wall, of another site, of another version. */
export const FINAL = [
  [0, undefined], [200, undefined], [200, null], [200, []], [200, "<!doctype html>"], [200, { other: 1 }],
  [204, undefined], [401, undefined], [403, { error: "why" }], [404, undefined], [405, {}], [413, {}],
];

/** A page whose token endpoint grants every channel. */
export function makePage({ user = null, ahead = false, self, check = "/check", hidden = true, modules = MODULES } = {}) {
  Centrifuge.made.length = 0;
  const world = new World();
  world.hidden = hidden;
  const channels = (grants) =>
    grants.map((grant) => readGrant(grant)[0]).map((channel) => [
      channel,
      {
        feed: channel, token: `token ${channel}`, grant: `next ${channel}`, shown: ahead,
        self: self ?? (ahead && user ? user.id : ""),
      },
    ]);
  world.routes.set("/tokens", ({ body }) => [
    200,
    {
      url: "ws://centrifugo/connection/websocket",
      connection: "connection token",
      subs: { "presence.tick": "pulse token", ...(user && { "session:42.a": "session token" }) },
      id: user?.id ?? "",
      user,
      channels: Object.fromEntries(channels(JSON.parse(body).grants)),
      refused: {},
    },
  ]);
  world.routes.set("/check", () => [204, undefined]);
  const page = new connection.Page("/tokens", modules, world.host);
  page.tools.tokens.check = check;
  return { world, page };
}

export const member = (id, name = `Member ${id}`, info = {}) => ({ id, name, info });

export const snapshot = (version, members = [member("42")], more = {}) => ({
  epoch: "k3f9a1", version, members, listed: true, total: members.length, anonymous: 0, age: 1,
  every: 60, position: { offset: version, epoch: "StBPPVJn" }, ...more,
});

export const diff = (base, { joins = [], leaves = [], updates = [], ...more } = {}) => ({
  type: "presence.diff", epoch: "k3f9a1", base, version: base + 1, joins, leaves, updates,
  total: 1, anonymous: 0, ...more,
});

/** Configuration of a channel, as a widget gives it. */
export const configOf = (channel, { feed = channel, position = null, every = 60, ...more } = {}) => ({
  channel, feed, snapshot: "/snapshot", position, grant: `grant ${channel}`, every, ...more,
});

/** Follow a channel as a widget does; `told` has the news. */
export function follow(page, channel, shown, more = {}) {
  const told = [];
  const config = configOf(channel, more);
  const follower = { told };
  follower.end = page.follow(config, roster.fromSnapshot(shown), (feedOf, news) => {
    follower.feed = feedOf;
    told.push({ phase: feedOf.phase, ...news });
  });
  return follower;
}

/** Open a page with one channel up to its subscription. */
export async function open({ shown = snapshot(12), feed, position, every, asOf, ...options } = {}) {
  const { world, page } = makePage(options);
  const follower = follow(page, "presence:a", shown, { feed, position, every, asOf });
  await world.tick();
  const [client] = Centrifuge.made;
  return { world, page, follower, client, sub: client.getSubscription(feed ?? "presence:a") };
}
