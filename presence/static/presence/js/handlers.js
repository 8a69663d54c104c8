// A site puts its own `presence/js/handlers.js` before this one: see docs/javascript.md.
export const handlers = {};
