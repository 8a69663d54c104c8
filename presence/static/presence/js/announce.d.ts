/** What a screen reader is told of who comes and goes. Loaded by widgets with `announce=True` alone:
 * the attribute `data-presence-announce` has the URL of this file. */

import type { words } from "./render.js";
import type { Changes } from "./roster.js";

/** Says at most one sentence a tick, and never what oneself does. */
export class Announcer {
  constructor(root: HTMLElement, say: typeof words, host: { now(): number });

  /** Counts who came and who left; they are told of later, together with others. */
  note(news: Changes): void;
}
