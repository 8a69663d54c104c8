/** Handlers of events: a site puts its own `presence/js/handlers.js` before this one. See docs/javascript.md. */
export const handlers = {};
