/**
 * The public API of the page: `import { presence } from "…/presence/js/widget.js"`.
 *
 * The URL comes from `{% static "presence/js/widget.js" %}`; see docs/javascript.md.
 */

/** One person, however many tabs they have open. */
export interface Member {
  readonly id: string;
  readonly name: string;
  /** Signed by the site: PRESENCE_USER_INFO. */
  readonly info: Readonly<Record<string, unknown>>;
}

/** The roster as it is shown, with oneself at its end while it does not have one yet. */
export interface View {
  /** In order of arrival, newest last; none in a counted room. A new array each time. */
  readonly members: readonly Member[];
  /** Name of one life of the version chain. */
  readonly epoch: string;
  readonly version: number;
  /** Whether the room is listed; a large one is only counted. */
  readonly listed: boolean;
  /** Number of identified members. Each counts once. */
  readonly total: number;
  /** Number of visitors who are not signed in. */
  readonly anonymous: number;
}

/** A message of the site to everybody in a room: `PresenceMixin.broadcast_to_presence`. */
export interface SiteEvent {
  /** Not empty. */
  readonly event: string;
  readonly payload: Readonly<Record<string, unknown>>;
}

/** `static`: not live yet, or refused for good. `stale`: not live for now. */
export type PresenceState = "static" | "live" | "stale";

/** Part of every event about the roster. */
export interface About {
  channel: string;
  /** Version of the roster that is shown. */
  version: number;
}

/** A member came, left, or has another name or info. */
export interface MemberDetail extends About {
  member: Member;
}

/** The page is in step with the server, for the first time or again. */
export interface SyncDetail extends About, View {
  channel: string;
  version: number;
}

/** The page is no longer live: for now, or for good, which may come after that. */
export interface StaleDetail extends About {
  /** `stale`: for now. `static`: for good. */
  state: PresenceState;
  /** Seconds since what is shown was last known to be true; null if that is not known. */
  age: number | null;
}

/** The site told everybody in the room something. Anybody may be behind it: set it as text. */
export interface EventDetail extends SiteEvent {
  channel: string;
}

/** Events by name. The members of a room that is read for the first time are a sync, not joins. */
export interface EventMap {
  join: MemberDetail;
  leave: MemberDetail;
  update: MemberDetail;
  sync: SyncDetail;
  stale: StaleDetail;
  event: EventDetail;
}

/** One channel for scripts that draw it themselves. Its fields are kept up to date. */
export interface Room extends View {
  readonly channel: string;
  /** Whether it is live. */
  readonly state: PresenceState;

  /** Call `run` with the detail of each event of a name, until the returned function is called. */
  on<Name extends keyof EventMap>(name: Name, run: (detail: EventMap[Name]) => void): () => void;

  /**
   * Stop: no listener is called any more, even for the current event. The subscription ends with the
   * last widget or room of the channel.
   */
  readonly close: () => void;
}

/** One object for the page, even where its module has two URLs. */
export interface Presence {
  /**
   * Follow a channel that a widget of the page has: one that shows it, or one with `variant="none"`.
   * Without such a widget, reject with an Error that says what to include.
   */
  subscribe(channel: string): Promise<Room>;

  /**
   * Have the widgets of the page use a connection of the site, before or after they went live.
   * `centrifuge` is an instance of `Centrifuge`, of the user of the page. The widgets never connect or
   * disconnect it; the server closes it with the code 4501 when the session is signed out.
   */
  useConnection(centrifuge: object): void;
}

/** A face or a name was clicked. `preventDefault()` keeps a stack from opening its list. */
export interface OpenDetail extends MemberDetail {}

/** Events of a widget: those of the channel, and what its users do. */
export interface WidgetEventMap extends EventMap {
  open: OpenDetail;
}

/** Export `handlers` of a site's own `presence/js/handlers.js`. */
export type Handlers = {
  [Name in keyof WidgetEventMap]?: (
    detail: WidgetEventMap[Name],
    widget: HTMLElement,
    event: CustomEvent<WidgetEventMap[Name]>,
  ) => void;
};

/** DOM events by name. They bubble from `<presence-roster>`. */
export type PresenceEventMap = {
  [Name in keyof WidgetEventMap as `presence:${Name}`]: CustomEvent<WidgetEventMap[Name]>;
};

declare global {
  interface ElementEventMap extends PresenceEventMap {}
  interface DocumentEventMap extends PresenceEventMap {}
  interface WindowEventMap extends PresenceEventMap {}
}
