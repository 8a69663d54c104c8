import type { Handlers } from "./presence.js";

export const handlers: Handlers;
