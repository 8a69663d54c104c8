import type { Handlers } from "./presence.js";

/** Handlers of the site: a `presence/js/handlers.js` found before the app's. See docs/javascript.md. */
export const handlers: Handlers;
