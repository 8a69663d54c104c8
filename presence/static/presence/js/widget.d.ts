/** `presence/js/widget.js`: defines `<presence-roster>` and exports the public API of the page. */

import type { Presence } from "./presence.js";

export * from "./presence.js";

export const presence: Presence;
