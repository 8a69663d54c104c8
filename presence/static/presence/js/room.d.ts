/** A channel for scripts that draw it themselves: loaded by the first `presence.subscribe`. */

import type { Page } from "./connection.js";
import type { Config } from "./feed.js";
import type { Room as PublicRoom } from "./presence.js";
import type { State } from "./roster.js";

export interface Room extends PublicRoom {}

export class Room {
  /** Follows a channel through the page's connection, as a widget does. */
  constructor(page: Page, config: Config & { grant: string }, shown: State);
}
