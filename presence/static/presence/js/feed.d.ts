/**
 * One channel, live: its subscription, its state, and the snapshot that is fetched when diffs
 * cannot help: at once for a page that has just been opened, else at a random moment, as a whole
 * crowd may ask. Publications are kept while one is awaited, a hundred, as many as the stream's
 * history holds; what does not fit the snapshot then is good for one more fetch, no more. Of two
 * fetches that fly only the newest counts.
 *
 * Who subscribes is shown at once where join pushes are on, a hundred at most, until a diff has
 * them, or should have had them (the interval and 5 seconds), or the same client leaves.
 */

import type { Entry, Host, Tokens, backoff, getJson, hold } from "./connection.js";
import type { EventMap } from "./presence.js";
import type { Changes, Member, Said, State, View } from "./roster.js";
import type * as roster from "./roster.js";

/** What a page says of a channel. */
export interface Config {
  channel: string;
  /** The id of the user whom its grant was made for; "" for the anonymous. */
  owner?: string;
  /** Where diffs are published: the channel itself, or `roster:` and its name. */
  feed: string;
  /** The URL of the snapshot endpoint, without a query. */
  snapshot: string;
  /** Where the stream stood for the page; null while there was none. */
  position: { offset: number; epoch: string } | null;
  /** Seconds between two ticks. */
  every: number;
  /** When, by `host.now`, what the page shows was true; null if that is not known. */
  asOf?: number | null;
}

/** `static`: not live yet, or refused; `stale`: no longer live, for now. */
export type Phase = "static" | "live" | "stale";

export interface News extends Changes {
  /** In step with the server, for the first time or again. */
  readonly synced?: boolean;
  /** It has just ceased to be live: for now, or for good, which may come after that. */
  readonly stale?: boolean;
  /** What the site told everybody in the room. */
  readonly said?: Said;
}

/** Called at once, and after every change of what is shown or of the phase. What it throws is
 * reported, and keeps nobody else from being told. A room that is seen
 * for the first time, or is counted from now on, or listed, is a change without joins and leaves:
 * draw what `feed.view` has. */
export type Listener = (feed: Feed, news: News) => void;

export interface Tools {
  roster: typeof roster;
  tokens: Tokens;
  getJson: typeof getJson;
  backoff: typeof backoff;
  hold: typeof hold;
  host: Host;
}

/** The name of an event and its detail. */
export type Event = { [Name in keyof EventMap]: [Name, EventMap[Name]] }[keyof EventMap];

export class Feed {
  readonly config: Config;
  /** Changed in place; another one after a snapshot. */
  readonly state: State;
  /** What is shown; made when it is asked for, and kept until something changes. */
  readonly view: View;
  readonly phase: Phase;
  /** Oneself, once the subscription stands; nobody where one is not shown. */
  readonly self: Member[];
  /** Why it is refused for good; "" while it is not. */
  readonly refusal: string;
  /** Whom this page's connection belongs to; null for the anonymous, and before there is one. */
  readonly user: Member | null;
  /** When, by `host.now`, what is shown was last known to be true: now, while it is live; -Infinity
   * if that is not known. */
  readonly asOf: number;
  readonly listeners: Set<Listener>;
  /** The client it is attached to: a `Centrifuge`. */
  readonly client: any;

  /** `shown` is what the page shows; it belongs to the feed from now on. */
  constructor(config: Config, shown: State, tools: Tools);

  /** Seconds since `asOf`; null if that is not known. */
  age(): number | null;

  /** News as events, one for each member or what was said; to be taken while it is told. */
  events(news: News): Iterable<Event>;

  /** Tells listeners, all of them if none are named; what `news` leaves out did not change. */
  tell(news: Partial<News>, listeners?: Iterable<Listener>): void;

  /** Subscribes through a client, or joins the subscription that the client has already; one that
   * is unsubscribed is not begun, the feed is not live until whoever made it does that. */
  attach(client: any, entry: Entry, user: Member | null, getToken: () => Promise<string>): void;

  /** Lets go of the client, until it is attached again; a subscription that was there before us
   * stays. What is awaited of fetches or hints ends with it, and so does a refusal. */
  detach(): void;

  /** Ends it. */
  close(): void;

  /** The state of another widget of this channel, taken over when it is newer, or the first. */
  offer(shown: State): void;

  /** The connection or the subscription is down for now. */
  stall(): void;

  /** The connection or the subscription has ended: for now if the code is 0, else for good. */
  lose(what: string, ended: { code: number; reason: string }): void;

  /** It is refused for good: what is shown stays, oneself as well, but for hints, which nothing
   * will confirm. It lets go of the client, so that others do not go on seeing us here. */
  refuse(why: string): void;
}
