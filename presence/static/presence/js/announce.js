// What a screen reader is told: how many came, and how many left.

export class Announcer {
  #news = { joined: 0, left: 0 };
  #timer = null;
  #said = -Infinity;

  constructor(root, words, host) {
    Object.assign(this, { root, words, host });
  }

  note({ joined, left }) {
    const { dataset } = this.root;
    const others = ({ id }) => id !== dataset.presenceSelfId;
    this.#news.joined += joined.filter(others).length;
    this.#news.left += left.filter(others).length;
    if (!this.#news.joined && !this.#news.left) return;
    const wait = this.#said + 1000 * dataset.presenceEvery - this.host.now();
    this.#timer ??= setTimeout(() => this.#say(), Math.max(500, wait));
  }

  #say() {
    const { root, words } = this;
    const part = (name) => root.querySelectorAll(`[data-presence-part=${name}]`);
    const [came, went] = ["joined", "left"].map((name) => (
      this.#news[name] ? words(part(`${name}-words`)[0], this.#news[name], root.lang) : ""
    ).replace("{n}", this.#news[name]));
    for (const line of part("announcement")) {
      const both = line.dataset.presenceBoth?.replace("{joined}", came).replace("{left}", went);
      line.textContent = came && went ? both : came || went;
    }
    this.#news = { joined: 0, left: 0 };
    this.#timer = null;
    this.#said = this.host.now();
  }
}
