const NOTHING = { joined: [], left: [], updated: [] };
const MOST = 100;

export class Feed {
  listeners = new Set();
  phase = "static";
  refusal = "";
  user = null;
  client = null;
  self = [];
  #sub;
  #met;
  #awaiting;
  #release;
  #timer;
  #view;
  #asOf;
  #attempt = 0;
  #fetches = 0;
  #kept = [];
  #ahead = new Map();
  #hints = new Map();

  constructor(config, shown, tools) {
    Object.assign(this, tools, { config, state: shown });
    this.#asOf = config.asOf ?? -Infinity;
  }

  get view() {
    return this.#view ??= this.roster.view(this.state, this.#ahead);
  }

  get asOf() {
    return this.phase === "live" ? this.host.now() : this.#asOf;
  }

  age() {
    const age = (this.host.now() - this.asOf) / 1000;
    return age < Infinity ? age : null;
  }

  attach(client, { token, shown }, user, getToken) {
    const { channel, feed, position } = this.config;
    const since = position?.epoch && !this.#met ? position : null;
    const self = shown && user ? [user] : [];
    [this.#sub, this.#release] = this.hold(client, feed, { token, getToken, since }, {
      subscribed: ({ recovered }) => this.#subscribed(recovered, self),
      subscribing: () => this.stall(),
      unsubscribed: (ctx) => this.lose(channel, ctx),
      publication: ({ data }) => this.#receive(data),
      join: ({ info }) => this.#hint(info ?? {}),
      leave: ({ info }) => this.#drop(info?.client),
    });
    Object.assign(this, { client, user });
    if (this.#sub.state === "subscribed") this.#subscribed(false, self);
  }

  detach() {
    this.#rest();
    this.refusal = "";
    this.stall();
  }

  close() {
    this.listeners.clear();
    this.detach();
  }

  offer(shown) {
    const { epoch, version } = this.state;
    if ((epoch && shown.epoch !== epoch) || shown.version <= version) return;
    this.#show(shown, this.roster.since(this.state, shown));
  }

  stall() {
    if (this.phase === "live") this.#enter("stale");
  }

  lose(what, { code, reason }) {
    if (code === 0) this.stall();
    else this.refuse(`${what}: ${code} ${reason}`);
  }

  refuse(why) {
    this.#rest();
    this.refusal = `${why}`;
    this.host.warn(why);
    this.#show();
    this.#enter("static");
    this.quit?.();
  }

  *events({ joined, left, updated, synced, stale, said }) {
    const { channel } = this.config;
    const about = { channel, version: this.state.version };
    for (const member of joined) yield ["join", { ...about, member }];
    for (const member of left) yield ["leave", { ...about, member }];
    for (const member of updated) yield ["update", { ...about, member }];
    if (synced) yield ["sync", { ...about, ...this.view }];
    if (stale) yield ["stale", { ...about, state: this.phase, age: this.age() }];
    if (said) yield ["event", { channel, ...said }];
  }

  tell(news, listeners = this.listeners) {
    for (const listener of listeners) {
      try {
        listener(this, { ...NOTHING, ...news });
      } catch (error) {
        reportError(error);
      }
    }
  }

  #subscribed(recovered, self) {
    const wait = this.#met ? this.#spread() : 0;
    this.#met = true;
    this.self = self;
    this.#show();
    if (recovered === true && this.state.version && !this.#awaiting) this.#settle();
    else this.#need(wait);
  }

  #receive(publication) {
    const said = this.roster.readEvent(publication);
    if (said) this.tell({ said });
    const { changes, fetch, within } = this.roster.reduce(this.state, publication);
    if (changes) this.#show(this.state, changes, this.host.now());
    if (fetch && !this.#awaiting) this.#need(this.#spread(within));
    if (!this.#awaiting || !this.roster.read(publication)) return;
    this.#kept = [...this.#kept, publication].slice(-MOST);
  }

  #hint(push) {
    const { channel, feed, every } = this.config;
    const member = feed === channel && this.roster.readPush(push);
    if (!member || member.id === this.user?.id) return;
    if (this.#hints.size >= MOST || !this.roster.ahead(this.state, [member]).size) return;
    this.#forget(push.client);
    const timer = this.host.setTimeout(() => this.#drop(push.client), (every + 5) * 1000);
    this.#hints.set(push.client, { member, timer });
    this.#show();
  }

  #drop(client) {
    if (this.#forget(client)) this.#show();
  }

  #forget(client) {
    this.host.clearTimeout(this.#hints.get(client)?.timer);
    return this.#hints.delete(client);
  }

  #spread(within) {
    const { total, anonymous } = this.state;
    const usual = Math.min(5, 0.05 + (total + anonymous) / 500);
    return this.host.random() * 1000 * (within ?? usual);
  }

  #need(wait) {
    this.#awaiting = true;
    this.stall();
    this.#timer ??= this.host.setTimeout(() => this.#fetch(), wait);
  }

  async #fetch() {
    const { channel, snapshot } = this.config;
    const grant = encodeURIComponent(this.tokens.grants.get(channel));
    const turn = ++this.#fetches;
    this.#timer = null;
    try {
      const answer = await this.getJson(this.host, "members", `${snapshot}?grant=${grant}`);
      if (turn === this.#fetches) this.#take(answer);
    } catch (error) {
      if (turn !== this.#fetches) return;
      if (error.passing) this.#retry();
      else this.refuse(error.message);
    }
  }

  #take(answer) {
    const next = this.roster.splice(this.state, answer, this.#kept);
    if (next) {
      this.#kept = next.open;
      this.config.every = answer.every;
      this.#show(next.state, next.changes, this.host.now() - Math.max(0, answer.age) * 1000);
    }
    if (!next || (next.open.length && !this.#attempt)) this.#retry();
    else if (!this.#timer) this.#settle();
  }

  #retry() {
    this.#need(this.backoff(this.#attempt++, this.host.random));
  }

  #rest() {
    this.#release?.();
    this.#release = this.#sub = this.client = null;
    this.#fetches += 1;
    this.host.clearTimeout(this.#timer);
    this.#timer = null;
    for (const client of this.#hints.keys()) this.#forget(client);
  }

  #settle() {
    this.#awaiting = false;
    this.#attempt = 0;
    this.#kept = [];
    if (this.#sub?.state === "subscribed") this.#enter("live");
  }

  #show(state = this.state, changes = NOTHING, asOf) {
    const before = this.#ahead;
    this.state = state;
    this.#view = null;
    if (asOf > this.#asOf) this.#asOf = asOf;
    const hinted = [...this.#hints.values()].map(({ member }) => member);
    this.#ahead = this.roster.ahead(state, [...this.self, ...hinted]);
    for (const [client, { member }] of this.#hints) {
      if (!this.#ahead.has(member.id)) this.#forget(client);
    }
    this.tell(changes ? this.roster.overlay(changes, before, this.#ahead) : {});
  }

  #enter(phase) {
    const stale = phase !== "live" && phase !== this.phase;
    if (this.phase === "live") this.#asOf = this.host.now();
    this.phase = phase;
    this.tell({ synced: phase === "live", stale });
  }
}
