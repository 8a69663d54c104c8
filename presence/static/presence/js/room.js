/**
 * A channel for scripts that draw it themselves. Loaded by the first `presence.subscribe`.
 *
 * @import { Page } from "./connection.js"
 * @import { Config } from "./feed.js"
 * @import { State } from "./roster.js"
 */

/** `Room` of presence.d.ts. */
export class Room {
  #events = new EventTarget();
  #closed;

  /**
   * Follow a channel through the page's connection, as a widget does.
   *
   * @param {Page} page
   * @param {Config & { grant: string }} config
   * @param {State} shown
   */
  constructor(page, config, shown) {
    const end = page.follow(config, shown, (feed, news) => this.#take(feed, feed.events(news)));
    this.channel = config.channel;
    this.close = () => {
      this.#closed = true;
      end();
    };
  }

  /**
   * Call `run` with the detail of each event of a name, until the returned function is called.
   *
   * @param {string} name
   * @param {(detail: any) => void} run
   * @returns {() => void}
   */
  on(name, run) {
    // Asked at each event: `close` may be called by another listener of the same event.
    const listen = ({ detail }) => this.#closed || run(detail);
    this.#events.addEventListener(name, listen);
    return () => this.#events.removeEventListener(name, listen);
  }

  #take({ view, phase }, events) {
    Object.assign(this, view, { state: phase });
    for (const [name, detail] of events) {
      this.#events.dispatchEvent(new CustomEvent(name, { detail }));
    }
  }
}
