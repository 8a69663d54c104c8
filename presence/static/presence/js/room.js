// One channel for those who draw it themselves. Contracts: presence.d.ts.

export class Room {
  #events = new EventTarget();

  constructor(page, config, shown) {
    this.channel = config.channel;
    this.close = page.follow(config, shown, (feed, news) => this.#take(feed, news));
    this.#show(page.feed(this.channel));
  }

  on(name, run) {
    const listen = ({ detail }) => run(detail);
    this.#events.addEventListener(name, listen);
    return () => this.#events.removeEventListener(name, listen);
  }

  #take(feed, news) {
    this.#show(feed);
    for (const [name, detail] of feed.events(news)) {
      this.#events.dispatchEvent(new CustomEvent(name, { detail }));
    }
  }

  #show({ phase, view: { members, total, anonymous, version } }) {
    Object.assign(this, { members, total, anonymous, version, state: phase });
  }
}
