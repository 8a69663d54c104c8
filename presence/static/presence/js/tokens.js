/**
 * Grants in, tokens out: one POST swaps every grant of the page.
 *
 * @typedef {{token: string, feed: string, grant: string, shown: boolean}} Entry
 * @typedef {{id: string, name: string, info: Record<string, unknown>}} Member
 * @typedef {{url: string, connection: string, user: Member | null,
 *            channels: Record<string, Entry>, refused: Record<string, string>}} Answer
 * @typedef {{fetch: typeof fetch, setTimeout: (run: () => void, ms: number) => unknown,
 *            clearTimeout: (timer: any) => void, random: () => number,
 *            beacon: (url: string, body: string) => void,
 *            warn: (text: string) => void}} Host what the browser gives, and tests replace
 */

/** Asking again will not help. */
export class Refused extends Error {}

/** Milliseconds in which the widgets of a page, or tokens that expire together, find each other. */
const GATHER = 10;

/**
 * The JSON of an answer that nobody may store.
 * @param {Host} host
 * @param {string} url
 * @param {RequestInit} [init]
 * @returns {Promise<any>}
 * @throws {Refused} on a status that says no; any other error is worth another try
 */
export async function getJson(host, url, init = {}) {
  const answer = await host.fetch(url, { cache: "no-store", credentials: "same-origin", ...init });
  if (answer.ok) return answer.json();
  const why = `${new URL(url, "http://page").pathname} answered ${answer.status}`;
  const passing = answer.status >= 500 || answer.status === 408 || answer.status === 429;
  if (passing) throw new Error(why);
  const { error, refused } = (await answer.json().catch(() => null)) ?? {};
  throw new Refused([why, error, ...new Set(Object.values(refused ?? {}))].filter(Boolean).join(": "));
}

/**
 * Milliseconds to wait before the next try: doubling from half a second to half a minute, jittered.
 * @param {number} attempt 0 after the first failure
 * @param {() => number} random
 */
export function backoff(attempt, random) {
  return Math.min(30_000, 500 * 2 ** Math.min(attempt, 6)) * (0.5 + random() / 2);
}

export class Tokens {
  /** @type {Map<string, string>} */
  #grants = new Map();
  /** @type {Promise<Answer> | null} */
  #gathering = null;
  /** @type {{answer: Promise<Answer>, channels: Set<string>} | null} */
  #flying = null;

  /**
   * @param {string} url of the tokens endpoint
   * @param {Host} host
   */
  constructor(url, host) {
    this.url = url;
    this.host = host;
  }

  /** @param {string} channel @param {string} grant */
  add(channel, grant) {
    this.#grants.set(channel, grant);
  }

  /** @param {string} channel */
  remove(channel) {
    this.#grants.delete(channel);
  }

  /** The newest grant of a channel. @param {string} channel */
  grant(channel) {
    return this.#grants.get(channel) ?? "";
  }

  /**
   * Tokens for every grant of the page; askers at about the same time share one POST.
   * @param {string} [channel] that the answer must be about
   * @returns {Promise<Answer>}
   * @throws {Refused} when nothing was granted
   */
  ask(channel) {
    if (this.#flying && (!channel || this.#flying.channels.has(channel))) {
      return this.#flying.answer;
    }
    this.#gathering ??= new Promise((resolve) => this.host.setTimeout(() => resolve(null), GATHER))
      .then(() => this.#send());
    return this.#gathering;
  }

  /**
   * What an answer holds for one channel.
   * @param {string} channel
   * @returns {Promise<{answer: Answer, entry: Entry}>}
   * @throws {Refused}
   */
  async entry(channel) {
    const answer = await this.ask(channel);
    if (Object.hasOwn(answer.channels, channel)) return { answer, entry: answer.channels[channel] };
    throw new Refused(`${channel}: ${answer.refused?.[channel] ?? "not granted"}`);
  }

  /** @returns {Promise<Answer>} */
  #send() {
    const flight = { answer: this.#post(), channels: new Set(this.#grants.keys()) };
    const land = () => {
      if (this.#flying === flight) this.#flying = null;
    };
    this.#gathering = null;
    this.#flying = flight;
    flight.answer.then(land, land);
    return flight.answer;
  }

  /** @returns {Promise<Answer>} */
  async #post() {
    const answer = await getJson(this.host, this.url, {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "application/json" },
      body: JSON.stringify({ grants: [...this.#grants.values()] }),
    });
    for (const [channel, { grant }] of Object.entries(answer.channels)) {
      if (grant && this.#grants.has(channel)) this.#grants.set(channel, grant);
    }
    return answer;
  }
}
