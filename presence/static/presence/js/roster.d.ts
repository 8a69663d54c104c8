/**
 * The roster of one channel as a reducer, the twin of `presence/roster.py`.
 *
 * Knows no DOM, no socket and no clock, and throws nothing: what is malformed, repeated, older or
 * foreign changes nothing.
 */

/** One person, however many tabs they have open. `info` is what the site signed for them. */
export interface Member {
  readonly id: string;
  readonly name: string;
  readonly info: Readonly<Record<string, unknown>>;
}

/** A roster at a version. Belongs to one feed, which changes it in place. */
export interface State {
  /** Names one life of the chain of versions; "" where the channel was never polled. */
  epoch: string;
  /** 0 where the channel was never polled. */
  version: number;
  /** By id, in order of arrival; none where the room is counted. */
  members: Map<string, Member>;
  /** Whether the room is listed; a large one is only counted. */
  listed: boolean;
  /** Identified members, in a counted room too. */
  total: number;
  anonymous: number;
}

/** What is shown: a roster, and after it those who are not in it yet. Everybody counts once. */
export interface View {
  /** In order of arrival, newest last; none where the room is counted. A new array each time. */
  readonly members: readonly Member[];
  /** Ids of those that no diff has confirmed: oneself, and who has just subscribed. */
  readonly provisional: ReadonlySet<string>;
  readonly epoch: string;
  readonly version: number;
  /** Whether the room is listed; a large one is only counted. */
  readonly listed: boolean;
  /** Identified members. */
  readonly total: number;
  /** Visitors who are not signed in. */
  readonly anonymous: number;
}

/** Whole members, those who left as well. */
export interface Changes {
  readonly joined: readonly Member[];
  readonly left: readonly Member[];
  readonly updated: readonly Member[];
}

/** What takes a version to the next: `version` is `base` + 1, or it fits nothing. */
export interface Diff {
  type: "presence.diff";
  epoch: string;
  base: number;
  version: number;
  joins: Member[];
  leaves: string[];
  updates: Member[];
  total: number;
  anonymous: number;
}

/** A diff cannot say it: fetch the snapshot, at a random moment `within` so many seconds. */
export interface Reload {
  type: "presence.reload";
  epoch: string;
  version: number;
  within: number;
}

/** What the site told everybody in a room: `PresenceMixin.broadcast_to_presence`. */
export interface Said {
  /** Not empty. */
  readonly event: string;
  readonly payload: Readonly<Record<string, unknown>>;
}

/** The diff or reload that a publication carries; null for anything else, malformed ones included. */
export function read(publication: unknown): Diff | Reload | null;

/** The event that a publication carries; null for anything else, malformed ones included. It changes
 * no state. */
export function readEvent(publication: unknown): Said | null;

/** The state that a snapshot describes; null when it is malformed. */
export function fromSnapshot(snapshot: unknown): State | null;

/** What Centrifugo attaches to a join or leave push. */
export interface Push {
  user?: unknown;
  client?: unknown;
  chanInfo?: unknown;
  connInfo?: unknown;
}

/** Whom a push is about, named as `presence/roster/merge.py` names them; null for the anonymous. Of what
 * a site signed for its own use, no more than these is meant for everybody: name, avatar, color. */
export function readPush(push: Push): Member | null;

/**
 * Takes one publication: changes `state` in place, at the cost of the publication's size.
 *
 * `changes` is null when nothing changed. `fetch`: only a snapshot can help, asked for `within` so
 * many seconds if that is said.
 */
export function reduce(
  state: State,
  publication: unknown,
): { changes: Changes | null; fetch: boolean; within: number | null };

/**
 * The state of a fetched snapshot, with the publications kept while it was awaited; null when it is
 * older than what is shown even with these. Throws when it is malformed. Changes none of its
 * arguments.
 *
 * `changes` as `since` gives them. `open`: those kept that do not fit.
 */
export function splice(
  state: State,
  snapshot: unknown,
  kept: readonly unknown[],
): { state: State; changes: Changes | null; open: unknown[] } | null;

/** What changed between two states; null where a room is seen for the first time, or is counted
 * and was listed, or the other way round: nobody came or went. Who is the same in both is from then
 * on the very object of `before` in `after`, so that identity tells whom to draw anew. */
export function since(before: State, after: State): Changes | null;

/** Those of the candidates who are shown ahead of the roster: none that it has, none if counted.
 * In the order of ids, in which one diff would confirm them. */
export function ahead(state: State, candidates: readonly Member[]): Map<string, Member>;

/** The changes of a roster as they look with who was, and who is, shown ahead of it: being
 * confirmed is no change, unless the roster has other words. */
export function overlay(
  changes: Changes,
  before: ReadonlyMap<string, Member>,
  after: ReadonlyMap<string, Member>,
): Changes;

/** What to show: the state, and after it those of the candidates whom it does not have. */
export function view(state: State, candidates: ReadonlyMap<string, Member>): View;
