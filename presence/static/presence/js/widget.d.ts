import type { Modules, Page } from "./connection.js";
import type * as connection from "./connection.js";
import type * as draw from "./draw.js";
import type * as handlers from "./handlers.js";
import type { Presence } from "./presence.js";

export * from "./presence.js";

export const presence: Presence;

/** The modules of the page, and the one Page that they made. */
export interface Loaded extends Modules {
  connection: typeof connection;
  draw: typeof draw;
  handlers: typeof handlers;
  page: Page;
}

/**
 * Loads the modules that an element with the attributes of `_live.html` names, once a page.
 *
 * Rejects where one cannot be loaded; whoever asks next tries again.
 */
export function modules(root: HTMLElement): Promise<Loaded>;
