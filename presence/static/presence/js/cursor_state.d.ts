/** Cursors without a page: what is sent when, and who is drawn where. Clocks are given. */

import type { Member } from "./roster.js";
import type { Host } from "./connection.js";

/** A fraction of the surface (0 to 1), or CSS pixels from its top left corner (0 to 100,000). */
export type Unit = "fraction" | "px";

export interface Point {
  x: number;
  y: number;
}

export type Clock = Pick<Host, "now" | "random" | "setTimeout" | "clearTimeout">;

/** A point as it is published: four decimals of a fraction, one of pixels; at most 64 bytes of JSON.
 * Null for what is no point of the surface. */
export function encode(unit: Unit, point: Point): Point | null;

/** That somebody moved, or has gone. `key` tells cursors apart: a connection, or a user of whom only
 * the server speaks; with a `user`, all of theirs have gone. */
export type Heard =
  | { key: string; member: Member; x: number; y: number; gone?: undefined }
  | { key: string; gone: true; user: string | null };

/**
 * Reads a publication; null for one that is malformed, out of range, or nobody's.
 *
 * Who moved is in `info`, which Centrifugo attaches to what a browser published. Only without it, in
 * what the server published, do `user` and `meta` count. Unknown fields are ignored.
 */
export function read(
  unit: Unit, data: unknown, info: object | null | undefined, readPush: (info: any) => Member | null,
): Heard | null;

/**
 * Says where the pointer is: at most once an `interval` (milliseconds), the last position always, a
 * sign of life after 45 % of the `timeout` or 4.5 s, whichever is sooner. Nothing while it is closed
 * or the pointer is nowhere; nothing twice that has not changed.
 */
export class Sender {
  constructor(given: {
    interval: number;
    timeout: number;
    publish(data: Point | { gone: true }): void;
    host: Clock;
  });

  /** The pointer is here; null: nowhere, which is said at once. */
  move(point: Point | null): void;

  /** Whether anybody can hear. What was said before it closed counts for nothing afterwards. */
  open(open: boolean): void;

  /** Somebody has come: says where the pointer is within half a second, once for many. */
  greet(): void;

  /** What was published did not get through, and may yet: says it again within half a second, unless
   * something else is to be said by then. */
  repeat(data: Point | { gone: true }): void;
}

export interface Cursor extends Point {
  key: string;
  member: Member;
  /** Where it is drawn, on its way to x and y. */
  left: number;
  top: number;
  shown: boolean;
  /** When it last moved, and when there was last a sign of it: milliseconds. */
  moved: number;
  heard: number;
}

/** The cursors of the others: at most `limit` are shown, those that moved last; none of whom nothing
 * was heard for the `timeout` (milliseconds). */
export class Cursors {
  readonly all: Map<string, Cursor>;

  /** Nearer than `near` to where it is going, a cursor is there. */
  constructor(given: { limit: number; timeout: number; near: number; host: Clock });

  hear(heard: Heard): void;

  /** One cursor, and every one of `user` if there is one. */
  drop(key: string, user?: string | null): void;

  /** Live again after an interruption: of whom nothing is heard within a second is gone. */
  doubt(): void;

  /** Forgets who has timed out, and chooses anew who is shown. Who moved less than 250 ms ago stays:
   * where more than `limit` move at once they would take turns, many times a second. */
  choose(): void;

  shown(): Cursor[];

  /** Moves everybody on by `elapsed` milliseconds (Infinity: there at once), and calls `draw` for
   * each that was under way. Whether any still is. */
  step(elapsed: number, draw: (cursor: Cursor) => void): boolean;
}
