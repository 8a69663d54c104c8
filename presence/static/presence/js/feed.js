// One channel, live: its subscription, its state, and the snapshot fetched when diffs cannot help.
// Types are in feed.d.ts.

/** As many as the stream's history holds: publications kept, and hints shown. */
const KEPT = 100;
/** Seconds by which a diff may be later than its tick. */
const SLACK = 5;
const NOTHING = { joined: [], left: [], updated: [] };

export class Feed {
  listeners = new Set();
  phase = "static";
  refusal = "";
  user = null;
  client = null;
  closed = false;

  #asOf;
  #every;
  #view = null;
  #ahead = new Map();
  #hints = new Map();
  #sub = null;
  #entry = null;
  #standing = false;
  #met = false;
  #shared = false;
  #awaiting = false;
  #flying = false;
  #again = false;
  #timer = null;
  #attempt = 0;
  #kept = [];
  #on = {
    subscribed: (ctx) => this.#subscribed(ctx.recovered === true),
    subscribing: () => this.stall(),
    unsubscribed: ({ code, reason }) =>
      code === 0 ? this.stall() : this.refuse(`${this.config.channel}: ${reason}`),
    publication: ({ data }) => this.#receive(data),
    join: ({ info }) => this.#hint(info),
    leave: ({ info }) => this.#unhint(info),
  };

  constructor(config, shown, tools) {
    this.config = config;
    this.state = shown;
    this.tools = tools;
    this.#asOf = config.asOf ?? null;
    this.#every = config.every ?? 60;
  }

  /** What is shown. */
  get view() {
    return (this.#view ??= this.tools.roster.view(this.state, this.#ahead));
  }

  /** When (by `host.now`) what is shown was last known to be true; null if that is not known. */
  get asOf() {
    return this.phase === "live" ? this.tools.host.now() : this.#asOf;
  }

  /** Seconds since then. */
  age() {
    const { asOf } = this;
    return asOf === null ? null : Math.max(0, this.tools.host.now() - asOf) / 1000;
  }

  /** Subscribes through a client, or joins the subscription that the client has already. */
  attach(client, entry, user, getToken) {
    const { feed, position } = this.config;
    this.client = client;
    this.user = user;
    this.#entry = entry;
    const existing = client.getSubscription(feed);
    this.#shared = existing !== null;
    this.#sub = existing ?? client.newSubscription(feed, {
      token: entry.token,
      getToken,
      minResubscribeDelay: 200,
      maxResubscribeDelay: 5000,
      ...(position?.epoch && !this.#met ? { since: position } : {}),
    });
    for (const [event, run] of Object.entries(this.#on)) this.#sub.on(event, run);
    if (!this.#shared) this.#sub.subscribe();
    else if (this.#sub.state === "subscribed") this.#subscribed(false);
  }

  /** Lets go of the client; a subscription that was there before us stays. */
  detach() {
    if (!this.#sub) return;
    for (const [event, run] of Object.entries(this.#on)) this.#sub.off(event, run);
    if (!this.#shared) this.client.removeSubscription(this.#sub);
    this.#sub = this.client = null;
    this.stall();
  }

  close() {
    this.closed = true;
    this.listeners.clear();
    this.#stopWaiting();
    this.#show(this.state, NOTHING);
    this.detach();
  }

  /** The state of another widget of this channel, taken when it is newer. */
  offer(shown, asOf = null) {
    const { epoch, version } = this.state;
    if (shown.epoch !== epoch || shown.version <= version) return;
    this.#known(asOf);
    this.#show(shown, this.tools.roster.since(this.state, shown));
  }

  /** The connection or the subscription is down for now. */
  stall() {
    this.#standing = false;
    if (this.phase === "live") this.#enter("stale");
  }

  /** It is refused for good: what is shown stays, and no longer changes. */
  refuse(why) {
    this.#standing = false;
    this.#stopWaiting();
    this.refusal = why;
    this.tools.host.warn(`presence: ${why}; the widget is not live`);
    this.#show(this.state, NOTHING);
    this.#enter("static");
  }

  #subscribed(recovered) {
    const wait = this.#met ? this.#spread() : 0;
    this.#met = this.#standing = true;
    this.refusal = "";
    this.#show(this.state, NOTHING);
    if (!recovered || this.state.version === 0) this.#need(wait);
    else if (!this.#awaiting) this.#settle();
    else if (!this.#flying && this.#timer === null) this.#need(wait);
  }

  #receive(publication) {
    const { roster, host } = this.tools;
    const { changes, fetch, within } = roster.reduce(this.state, publication);
    if (changes) {
      this.#known(host.now());
      this.#show(this.state, changes);
    }
    if (fetch && !this.#awaiting) {
      this.#need(within === null ? this.#spread() : host.random() * within * 1000);
    }
    if (!this.#awaiting || !roster.read(publication)) return;
    this.#kept.push(publication);
    if (this.#kept.length > KEPT) this.#kept.shift();
  }

  /** Somebody subscribed: shown at once, until a diff has them or should have had them. */
  #hint(push) {
    const { state, tools, user } = this;
    const { client, member } = tools.roster.readPush(push) ?? {};
    const { channel, feed } = this.config;
    if (!member || feed !== channel || member.id === user?.id) return;
    const { id } = member;
    const hint = this.#hints.get(id);
    if (hint) hint.clients.add(client);
    else if (this.#hints.size < KEPT && tools.roster.ahead(state, [[id, member]]).size) {
      const timer = tools.host.setTimeout(() => this.#drop(id), (this.#every + SLACK) * 1000);
      this.#hints.set(id, { member, clients: new Set([client]), timer });
      this.#show(state, NOTHING);
    }
  }

  /** A leave is believed only of those who are shown because of that very client. */
  #unhint(push) {
    const { user, client } = push ?? {};
    const hint = this.#hints.get(user);
    if (hint?.clients.delete(client) && !hint.clients.size) this.#drop(user);
  }

  #drop(id) {
    this.tools.host.clearTimeout(this.#hints.get(id).timer);
    this.#hints.delete(id);
    this.#show(this.state, NOTHING);
  }

  /** Milliseconds to wait, at random, so that a crowd does not fetch all at once. */
  #spread() {
    const { total, anonymous } = this.state;
    return this.tools.host.random() * Math.min(5000, 50 + 2 * (total + anonymous));
  }

  /** Asks for a snapshot that is read after now. */
  #need(wait) {
    this.#awaiting = true;
    if (this.phase === "live") this.#enter("stale");
    if (this.#flying) this.#again = true;
    else this.#timer ??= this.tools.host.setTimeout(() => this.#fetch(), wait);
  }

  async #fetch() {
    const { host, tokens, getJson, Refused } = this.tools;
    const { channel, snapshot } = this.config;
    this.#timer = null;
    this.#flying = true;
    this.#again = false;
    const url = `${snapshot}?grant=${encodeURIComponent(tokens.grant(channel))}`;
    const answer = await getJson(host, url).catch((error) => error);
    this.#flying = false;
    if (this.closed) return;
    if (answer instanceof Refused) this.refuse(`${channel}: ${answer.message}`);
    else if (answer instanceof Error) this.#retry();
    else this.#take(answer);
  }

  #take(snapshot) {
    const next = this.tools.roster.splice(this.state, snapshot, this.#kept);
    if (!next.taken) return this.#retry();
    const { age, every } = snapshot;
    if (Number.isFinite(age)) this.#known(this.tools.host.now() - age * 1000);
    if (every > 0) this.#every = every;
    this.#kept = next.kept;
    this.#show(next.state, next.changes);
    return next.fetch || this.#again ? this.#retry() : this.#settle();
  }

  #retry() {
    this.#need(this.tools.backoff(this.#attempt, this.tools.host.random));
    this.#attempt += 1;
  }

  #stopWaiting() {
    this.tools.host.clearTimeout(this.#timer);
    this.#timer = null;
  }

  #settle() {
    this.#awaiting = false;
    this.#attempt = 0;
    this.#kept = [];
    if (this.#standing) this.#enter("live");
  }

  /** What is shown was true at a time. */
  #known(time) {
    if (time !== null) this.#asOf = Math.max(this.#asOf ?? time, time);
  }

  /** Takes over a state; `changes` null: seen anew, so nobody joined or left. */
  #show(state, changes) {
    const { roster, host } = this.tools;
    const before = this.#ahead;
    const ahead = [...this.#hints].map(([id, { member }]) => [id, member]);
    if (this.#entry?.shown && this.#met && this.user) ahead.push([this.user.id, this.user]);
    this.state = state;
    this.#view = null;
    this.#ahead = roster.ahead(state, this.refusal || this.closed ? [] : ahead);
    for (const [id, { timer }] of this.#hints) {
      if (this.#ahead.has(id)) continue;
      host.clearTimeout(timer);
      this.#hints.delete(id);
    }
    this.tell(changes ? roster.overlay(changes, before, this.#ahead) : {});
  }

  #enter(phase) {
    const stale = this.phase === "live" && phase !== "live";
    if (stale) this.#known(this.tools.host.now());
    this.phase = phase;
    this.tell({ synced: phase === "live", stale });
  }

  /** What news is as events: their names and details, one for each member. */
  *events({ joined, left, updated, synced, stale }) {
    const { channel } = this.config;
    const { version, members, total, anonymous } = this.view;
    for (const member of joined) yield ["join", { channel, version, member }];
    for (const member of left) yield ["leave", { channel, version, member }];
    for (const member of updated) yield ["update", { channel, version, member }];
    if (synced) yield ["sync", { channel, version, members, total, anonymous }];
    if (stale) yield ["stale", { channel, version, state: this.phase, age: this.age() }];
  }

  /** News is what changed; whatever it leaves out did not. */
  tell(news, listeners = this.listeners) {
    for (const listener of listeners) {
      try {
        listener(this, { ...NOTHING, synced: false, stale: false, ...news });
      } catch (error) {
        // One listener's mistake is not the feed's, nor the others': it is reported as uncaught.
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}
