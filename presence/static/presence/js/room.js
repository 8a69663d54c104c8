// A channel for scripts that draw it themselves.

export class Room {
  #events = new EventTarget();
  #closed;

  constructor(page, config, shown) {
    const end = page.follow(config, shown, (feed, news) => this.#take(feed, feed.events(news)));
    this.channel = config.channel;
    this.close = () => {
      this.#closed = true;
      end();
    };
  }

  on(name, run) {
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
