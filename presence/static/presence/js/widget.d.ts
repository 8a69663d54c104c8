/**
 * <presence-roster>.
 *
 * A widget begins once the parser is done with it, and once the modules are there: while the network
 * keeps them away it is tried every ten seconds, by the element itself, and one success is a success
 * for all. What an import() throws does not say whether it was the network, so the file is fetched
 * to know, and imported once more if it was not; any other failure is final: said in the widget and, once, on the console. A page that
 * the browser keeps (`persisted`) may come back, and does not leave.
 *
 * Somebody else may write the widget, as libraries do that morph one page into the next. They reset
 * the attributes by which that is seen (grant, state, version): our own changes to these are taken
 * from the observer's records. It then begins anew with the HTML that is there, and lets go of what
 * it followed only after that, so that a subscription to the same channel stays.
 *
 * What is wrong is said here and not by `render.js`, which may be what could not be loaded. An
 * interruption of less than BRIEF milliseconds is not worth a word.
 */

import type { Host, Modules, Page } from "./connection.js";
import type * as connection from "./connection.js";
import type * as draw from "./render.js";
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

/** `Host.ask` of connection.d.ts, by `get`. */
export function ask(
  url: string, init?: RequestInit, get?: typeof fetch,
): ReturnType<Host["ask"]>;

/** How long ago something was, in words; `age` in seconds, a minute or more. */
export function ago(age: number, language: string): string;

/**
 * Loads the modules that an element with the attributes of `_live.html` names, once a page.
 *
 * Rejects where one cannot be loaded; whoever asks next tries again.
 */
export function modules(root: HTMLElement): Promise<Loaded>;
