/**
 * The public API of the page: `import { presence } from "…/presence/js/widget.js"`.
 *
 * The URL is what `{% static "presence/js/widget.js" %}` gives; see docs/javascript.md.
 */

import type { Member, Said, View } from "./roster.js";

export type { Member } from "./roster.js";

/** `static`: not live yet, or refused; `stale`: no longer live, for now. */
export type PresenceState = "static" | "live" | "stale";

/** What every event about the roster says. */
export interface About {
  channel: string;
  /** Of the roster that is shown. */
  version: number;
}

/** Somebody came, left, or has another name or info. */
export interface MemberDetail extends About {
  member: Member;
}

/** In step with the server, at first and again. */
export interface SyncDetail extends About, View {
  channel: string;
  version: number;
}

/** No longer live: for now, or for good, which may come after that. */
export interface StaleDetail extends About {
  /** `stale` for now, `static` for good. */
  state: PresenceState;
  /** Seconds since what is shown was last known to be true; null if that is not known. */
  age: number | null;
}

/** The site told everybody in the room something. */
export interface EventDetail extends Said {
  channel: string;
}

/** Events by name. What a room holds when it is first read is a sync, not a crowd of joins. */
export interface EventMap {
  join: MemberDetail;
  leave: MemberDetail;
  update: MemberDetail;
  sync: SyncDetail;
  stale: StaleDetail;
  event: EventDetail;
}

/** One channel for those who draw it themselves; its fields are kept true. */
export interface Room extends View {
  readonly channel: string;
  /** Whether it is live. */
  readonly state: PresenceState;

  /** Calls `run` with the detail of each event of that name; the function given back ends it. */
  on<Name extends keyof EventMap>(name: Name, run: (detail: EventMap[Name]) => void): () => void;

  /** Nothing is told after this, even of what is being told. The subscription ends with the last who follows the channel. */
  readonly close: () => void;
}

/** The one of the page, even if its module has two URLs. */
export interface Presence {
  /**
   * Follows a channel that an element of the page carries: a widget, or one with `variant="none"`,
   * which shows nothing. Rejects with an Error that says what to include where there is none.
   */
  subscribe(channel: string): Promise<Room>;

  /**
   * Makes the page's widgets use a connection of the site's, before or after they went live: an
   * instance of `Centrifuge`, which is never connected or disconnected by us, and must belong to
   * the user whom the page was rendered for.
   */
  useConnection(centrifuge: object): void;
}

/** Somebody clicks on a face or a name. `preventDefault()` keeps a stack from opening its list. */
export interface OpenDetail extends MemberDetail {}

/** Events of the widget alone: those of the channel, and what people do with the widget. */
export interface WidgetEventMap extends EventMap {
  open: OpenDetail;
}

/** What a site's own `presence/js/handlers.js` exports as `handlers`. */
export type Handlers = {
  [Name in keyof WidgetEventMap]?: (
    detail: WidgetEventMap[Name],
    widget: HTMLElement,
    event: CustomEvent<WidgetEventMap[Name]>,
  ) => void;
};

/** DOM events by name: they bubble from `<presence-roster>`. */
export type PresenceEventMap = {
  [Name in keyof WidgetEventMap as `presence:${Name}`]: CustomEvent<WidgetEventMap[Name]>;
};

declare global {
  interface ElementEventMap extends PresenceEventMap {}
  interface DocumentEventMap extends PresenceEventMap {}
  interface WindowEventMap extends PresenceEventMap {}
}
