// Put a file of this name, presence/js/handlers.js, into your own static files: see docs/javascript.md.
export const handlers = {};
