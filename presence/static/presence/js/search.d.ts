/** The field that finds people in a long list. Loaded once somebody opens a list of twenty or more:
 * the attribute `data-presence-search-js` has the URL of this file.
 *
 * Members that do not match are `hidden`. The field itself is never drawn again, so that it keeps the
 * focus and what was typed while people come and go. */

/** A text without what does not count in a search: case, accents, ligatures. */
export function fold(text: string): string;

export class Search {
  /** Finds its parts, `search`, `field`, `nobody` and `members`, in the widget. */
  constructor(root: HTMLElement);

  /** Shows the field where the list is open and long, and hides who does not match. */
  show(isOpen: boolean, isLong: boolean): void;
}
