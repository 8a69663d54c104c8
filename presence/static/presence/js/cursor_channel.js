// A cursor channel, live: the page follows it in place of a feed.

const AGAIN = 4500;
const SELDOM = 60_000;
const BRIEF = 250;
const LATE = 5000;
const REFUSALS = [103, 108, 403];

export class Channel {
  listeners = new Set();
  phase = "static";
  refusal = "";
  user = null;
  client = null;
  company = false;
  #sub;
  #release;
  #asked = -Infinity;
  #asking = null;
  #mayMove = false;
  #refused = false;
  #seen = false;
  #left = new Set();

  constructor(config, shown, { host, hold, quit }) {
    Object.assign(this, { config, host, hold, quit });
  }

  get open() {
    return this.phase === "live" && this.company && this.#mayMove && !this.#refused;
  }

  attach(client, { token, shown }, user, getToken) {
    const { channel } = this.config;
    [this.#sub, this.#release] = this.hold(client, channel, { token, getToken }, {
      subscribed: () => this.#enter("live"),
      subscribing: () => this.#stall(),
      unsubscribed: (ctx) => this.lose(channel, ctx),
      publication: ({ data, info }) => this.#receive(data, info),
      join: ({ info }) => info && this.#met(info),
      leave: ({ info }) => info && this.#missed(info),
    });
    Object.assign(this, { client, user });
    this.#mayMove = shown;
    if (this.#sub.state === "subscribed") this.#enter("live");
  }

  detach() {
    this.#rest();
    this.refusal = "";
    this.#stall();
  }

  close() {
    this.listeners.clear();
    this.detach();
  }

  offer() {}

  lose(what, { code, reason }) {
    if (code === 0) this.#stall();
    else this.refuse(`${what} was refused (${code} ${reason})`);
  }

  refuse(why) {
    this.#rest();
    this.refusal = `${why}`;
    this.host.warn(why);
    this.#enter("static");
    this.quit?.();
  }

  tell(news, listeners = this.listeners) {
    for (const listener of listeners) listener(this, news);
  }

  publish(data) {
    this.#sub.publish(data).catch(({ code, message, temporary }) => {
      if (temporary) this.tell({ again: data });
      if (this.#refused || !REFUSALS.includes(code)) return;
      this.#refused = true;
      this.host.warn(`${this.config.channel}: ${message} (${code})`);
      this.tell({});
    });
  }

  // Without join pushes, somebody may have come unnoticed, or everybody left.
  wonder() {
    const since = Math.abs(this.host.now() - this.#asked);
    if (since > (this.company ? SELDOM : AGAIN)) this.#ask();
  }

  #rest() {
    this.#release?.();
    this.#release = this.client = null;
  }

  #stall() {
    if (this.phase === "live") this.#enter("stale");
  }

  #ask() {
    this.host.clearTimeout(this.#asking);
    this.#asking = null;
    if (this.phase !== "live" || !this.#mayMove) return;
    this.#asked = this.host.now();
    this.#seen = false;
    // Whoever came in the meantime may not have been counted.
    this.#sub.presenceStats().then(
      ({ numClients }) => this.#keep(numClients > 1 || this.#seen),
      ({ code }) => {
        if (REFUSALS.includes(code)) this.#keep(true);
        else this.#wait(AGAIN);
      },
    );
  }

  #wait(milliseconds) {
    this.#asking ??= this.host.setTimeout(() => this.#ask(), milliseconds);
  }

  #see() {
    this.#seen = true;
    this.#keep(true);
  }

  #keep(company) {
    if (company === this.company) return;
    this.company = company;
    this.tell({});
  }

  #enter(phase) {
    if (phase === this.phase) return;
    this.phase = phase;
    this.company = this.#refused = false;
    this.#ask();
    this.tell({});
  }

  // One's own id is not known yet where the site connected before we came.
  #isOwn({ client, user }) {
    const own = this.config.ids.get(this.client);
    return own ? client === own : user === this.user?.id;
  }

  #met(info) {
    if (this.#isOwn(info)) return;
    this.#left.delete(info.client);
    // Who is no longer alone says where they are anyway.
    if (this.company) this.tell({ greet: true });
    this.#see();
  }

  // What was still under way to a publish proxy comes after the leave.
  #missed({ client }) {
    this.#left.add(client);
    this.host.setTimeout(() => this.#left.delete(client), LATE);
    this.tell({ heard: { key: `client ${client}`, gone: true } });
    this.#wait(BRIEF);
  }

  #receive(data, info) {
    if (info ? this.#isOwn(info) : data?.user === this.user?.id) return;
    if (this.#left.has(info?.client)) return;
    if (info) this.#see();
    const heard = this.config.read(data, info);
    if (heard) this.tell({ heard });
  }
}
