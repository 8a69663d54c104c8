import type { Handlers } from "./presence.js";

/** Yours: a `presence/js/handlers.js` that is found before the app's. See docs/javascript.md. */
export const handlers: Handlers;
