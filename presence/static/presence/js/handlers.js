// Yours to override: see docs/javascript.md.
export const handlers = {};
