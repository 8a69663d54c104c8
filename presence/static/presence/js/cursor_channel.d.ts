/** A cursor channel, live. */

import type { Followed, Host, hold } from "./connection.js";
import type { Heard, Point } from "./cursor_state.js";
import type { Member } from "./roster.js";

export interface ChannelConfig {
  /** `cursors:…` */
  channel: string;
  /** Reads a publication: `cursor_state.read` with all but these given. */
  read(data: unknown, info: object | undefined): Heard | null;
  /** The ids of the page's connections, as others see them. */
  ids: WeakMap<object, string>;
}

/** `heard`: somebody moved or has gone. `greet`: somebody has come, to others who were here, and does
 * not know our position. `again`: this was refused, for the moment. */
export interface ChannelNews {
  heard?: Heard;
  greet?: true;
  again?: Point | { gone: true };
}

/** What a page follows in place of a feed: the same methods, and `publish`. */
export class Channel implements Followed {
  constructor(config: ChannelConfig, shown: null, tools: { host: Host; hold: typeof hold });

  readonly config: any;
  readonly phase: "static" | "live" | "stale";
  readonly client: any;
  /** Why it is not live and will not be by itself; "" where it may be. */
  readonly refusal: string;
  /** Called with the channel and ChannelNews. */
  readonly listeners: Set<(channel: any, news: any) => void>;
  readonly user: Member | null;

  /** Whether there is anybody else on the channel, as far as can be known. */
  readonly company: boolean;

  /** Whether it makes sense to publish: live, in company, and as somebody: the anonymous watch. */
  readonly open: boolean;

  attach(client: any, entry: { token: string; shown: boolean }, user: Member | null, getToken: () => Promise<string>): void;
  detach(): void;
  close(): void;
  offer(shown: any): void;
  lose(what: string, ctx: { code: number; reason: string }): void;
  refuse(why: string): void;
  tell(news: ChannelNews | object, listeners?: Iterable<(channel: any, news: any) => void>): void;

  /** A refusal that will not pass ends publishing, with a warning; after one that will, the position
   * is asked for again; any other error is let be, as the next sign of life makes up for it. */
  publish(data: Point | { gone: true }): void;

  /** Asks again whether one is alone, at most every 4.5 s, every minute while in company: for namespaces
   * without join pushes. */
  wonder(): void;
}
