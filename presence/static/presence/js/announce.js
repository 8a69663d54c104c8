/**
 * Tells screen readers how many came, and how many left. Loaded by widgets with `announce=True` alone.
 *
 * @import { Changes } from "./roster.js"
 * @import { words } from "./render.js"
 */

/** Says at most one sentence a tick, and nothing about the user of the page. */
export class Announcer {
  #counts = { joined: 0, left: 0 };
  #timer = null;
  #saidAt = -Infinity;

  /**
   * @param {HTMLElement} root The widget.
   * @param {typeof words} words
   * @param {{ now(): number }} host
   */
  constructor(root, words, host) {
    Object.assign(this, { root, words, host });
  }

  /**
   * Count who came and who left, and say it later, with what comes until then. A crowd would otherwise
   * be read out for minutes.
   *
   * @param {Changes} changes
   */
  note({ joined, left }) {
    const { dataset } = this.root;
    const others = ({ id }) => id !== dataset.presenceSelfId;
    this.#counts.joined += joined.filter(others).length;
    this.#counts.left += left.filter(others).length;
    if (!this.#counts.joined && !this.#counts.left) return;
    const wait = this.#saidAt + 1000 * dataset.presenceEvery - this.host.now();
    this.#timer ??= setTimeout(() => this.#say(), Math.max(500, wait));
  }

  #say() {
    const { root, words } = this;
    const part = (name) => root.querySelectorAll(`[data-presence-part=${name}]`);
    const [came, went] = ["joined", "left"].map((name) => (
      this.#counts[name] ? words(part(`${name}-words`)[0], this.#counts[name], root.lang) : ""
    ).replace("{n}", this.#counts[name]));
    for (const line of part("announcement")) {
      const both = line.dataset.presenceBoth?.replace("{joined}", came).replace("{left}", went);
      line.textContent = came && went ? both : came || went;
    }
    this.#counts = { joined: 0, left: 0 };
    this.#timer = null;
    this.#saidAt = this.host.now();
  }
}
