/** The page's one connection, its tokens, and the feeds that share them. */

import type * as feed from "./feed.js";
import type { Config, Feed, Listener, Tools } from "./feed.js";
import type * as roster from "./roster.js";
import type { Member, State } from "./roster.js";

/** What the browser gives, and tests replace. Times in milliseconds. */
export interface Host {
  /** The status and the text of an answer, which is not redirected: status 0 is a redirect. Throws
   * an error with `passing` where asking again may help: no network, 408, 429, 500 and above. All
   * that is not `passing`, an answer or an error of our own, is final. */
  ask(url: string, init?: RequestInit): Promise<{ status: number; text: string }>;
  setTimeout(run: () => void, ms: number): unknown;
  clearTimeout(timer: any): void;
  /** Time that passes, sleep included, from an arbitrary start: it never goes back, even if the
   * clock of the computer does. */
  now(): number;
  /** From 0 to 1. */
  random(): number;
  beacon(url: string, body: string): void;
  /** Says on the console why something is not live; the same reason once a page. */
  warn(why: string): void;
}

/** What a channel's grant is swapped for. `shown`: oneself is shown before any diff says so. */
export interface Entry {
  feed: string;
  token: string;
  grant: string;
  shown: boolean;
}

/** What the tokens endpoint answers. */
export interface Answer {
  /** Of the websocket. */
  url: string;
  /** The token of the connection. */
  connection: string;
  /** Of the user whom the tokens are for; "" for the anonymous. */
  id: string;
  /** The member that they are; null for the anonymous, and for whom others may not see. */
  user: Member | null;
  channels: Record<string, Entry>;
  /** Why a channel is not among them. */
  refused: Record<string, string>;
}

/** The items in parts of as many as the server takes at once. */
export function parts<Item>(items: Item[]): Item[][];

/** The JSON of an answer, an object that has `key`. Throws as `Host.ask`, and where the answer is
 * anything else, as that of a login wall. */
export function getJson(host: Host, key: string, url: string, init?: RequestInit): Promise<any>;

/** Milliseconds before the next try: doubling from half a second to half a minute, less up to half
 * of it at random. `attempt` is 0 after the first failure. */
export function backoff(attempt: number, random: () => number): number;

/** A subscription of `client` to `channel` and what lets go of it again: ours, or one that the site
 * has, which stays its own and is not subscribed or removed by us. Events go to `on` by name. */
export function hold(
  client: any, channel: string, options: object, on: Record<string, (ctx: any) => void>,
): [sub: any, release: () => void];

export class Tokens {
  /** The newest grant of each channel that is followed. */
  readonly grants: Map<string, string>;

  /** What the widgets of a page, or tokens that expire together, ask for within 10 milliseconds is
   * one POST for every hundred grants, as many as the server takes. */
  constructor(url: string, host: Host);

  /** The answer to the request with the grant of one channel, the first if none is named; undefined
   * for a channel without one. That of a POST under way only if the grant is still the same: what
   * was asked with an older one neither answers for it nor renews it. Throws as `getJson` does. */
  ask(channels?: Iterable<string>): Promise<Answer | undefined>;

  /** What an answer holds for one channel. Throws if that is nothing, and as `getJson`. */
  entry(channel: string): Promise<{ answer: Answer; entry: Entry }>;
}

export interface Modules {
  roster: typeof roster;
  feed: typeof feed;
  /** Loads the class `Centrifuge`. */
  sdk(): Promise<any>;
}

/** What a page asks of whatever it follows: a Feed, or what stands in for one. Where its `state` is
 * not that of a listed room, nobody is said to leave its channel. */
export type Followed = Pick<
  Feed,
  | "config" | "phase" | "refusal" | "user" | "client" | "listeners"
  | "tell" | "attach" | "detach" | "close" | "lose" | "refuse"
> & { readonly state?: any; offer(shown: any): void };

export class Page {
  /** Those that are followed, by channel. */
  readonly feeds: Map<string, Followed>;

  /** The id that Centrifugo gave each connection, a `Centrifuge`: as others see it in `info.client`.
   * One of the site's that was connected before it was given has none until it connects again. */
  readonly clientIds: WeakMap<object, string>;

  /** `urls` are those of the endpoints; without a beacon none is sent. */
  constructor(urls: { tokens: string; beacon?: string }, modules: Modules, host: Host);

  /**
   * Uses a connection of the site's from now on: an instance of `Centrifuge`, which is never
   * connected or disconnected by us, and must belong to the user whom the page was rendered for.
   * What was refused is tried again over it.
   */
  useConnection(centrifuge: any): void;

  /**
   * Keeps a listener informed of a channel until the function given back is called.
   *
   * Widgets of one channel share a feed, and every listener is told at once what is true of it.
   * `shown` belongs to the feed from now on. A subscription goes with the last listener of its
   * channel, our own connection with the last of all; a widget that is only moved is back before
   * that. A renewal that fails stops the SDK and refuses what it was for, unless it may pass.
   *
   * Where the channel is followed, its grant is kept, as each is another one: but for that of
   * another user, as `config.owner` tells, and where it was refused. Then it is opened again with
   * the new grant. Once the tokens are another user's, so is our own connection: all that was on the
   * old one, or refused, is opened again. What is in a grant is for the server alone.
   *
   * `Kind` is made for a channel that is not followed yet.
   */
  follow(config: Config & { grant: string }, shown: State, listener: Listener): () => void;
  follow<Its extends Followed>(
    config: Its["config"] & { grant: string },
    shown: Its["state"],
    listener: (followed: Its, news: any) => void,
    Kind: new (config: Its["config"], shown: Its["state"], tools: Tools) => Its,
  ): () => void;

  /**
   * Says that the page is leaving channels, all of them if none are named.
   *
   * Takes nobody out of a roster: who is back in time, or has another tab, has never been away.
   */
  leave(feeds?: Iterable<Feed>): void;
  /** Refuses every channel that is not live, where the policy of the page blocks an address of ours. */
  block(violation: SecurityPolicyViolationEvent): void;
  /** Has it seen soon that a page which the browser kept is shown again. */
  comeBack(): void;
}
