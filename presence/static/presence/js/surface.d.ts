/** An element that is shared: where the pointer is on it, and the cursors of the others over it. */

import type { Cursors, Point, Unit } from "./motion.js";
import type { Member } from "./roster.js";

export class Surface {
  /**
   * Lays a layer over `element`, which takes no clicks and is hidden from screen readers, and copies
   * `template` for each cursor. `moved` is told where the pointer is, null when it has left, the
   * window lost the focus or the page is hidden. A finger stays for a second after it was lifted.
   *
   * A box that scrolls is as large as its content; positions are kept right while it, or the page,
   * scrolls or is resized.
   */
  constructor(given: {
    element: HTMLElement;
    template: HTMLTemplateElement;
    unit: Unit;
    cursors: Cursors;
    drawMember(item: Element, member: Member): void;
    moved(point: Point | null): void;
  });

  /** Draws who has come, and takes away who has gone. */
  show(): void;

  /** Takes the layer away, and all that listens. */
  close(): void;
}
