/**
 * Your own handlers: put a file of this name, `presence/js/handlers.js`, into a static directory
 * that comes before this app's, and export functions by the names of the events.
 *
 *     export const handlers = {
 *       join({ members }, widget) { … },           // also leave, update
 *       sync({ members, total, anonymous }) { … }, // in step with the server: at first, and again
 *       stale({ state }) { … },                    // no longer live
 *     };
 *
 * Each gets the `detail` of the DOM event `presence:<name>` and the widget's root element.
 */
export const handlers = {};
