/** Grants in, tokens out: what the widgets of a page, or tokens that expire together, ask within 10
 * milliseconds is one request for every hundred grants, as many as the server takes. */

import type { Member } from "./roster.js";

/** What the browser gives, and tests replace. Times in milliseconds. */
export interface Host {
  fetch(url: string, init?: RequestInit): Promise<Response>;
  setTimeout(run: () => void, ms: number): unknown;
  clearTimeout(timer: any): void;
  /** Time since the page was opened, as `performance.now` has it: it never goes back. */
  now(): number;
  /** From 0 to 1. */
  random(): number;
  beacon(url: string, body: string): void;
  /** Says why a widget is not live; the same reason once a page. */
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
  user: Member | null;
  channels: Record<string, Entry>;
  /** Why a channel is not among them. */
  refused: Record<string, string>;
}

/** Asking again will not help. */
export class Refused extends Error {}

/** The items in parts of as many as the server takes at once. */
export function parts<Item>(items: Item[]): Item[][];

/**
 * The JSON of an answer that nobody may store.
 *
 * Throws Refused on a status that says no; any other error is worth another try.
 */
export function getJson(host: Host, url: string, init?: RequestInit): Promise<any>;

/** Milliseconds before the next try: doubling from half a second to half a minute, less up to half
 * of it at random. `attempt` is 0 after the first failure. */
export function backoff(attempt: number, random: () => number): number;

export class Tokens {
  /** The newest grant of each channel that is followed. */
  readonly grants: Map<string, string>;

  constructor(url: string, host: Host);

  /** The answer to the request with the grant of one channel, the first if none is named; undefined
   * for a channel without one. Throws as `getJson` does. */
  ask(channels?: Iterable<string>): Promise<Answer | undefined>;

  /** What an answer holds for one channel. Throws Refused if that is nothing, else as `getJson`. */
  entry(channel: string): Promise<{ answer: Answer; entry: Entry }>;
}
