/** Draws a feed into the HTML that Django rendered: who is drawn by scripts looks like the rest.
 *
 * Data becomes text, validated URLs and validated colours; never HTML, never a style attribute. */

import type { Feed } from "./feed.js";
import type { Member } from "./roster.js";

/** The place of an id in the palette: FNV-1a (32 bit) of its UTF-8 bytes, as `drawing.py` has it. */
export function paletteIndex(id: string): number;

/** The first character of the first word and of the last; "?" where there is no word. */
export function initials(name: string): string;

/** An absolute http(s) URL or a path of this site; else "". */
export function safeUrl(value: unknown): string;

/** `#rgb` or `#rrggbb`; else "". */
export function safeColour(value: unknown): string;

/** The words for a count, of those that Django rendered for samples: those of the first sample of
 * the same plural category, or the last. */
export function pluralForm(
  forms: [sample: number, words: string][],
  count: number,
  language: string,
): string;

/** How long ago something was, in words; `age` in seconds. */
export function ago(age: number, language: string): string;

/** Draws a member into a copy of the <template> `member` or `face`. `anonymous` is what stands for
 * the name that the server gives all who have none. */
export function drawMember(item: HTMLElement, member: Member, anonymous?: string): void;

export class Drawing {
  constructor(root: HTMLElement);

  /** The snapshot that the HTML shows. */
  read(): unknown;

  /** Takes over what was rendered: `members` are those that it shows. */
  adopt(members: ReadonlyMap<string, Member>): void;

  /** Draws what a feed shows, changing only what differs. */
  show(feed: Feed): void;

  /** Says what is wrong, and how old (in seconds) what is shown is; "" says nothing. */
  status(trouble: "" | "stale" | "refused", age?: number | null): void;

  /** Says how many came and left, politely. */
  announce(news: { joined: number; left: number }): void;
}
