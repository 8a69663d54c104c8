/** The layer of a surface that is no box for it: an inline element, one with `display: contents`, or
 * one that shows no children, such as a canvas. Loaded for these alone. */

import type { Extent } from "./cursor_surface.js";

/** Where the layer goes: the nearest element around that has a box, or the shadow root of one. */
export function hostOf(element: Element): Element | ShadowRoot;

/** Lays the layer over the element, within its borders, and gives its size. Says once on the console
 * if nothing can be shown there. */
export function lay(element: Element, layer: HTMLElement): Extent;
