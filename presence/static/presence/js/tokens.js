// Grants in, tokens out.

const GATHERING_MS = 10;
const MOST = 100;

export class Refused extends Error {}

export function parts(items) {
  return items.length ? [items.slice(0, MOST), ...parts(items.slice(MOST))] : [];
}

export async function getJson(host, url, init) {
  const answer = await host.fetch(url, { cache: "no-store", credentials: "same-origin", ...init });
  const { ok, status } = answer;
  if (ok) return answer.json();
  const passing = status >= 500 || status === 408 || status === 429;
  const why = (await answer.text()).slice(0, 500);
  throw new (passing ? Error : Refused)(`${url.split("?")[0]} answered ${status} ${why}`);
}

export function backoff(attempt, random) {
  return Math.min(30_000, 500 * 2 ** Math.min(attempt, 6)) * (0.5 + random() / 2);
}

export class Tokens {
  grants = new Map();
  #gathering;
  #flying = new Map();

  constructor(url, host) {
    Object.assign(this, { url, host });
  }

  async ask([channel] = this.grants.keys()) {
    if (this.#flying.has(channel)) return this.#flying.get(channel);
    const gather = (run) => this.host.setTimeout(run, GATHERING_MS);
    this.#gathering ??= new Promise(gather).then(() => this.#send());
    return (await this.#gathering).get(channel);
  }

  async entry(channel) {
    const answer = await this.ask([channel]);
    const entry = answer?.channels[channel];
    if (entry?.token) return { answer, entry };
    throw new Refused(`${channel}: ${answer?.refused?.[channel] ?? "not granted"}`);
  }

  #send() {
    const answers = new Map();
    for (const part of parts([...this.grants])) {
      const answer = this.#post(part.map(([, grant]) => grant));
      for (const [channel] of part) answers.set(channel, answer);
    }
    this.#gathering = null;
    this.#flying = answers;
    Promise.allSettled(answers.values()).then(() => this.#flying = new Map());
    return answers;
  }

  async #post(grants) {
    const headers = { "Content-Type": "application/json" };
    const body = JSON.stringify({ grants });
    const answer = await getJson(this.host, this.url, { method: "POST", headers, body });
    for (const [channel, { grant }] of Object.entries(answer.channels)) {
      if (grant && this.grants.has(channel)) this.grants.set(channel, grant);
    }
    return answer;
  }
}
