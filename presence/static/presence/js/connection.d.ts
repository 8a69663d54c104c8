/** The page's one connection, its tokens, and the feeds that share them. */

import type * as feed from "./feed.js";
import type { Config, Feed, Listener, Tools } from "./feed.js";
import type * as roster from "./roster.js";
import type { State } from "./roster.js";
import type * as tokens from "./tokens.js";
import type { Host } from "./tokens.js";

export interface Modules {
  roster: typeof roster;
  tokens: typeof tokens;
  feed: typeof feed;
  /** Loads the class `Centrifuge`. */
  sdk(): Promise<any>;
}

/** What a page asks of whatever it follows: a Feed, or what stands in for one. Where its `state` is
 * not that of a listed room, nobody is said to leave its channel. */
export type Followed = Pick<
  Feed,
  | "config" | "phase" | "user" | "client" | "closed" | "listeners"
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
   */
  useConnection(centrifuge: any): void;

  /**
   * Keeps a listener informed of a channel until the function given back is called.
   *
   * Widgets of one channel share a feed: a listener that finds one is told at once. `shown` belongs
   * to the feed from now on. A subscription goes with the last listener of its channel, our own
   * connection with the last of all. A refused renewal stops the SDK, which tries again after any
   * other error.
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
  leave(feeds?: Feed[]): void;
}
