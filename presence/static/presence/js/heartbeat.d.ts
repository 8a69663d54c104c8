/**
 * Defines `<presence-heartbeat>`: keeps the members whom the page's view tracked, who need no
 * websocket, for as long as the page is open.
 *
 * A page that is hidden is open; one that is closed, or kept by the browser for a way back, is not.
 * An element that is taken out of the page leaves, one that is only moved does not. Where a library
 * writes other lifelines into it, the old ones leave.
 */

/** What the browser gives, and tests replace. Times in milliseconds. */
export interface Host {
  fetch(url: string, init?: RequestInit): Promise<Response>;
  setTimeout(run: () => void, ms: number): unknown;
  clearTimeout(timer: any): void;
  now(): number;
  /** From 0 to 1. */
  random(): number;
  beacon(url: string, body: string): void;
  /** Says on the console why the members are no longer kept. */
  warn(why: string): void;
}

export class Heart {
  /** Signed, one for each member that is kept; renewed by each answer. Without any it has stopped
   * for good. */
  readonly lifelines: readonly string[];

  constructor(given: { url: string; every: number; lifelines: string[] }, host: Host);

  /** Beats after `every` milliseconds, or at once where the members may have left (`again`). */
  begin(again: boolean): void;

  /**
   * Beats now, and from then on `every` milliseconds after each answer (in a hidden page timers that
   * timers set go off once a minute, those that answers set do not); sooner, at random, where
   * there was none that counts (no network, 408, 429, 500 and above). Lifelines that the server says
   * are gone are dropped. After any other answer, as after signing out or that of a login wall, it
   * leaves, says so once and stops.
   */
  beat(): Promise<void>;

  /** The page is seen again: beats at once, unless it just did. */
  wake(): void;

  /** The page closes: lets go of the members, and is silent until it wakes. */
  leave(): void;
}
