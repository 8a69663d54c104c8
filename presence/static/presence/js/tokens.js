// Grants in, tokens out. Contracts: tokens.d.ts.

export class Refused extends Error {}

/** Milliseconds in which the widgets of a page, or tokens that expire together, find each other. */
const GATHER = 10;
/** Grants that the server takes at once. */
const LIMIT = 100;

export function parts(items) {
  const found = [];
  for (let at = 0; at < items.length; at += LIMIT) found.push(items.slice(at, at + LIMIT));
  return found;
}

export async function getJson(host, url, init) {
  const answer = await host.fetch(url, { cache: "no-store", credentials: "same-origin", ...init });
  const { ok, status } = answer;
  if (ok) return answer.json();
  const why = `${new URL(url, "http://page").pathname} answered ${status}`;
  if (status >= 500 || status === 408 || status === 429) throw new Error(why);
  const { error, refused = {} } = (await answer.json().catch(() => null)) ?? {};
  throw new Refused([why, error, ...new Set(Object.values(refused))].filter(Boolean).join(": "));
}

export function backoff(attempt, random) {
  return Math.min(30_000, 500 * 2 ** Math.min(attempt, 6)) * (0.5 + random() / 2);
}

export class Tokens {
  #grants = new Map();
  #gathering = null;
  #flying = null;

  constructor(url, host) {
    this.url = url;
    this.host = host;
  }

  add(channel, grant) {
    this.#grants.set(channel, grant);
  }

  remove(channel) {
    this.#grants.delete(channel);
  }

  grant(channel) {
    return this.#grants.get(channel) ?? "";
  }

  /** Who asks at about the same time shares a request; no channel: any answer will do. */
  async ask(channel) {
    if (this.#flying && (!channel || this.#flying.has(channel))) return this.#from(this.#flying, channel);
    const { setTimeout } = this.host;
    this.#gathering ??= new Promise((run) => setTimeout(run, GATHER)).then(() => this.#send());
    return this.#from(await this.#gathering, channel);
  }

  async entry(channel) {
    const answer = await this.ask(channel);
    const { channels = {}, refused = {} } = answer ?? {};
    if (Object.hasOwn(channels, channel)) return { answer, entry: channels[channel] };
    throw new Refused(`${channel}: ${refused[channel] ?? "not granted"}`);
  }

  async #from(answers, channel) {
    if (channel) return answers.get(channel);
    return Promise.any(answers.values()).catch(({ errors }) => {
      const passing = errors.find((error) => !(error instanceof Refused));
      throw passing ?? errors[0] ?? new Refused("nothing was granted");
    });
  }

  #send() {
    const answers = new Map();
    for (const part of parts([...this.#grants])) {
      const answer = this.#post(part.map(([, grant]) => grant));
      for (const [channel] of part) answers.set(channel, answer);
    }
    this.#gathering = null;
    this.#flying = answers;
    Promise.allSettled(answers.values()).then(() => {
      if (this.#flying === answers) this.#flying = null;
    });
    return answers;
  }

  async #post(grants) {
    const answer = await getJson(this.host, this.url, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ grants }),
    });
    for (const [channel, { grant }] of Object.entries(answer.channels)) {
      if (grant && this.#grants.has(channel)) this.#grants.set(channel, grant);
    }
    return answer;
  }
}
