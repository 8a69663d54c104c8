/** Draws a feed into the HTML that Django rendered, the twin of `presence/web/drawing.py`: who is drawn
 * by scripts looks like the rest.
 *
 * Data becomes text, validated URLs and validated colours; never HTML. A member's own colour is a
 * property of the element itself (CSSOM, which a policy against style attributes allows), in browsers
 * whose stylesheets cannot read it from the attribute: no sheet grows, and shadow roots have it, too.
 * Whoever joins is a copy of the <template>, marked `data-presence-joining`
 * while they ease in. Who is leaving is no member any more, but inert, and may come back: the timer
 * that removes them is theirs, and is cleared then. Every part but the list of members may be
 * missing, and words that have no forms for numbers stay as they are.
 *
 * Browsers open and close the popup by themselves, but set no attribute for those who listen; the
 * events `error` and `toggle`, which do not bubble, are caught on their way down. */

import type { Feed } from "./feed.js";
import type { Member, State } from "./roster.js";

/** The place of an id in the palette: FNV-1a (32 bit) of its UTF-8 bytes, as `drawing.py` has it. */
export function paletteIndex(id: string): number;

/** The first grapheme of the first word and of the last, by the rules of `names.py`; "?" where no
 * word shows anything. */
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

/** The members in the order of every list: oneself, then the others by arrival. */
export function arrange(members: Member[], self: string | undefined): Member[];

/** Of arranged members those in sight at once: oneself and the newest, at most `limit` of them. */
export function choose(members: Member[], self: string | undefined, limit: number): Member[];

/** Draws a member into a copy of the <template> `member` or `face`. `anonymous` is what stands for
 * the name that the server gives all who have none. */
export function drawMember(item: HTMLElement, member: Member, anonymous?: string): void;

/** The words for a count, of the forms that Django wrote into the attributes of an element; "" where
 * it has none. */
export function words(element: HTMLElement | undefined, count: number, language: string): string;

export class Drawing {
  constructor(root: HTMLElement);

  /** Takes over what was rendered, also when somebody has rendered it anew: `understand` is given
   * the snapshot that the HTML shows. Null where it shows none. */
  adopt(understand: (snapshot: unknown) => State | null): State | null;

  /** Draws what a feed shows, changing only what differs. `isCounted`: the number of anonymous
   * visitors includes this one. */
  show(feed: Feed, isCounted?: boolean): void;
}
