/** An element that is shared: where the pointer is on it, and the cursors of the others over it. */

import type * as cover from "./cover.js";
import type { Cursors, Point, Unit } from "./cursor_state.js";
import type { Member } from "./roster.js";

/** How large the content of a box is, and how far left of what shows first it begins (the `start` of
 * a box that scrolls from right to left): CSS pixels before any transform. */
export interface Extent {
  width: number;
  height: number;
  /** Whether it scrolls: then it is as large as what is in it. */
  scrolls: boolean;
  start: number;
}

type Style = Pick<CSSStyleDeclaration, "overflowX" | "overflowY" | "direction">;

export function extent(
  box: Pick<Element, "clientWidth" | "clientHeight" | "scrollWidth" | "scrollHeight">, style: Style,
): Extent;

/** Where in the content of a box a place of the window is, in a unit: bounded by the content for
 * fractions. Knows borders, scrolling and scales; not rotation. */
export function locate(
  box: Pick<HTMLElement, "getBoundingClientRect" | "offsetWidth" | "offsetHeight" | "clientLeft"
    | "clientTop" | "scrollLeft" | "scrollTop">,
  extent: Extent,
  unit: Unit,
  at: { clientX: number; clientY: number },
): Point;

/** Whether `cover.js` is needed: a layer in the element would not be seen, or not where that is. */
export function isFlat(element: Element): boolean;

export class Surface {
  /**
   * Lays a layer over `element`, which takes no clicks and is hidden from screen readers, and copies
   * `template` for each cursor. `moved` is told where the pointer is, null when it has left, the
   * window lost the focus or the page is hidden. A finger or a pen stays for a second after it was
   * lifted; of several only the first counts.
   *
   * A box that scrolls is as large as its content; positions are kept right while it, or the page,
   * scrolls or is resized. The layer is put back where others take it away. While something is
   * dragged, the cursor follows the events of that: browsers send none of the pointer.
   */
  constructor(given: {
    element: HTMLElement;
    template: HTMLTemplateElement;
    unit: Unit;
    cursors: Cursors;
    cover?: typeof cover;
    drawMember(item: Element, member: Member): void;
    moved(point: Point | null): void;
  });

  /** Draws who has come, and takes away who has gone. */
  show(): void;

  /** Takes the layer away, and all that listens. */
  close(): void;
}
