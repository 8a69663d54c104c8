// One channel for those who draw it: see presence.d.ts.

export class Room {
  #events = new EventTarget();

  constructor(page, config, shown) {
    this.channel = config.channel;
    this.close = page.follow(config, shown, (feed, news) => this.#take(feed, feed.events(news)));
    this.#take(page.feeds.get(config.channel), []);
  }

  on(name, run) {
    const listen = ({ detail }) => run(detail);
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
