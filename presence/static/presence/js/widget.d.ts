import type { Presence } from "./presence.js";

export * from "./presence.js";

export const presence: Presence;
